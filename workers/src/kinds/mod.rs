//! What a worker can do: one module for each kind of job, each with one function `run`.

pub mod cleanup;
pub mod preview_verify;
pub mod repo_sync;

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{ErrorReason, FailureClass, JobFailure, JobKind, JobProgress, commit_request, lease},
};

use crate::sandbox::stop::StopSignal;

/// The result of a job, as it is committed.
pub type Outcome = commit_request::Outcome;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq)]
pub enum JobError {
    /// It failed, and the queue is told why.
    Failed(JobFailure),
    /// It was asked to stop.
    Stopped,
    /// A newer lease has taken over what it works on.
    Superseded,
}

impl JobError {
    /// A failure; `detail` is for the operator's log and holds no secret, code, address or path.
    #[must_use]
    pub fn failed(class: FailureClass, reason: ErrorReason, detail: &str) -> Self {
        Self::Failed(failure(class, reason, detail))
    }
}

/// The worker's own fault.
impl From<io::Error> for JobError {
    fn from(error: io::Error) -> Self {
        Self::failed(
            FailureClass::Infra,
            ErrorReason::Internal,
            &format!("input or output: {}", error.kind()),
        )
    }
}

/// A failure as the wire has it.
#[must_use]
pub fn failure(class: FailureClass, reason: ErrorReason, detail: &str) -> JobFailure {
    JobFailure { class: class.into(), reason: reason.into(), retry_after: None, detail: detail.to_owned() }
}

/// Where a job says how far it is.
#[derive(Clone)]
pub struct ProgressSink(Arc<dyn Fn(JobProgress) + Send + Sync>);

impl ProgressSink {
    /// Calls `take` with each progress.
    #[must_use]
    pub fn new(take: impl Fn(JobProgress) + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Says how far the job is; the newest counts.
    pub fn send(&self, progress: JobProgress) {
        (self.0)(progress);
    }
}

impl fmt::Debug for ProgressSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProgressSink")
    }
}

/// What a job is given besides its work.
#[derive(Clone, Debug)]
pub struct JobContext {
    /// Where mirrors are.
    pub data_dir: PathBuf,
    /// Where private directories are; this worker's own.
    pub tmp_dir: PathBuf,
    /// Which repository addresses are accepted here.
    pub url_policy: UrlPolicy,
    /// Grows with each claim of the job; fences what it writes.
    pub lease_epoch: u64,
    /// How long the job may run.
    pub time_limit: Duration,
    /// Says when to stop.
    pub stop: StopSignal,
    /// Where to say how far it is.
    pub progress: ProgressSink,
    /// Fetches presigned downloads; follows no redirects.
    pub http: reqwest::Client,
}

/// The kind of a lease's work.
#[must_use]
pub fn kind_of(work: &lease::Work) -> JobKind {
    match work {
        lease::Work::RepoSync(_) => JobKind::RepoSync,
        lease::Work::PreviewVerify(_) => JobKind::PreviewVerify,
        lease::Work::Cleanup(_) => JobKind::Cleanup,
    }
}

/// Does a lease's work.
///
/// # Errors
/// If the job has no result.
pub async fn run(context: JobContext, work: lease::Work) -> Result<Outcome, JobError> {
    match work {
        lease::Work::RepoSync(work) => repo_sync::run(context, work).await.map(Outcome::RepoSync),
        lease::Work::PreviewVerify(work) => {
            preview_verify::run(context, work).await.map(Outcome::PreviewVerify)
        }
        lease::Work::Cleanup(work) => cleanup::run(context, work).await.map(Outcome::Cleanup),
    }
}
