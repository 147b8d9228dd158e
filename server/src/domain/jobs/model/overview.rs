//! What an operator sees of the queue.

use std::time::Duration;

use uuid::Uuid;

use super::JobKind;
use crate::base::clock::Timestamp;

/// How one kind of job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// The kind.
    pub kind: JobKind,
    /// Jobs that could start now.
    pub ready: u64,
    /// Jobs that wait for their next try.
    pub delayed: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that were given up and are kept.
    pub dead: u64,
    /// How long the oldest ready job has waited.
    pub oldest_age: Duration,
}

/// A worker that opened a stream.
#[derive(Clone, Copy, Debug)]
pub struct Connected<'a> {
    /// Its stable name.
    pub worker_id: &'a str,
    /// Its process.
    pub incarnation_id: Uuid,
    /// The stream.
    pub session_id: Uuid,
    /// Its software.
    pub build: &'a str,
    /// What it can do.
    pub kinds: &'a [JobKind],
    /// Jobs it can run at a time.
    pub slots: u32,
    /// How it locks jobs in.
    pub sandbox_tier: u32,
    /// When it opened the stream.
    pub now: Timestamp,
}

/// A connected worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// Its stable name.
    pub worker_id: String,
    /// Its software.
    pub build: String,
    /// What it can do.
    pub kinds: Vec<JobKind>,
    /// Jobs it can run at a time.
    pub slots: u32,
    /// Jobs it runs.
    pub running: u64,
    /// When its stream was opened.
    pub connected_at: Timestamp,
    /// When it was last heard of.
    pub seen_at: Timestamp,
    /// Whether it takes no more jobs.
    pub draining: bool,
}
