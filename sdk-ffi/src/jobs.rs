//! Jobs: what workers do for a team.

use std::{sync::Arc, time::SystemTime};

use crate::{
    argument::{id, optional_id},
    cancel::CancelHandle,
    client::HiveSync,
    client_enum::client_enum,
    error::{HiveSyncError, reason_name},
    page::{request, split},
    pull::Pull,
    runtime::{run, start},
};

client_enum! {
    /// What a job does.
    JobKind = hivesync::jobs::JobKind {
        /// Fetches a repository into its mirror.
        RepoSync,
        /// Checks the files of a preview.
        PreviewVerify,
        /// Removes what nothing refers to any more.
        Cleanup,
    }
}

client_enum! {
    /// Where a job stands.
    JobState = hivesync::jobs::JobState {
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

client_enum! {
    /// What a running job does at the moment.
    JobPhase = hivesync::jobs::JobPhase {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
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
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Job {
    /// Identifies the job.
    pub id: String,
    /// What it does.
    pub kind: JobKind,
    /// Where it stands.
    pub state: JobState,
    /// Whether nothing changes any more.
    pub ended: bool,
    /// The team it counts against.
    pub team_id: Option<String>,
    /// The project it is about.
    pub project_id: Option<String>,
    /// Times it was started.
    pub attempts: u32,
    /// Why it failed, by the name of the reason; nothing unless it did.
    pub failure: Option<String>,
    /// How far it is, or, after it succeeded, how far it came; nothing while that is unknown.
    pub progress: Option<JobProgress>,
    /// When it was queued.
    pub created_at: SystemTime,
    /// When it was last started.
    pub started_at: Option<SystemTime>,
    /// When it ended.
    pub finished_at: Option<SystemTime>,
}

/// A part of a list of jobs.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct JobPage {
    /// The jobs, newest first.
    pub items: Vec<Job>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
}

/// The states of a job, from the present one to its last. Lost connections are made again.
#[derive(uniffi::Object)]
pub struct JobWatch(Pull<hivesync::jobs::Job>);

#[uniffi::export]
impl JobWatch {
    /// Waits for the next state; nothing after the last. An error ends the stream.
    pub async fn next(&self) -> Result<Option<Job>, HiveSyncError> {
        Ok(self.0.next().await?.map(Job::from))
    }

    /// Ends the watch, also for whoever waits. The job goes on.
    pub fn cancel(&self) {
        self.0.stop();
    }
}

#[uniffi::export]
impl HiveSync {
    /// One job.
    #[uniffi::method(default(cancel = None))]
    pub async fn get_job(
        &self,
        job_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Job, HiveSyncError> {
        let (jobs, job_id) = (self.client().jobs(), id("job_id", &job_id)?);
        run(cancel, async move { jobs.get(job_id).await.map(Job::from) }).await
    }

    /// A page of a team's jobs, newest first; only those about a project if one is named. At most 200, and
    /// as many as the server likes if `size` is 0.
    #[uniffi::method(default(project_id = None, size = 0, token = None, cancel = None))]
    pub async fn list_jobs(
        &self,
        team_id: String,
        project_id: Option<String>,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<JobPage, HiveSyncError> {
        let (jobs, team_id) = (self.client().jobs(), id("team_id", &team_id)?);
        let project_id = optional_id("project_id", project_id.as_deref())?;
        run(cancel, async move {
            let (items, next) = split(jobs.list(team_id, project_id, request(size, token)).await?);
            Ok(JobPage { items, next })
        })
        .await
    }

    /// The job as it stands, then each change, until it has ended.
    pub fn watch_job(&self, job_id: String) -> Result<Arc<JobWatch>, HiveSyncError> {
        let (jobs, job_id) = (self.client().jobs(), id("job_id", &job_id)?);
        start(|| Arc::new(JobWatch(Pull::new(jobs.watch(job_id)))))
    }

    /// Asks for a job to be stopped. A running one is `Cancelling` until its worker has confirmed.
    #[uniffi::method(default(cancel = None))]
    pub async fn cancel_job(
        &self,
        job_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Job, HiveSyncError> {
        let (jobs, job_id) = (self.client().jobs(), id("job_id", &job_id)?);
        run(cancel, async move { jobs.cancel(job_id).await.map(Job::from) }).await
    }
}

impl From<hivesync::jobs::Job> for Job {
    fn from(job: hivesync::jobs::Job) -> Self {
        Self {
            id: job.id.to_string(),
            kind: job.kind.into(),
            state: job.state.into(),
            ended: job.state.is_ended(),
            team_id: job.team_id.map(|id| id.to_string()),
            project_id: job.project_id.map(|id| id.to_string()),
            attempts: job.attempts,
            failure: job.failure.map(reason_name),
            progress: job.progress.map(JobProgress::from),
            created_at: job.created_at.into(),
            started_at: job.started_at.map(SystemTime::from),
            finished_at: job.finished_at.map(SystemTime::from),
        }
    }
}

impl From<hivesync::jobs::JobProgress> for JobProgress {
    fn from(progress: hivesync::jobs::JobProgress) -> Self {
        Self {
            phase: progress.phase.into(),
            done: progress.done,
            total: progress.total,
            bytes: progress.bytes,
        }
    }
}
