//! The nouns of the queue and their rules.

mod job;
mod lease;
mod overview;
mod retry;
mod settle;
mod work;

pub use job::{Job, JobKind, JobPhase, JobState, NewJob, OnConflict, Priority, Progress};
pub use lease::{Claimed, LeaseId, LeaseToken, Resumed, Timing};
pub use overview::{Connected, QueueDepth, Worker};
pub use retry::{Failure, FailureClass, Next, Tally};
pub use settle::{Ending, Settled, settle};
pub use work::{CleanupOutcome, LeasedWork, Outcome, SyncOutcome, VerifyFile, VerifyOutcome, Work};
