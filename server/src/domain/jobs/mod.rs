//! The durable queue, and the workers' side of it.
//!
//! A job runs at least once and takes effect at most once. Each claim of it writes, in one transaction, a
//! lease epoch that only grows and a fresh random token. Whatever a worker hands in is written in a
//! transaction that first requires that token, so that of all the attempts of a job one at most changes
//! anything, however late the others come.
//!
//! A slice queues work with [`enqueue`] in its own transaction, and stands behind a kind of job as a
//! [`JobHandler`]: it says what the worker is given, and puts the result in place inside the fenced
//! transaction.

pub mod dispatch;
mod handler;
mod model;
mod ops;
mod rpc;
mod store;

pub use handler::{JobHandler, JobHandlers};
pub use model::{
    CleanupOutcome, Job, JobKind, JobPhase, JobState, LeasedWork, NewJob, OnConflict, Outcome, Priority,
    Progress, QueueDepth, SyncOutcome, Tally, VerifyFile, VerifyOutcome, Work, Worker,
};
pub use ops::{Queued, enqueue, queue_depth, workers};
pub use rpc::Rpc;
pub use store::find;

use crate::base::{ids::JobId, signal::Topic};

/// Raised when a job may be claimed.
const TOPIC: Topic = Topic::all("jobs");
/// Raised when a leased job is to be cancelled.
const CANCELS: Topic = Topic::all("job-cancels");

/// Raised when one job changes.
const fn topic_of(job: JobId) -> Topic {
    Topic::one("job", job.0)
}

#[cfg(test)]
mod tests;
