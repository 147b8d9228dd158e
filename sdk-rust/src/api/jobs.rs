//! Jobs: what workers do for a team.

use futures::Stream;
use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rpc;
use crate::{
    core::Core,
    error::{Error, ErrorReason, Result},
    page::{self, Page, PageRequest},
    wire::{self, wire_enum},
};

wire_enum! {
    /// What a job does.
    JobKind = JobKind {
        /// Fetches a repository into its mirror.
        RepoSync,
        /// Checks the files of a preview.
        PreviewVerify,
        /// Removes what nothing refers to any more.
        Cleanup,
    }
}

wire_enum! {
    /// Where a job stands.
    JobState = JobState {
        /// It waits for a worker, or for its next try.
        Queued,
        /// A worker has it.
        Running,
        /// It was asked to stop; its worker has not confirmed yet.
        Cancelling,
        /// It ended well.
        Succeeded,
        /// It was given up.
        Failed,
        /// It was stopped.
        Cancelled,
    }
}

impl JobState {
    /// Whether nothing changes any more.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

wire_enum! {
    /// What a running job does at the moment.
    JobPhase = JobPhase {
        /// It makes ready.
        Preparing,
        /// The other side enumerates and counts objects.
        Counting,
        /// Objects are being received.
        Receiving,
        /// Deltas are being resolved and objects checked.
        Resolving,
        /// The result is being checked.
        Verifying,
        /// The result is being put in place.
        Publishing,
    }
}

/// How far a running job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct JobProgress {
    /// What it does.
    pub phase: JobPhase,
    /// Items done in this phase: objects of a sync, files of a preview.
    pub done: u64,
    /// Items of this phase in all; 0 while unknown.
    pub total: u64,
    /// Bytes moved in this phase.
    pub bytes: u64,
}

/// A queued unit of work.
#[derive(Clone, Debug, Serialize)]
pub struct Job {
    /// Identifies the job.
    pub id: Uuid,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// The team it counts against.
    pub team_id: Option<Uuid>,
    /// The project it is about.
    pub project_id: Option<Uuid>,
    /// Times it was started.
    pub attempts: u32,
    /// Why it failed, by the name of the reason; `None` unless it did.
    #[serde(serialize_with = "reason_name")]
    pub failure: Option<ErrorReason>,
    /// How far it is while it runs; how far it came, for some minutes after it has succeeded.
    pub progress: Option<JobProgress>,
    /// When it was queued.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was last started.
    #[serde(with = "time::serde::rfc3339::option")]
    pub started_at: Option<OffsetDateTime>,
    /// When it ended.
    #[serde(with = "time::serde::rfc3339::option")]
    pub finished_at: Option<OffsetDateTime>,
    /// Of what [`sync`](super::projects::Projects::sync) returns: another request had queued it, and this
    /// one joined it. Whoever joined a job does not cancel it.
    #[serde(skip)]
    pub joined: bool,
}

fn reason_name<S: serde::Serializer>(reason: &Option<ErrorReason>, serializer: S) -> Result<S::Ok, S::Error> {
    let name = reason.map(|reason| reason.as_str_name().trim_start_matches("ERROR_REASON_"));
    name.serialize(serializer)
}

/// Calls about jobs.
#[derive(Clone)]
pub struct Jobs(pub(crate) Core);

impl Jobs {
    /// One job.
    pub async fn get(&self, job_id: Uuid) -> Result<Job> {
        let request = pb::GetJobRequest { job_id: job_id.to_string() };
        self.0.unary::<rpc::GetJob>(request).await.and_then(Job::from_wire)
    }

    /// A page of a team's jobs, newest first, at most 200; only those about `project_id` if one is given.
    pub async fn list(
        &self,
        team_id: Uuid,
        project_id: Option<Uuid>,
        page: PageRequest,
    ) -> Result<Page<Job>> {
        let request = pb::ListJobsRequest {
            team_id: team_id.to_string(),
            project_id: project_id.map(|id| id.to_string()).unwrap_or_default(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListJobs>(request).await?;
        Page::new(response.jobs, response.next_page_token, Job::from_wire)
    }

    /// All jobs of a team, newest first.
    pub fn all(&self, team_id: Uuid, project_id: Option<Uuid>) -> impl Stream<Item = Result<Job>> + use<'_> {
        page::stream(move |page| self.list(team_id, project_id, page))
    }

    /// Asks for a job to be stopped. A running one is `Cancelling` until its worker has confirmed.
    pub async fn cancel(&self, job_id: Uuid) -> Result<Job> {
        let request = pb::CancelJobRequest { job_id: job_id.to_string() };
        self.0.unary::<rpc::CancelJob>(request).await.and_then(Job::from_wire)
    }
}

impl Job {
    /// The job, unless it failed or was stopped.
    ///
    /// # Errors
    ///
    /// What it failed for; `Cancelled` if it was stopped.
    pub fn into_result(self) -> Result<Self> {
        match self.state {
            JobState::Failed => Err(Error::of_job(self.failure.unwrap_or(ErrorReason::Internal), self.id)),
            JobState::Cancelled => Err(Error::of_job(ErrorReason::Cancelled, self.id)),
            _ => Ok(self),
        }
    }

    pub(crate) fn from_wire(job: pb::Job) -> Result<Self> {
        let failure = ErrorReason::try_from(job.failure).unwrap_or(ErrorReason::Internal);
        Ok(Self {
            id: wire::id(&job.id)?,
            kind: JobKind::from_wire(job.kind),
            state: JobState::from_wire(job.state),
            team_id: wire::optional_id(&job.team_id)?,
            project_id: wire::optional_id(&job.project_id)?,
            attempts: job.attempts,
            failure: (failure != ErrorReason::Unspecified).then_some(failure),
            progress: job.progress.map(JobProgress::from_wire),
            created_at: wire::time(job.created_at)?,
            started_at: wire::optional_time(job.started_at)?,
            finished_at: wire::optional_time(job.finished_at)?,
            joined: job.joined,
        })
    }
}

impl JobProgress {
    fn from_wire(progress: pb::JobProgress) -> Self {
        Self {
            phase: JobPhase::from_wire(progress.phase),
            done: progress.done,
            total: progress.total,
            bytes: progress.bytes,
        }
    }
}
