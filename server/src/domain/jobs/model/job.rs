//! A job: a queued unit of work.

use std::time::Duration;

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

use super::{Tally, Work};
use crate::base::{
    clock::Timestamp,
    error::Reason,
    ids::{JobId, ProjectId, TeamId, UserId},
};

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum JobKind {
    /// Fetches a repository into its mirror.
    RepoSync = 1,
    /// Checks the files of a preview.
    PreviewVerify = 2,
    /// Removes mirrors that nothing refers to any more.
    Cleanup = 3,
}

impl JobKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::RepoSync, Self::PreviewVerify, Self::Cleanup];

    /// How the kind is written in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RepoSync => "repo_sync",
            Self::PreviewVerify => "preview_verify",
            Self::Cleanup => "cleanup",
        }
    }

    /// How long one attempt may run.
    #[must_use]
    pub const fn time_limit(self) -> Duration {
        match self {
            Self::RepoSync => Duration::from_secs(30 * 60),
            Self::PreviewVerify | Self::Cleanup => Duration::from_secs(10 * 60),
        }
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum JobState {
    /// Waits for a worker, or for its next try.
    Queued = 1,
    /// Is leased to a worker.
    Running = 2,
    /// Is leased to a worker that was asked to stop it.
    Cancelling = 3,
    /// Ended with a result.
    Succeeded = 4,
    /// Was given up.
    Failed = 5,
    /// Was stopped because it was asked for.
    Cancelled = 6,
}

impl JobState {
    /// Whether the job has ended.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// Whether a worker holds the job.
    #[must_use]
    pub const fn is_leased(self) -> bool {
        matches!(self, Self::Running | Self::Cancelling)
    }

    /// How the state is written in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Which of a team's jobs goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum Priority {
    /// Nobody waits for it.
    Background = 1,
    /// The ordinary one.
    Normal = 2,
    /// A person looks at a progress bar.
    Interactive = 3,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Job {
    /// Identifies the job.
    pub id: JobId,
    /// What it is to do.
    pub work: Work,
    /// Where it stands.
    pub state: JobState,
    /// The team it counts against.
    pub team: TeamId,
    /// The project it is about, if one.
    pub project: Option<ProjectId>,
    /// Who asked for it, unless the server did.
    pub requested_by: Option<UserId>,
    /// The correlation ID of the call that queued it.
    pub correlation: String,
    /// Grows with every claim, and is never reset.
    pub lease_epoch: u64,
    /// How it was tried so far.
    pub tally: Tally,
    /// Why it was given up, if it was.
    pub failure: Option<Reason>,
    /// When it was queued.
    pub created_at: Timestamp,
    /// When it was last started, if ever.
    pub started_at: Option<Timestamp>,
    /// When it ended, if it has.
    pub finished_at: Option<Timestamp>,
}

impl Job {
    /// What it does.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        self.work.kind()
    }
}

/// A job to be queued.
#[derive(Clone, Debug)]
pub struct NewJob {
    /// What it is to do.
    pub work: Work,
    /// The team it counts against.
    pub team: TeamId,
    /// The project it is about, if one.
    pub project: Option<ProjectId>,
    /// Which of the team's jobs goes first.
    pub priority: Priority,
    /// At most one job with the same key runs at a time. At most 200 bytes, such as `repo:<project>`.
    pub concurrency_key: Option<String>,
    /// What happens if there is a job with the same key already.
    pub on_conflict: OnConflict,
    /// Who asks for it, unless the server does.
    pub requested_by: Option<UserId>,
}

/// What happens to a new job if there is one with the same concurrency key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// It waits for its turn.
    Queue,
    /// One that still waits does for both. One that runs may have looked before the change that the new
    /// job is for, so that the new one waits for its turn.
    Coalesce,
    /// It takes the place of the earlier one, which is cancelled.
    CancelInProgress,
    /// It is refused.
    Reject,
}

/// What a running job does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobPhase {
    /// Gets ready.
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

/// How far a running job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What it does.
    pub phase: JobPhase,
    /// Items done in this phase.
    pub done: u64,
    /// Items of this phase in all; 0 while unknown.
    pub total: u64,
    /// Bytes moved in this phase.
    pub bytes: u64,
}
