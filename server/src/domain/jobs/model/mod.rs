//! The nouns of the queue and their rules.

mod job;
mod lease;
mod retry;
mod work;

pub use job::{Job, JobKind, JobPhase, JobState, NewJob, OnConflict, Priority, Progress};
pub use lease::{LeaseToken, Timing};
pub use retry::{Failure, FailureClass, Next, Tally};
pub use work::{CleanupOutcome, LeasedWork, Outcome, SyncOutcome, VerifyFile, VerifyOutcome, Work};
