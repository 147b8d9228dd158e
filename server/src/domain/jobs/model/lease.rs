//! A worker's right to a job.

use std::{fmt, time::Duration};

use super::{Job, JobKind};
use crate::base::{clock::Timestamp, ids::JobId};

/// Fences every result of a lease: 128 random bits, made anew at each claim. A fence and not a
/// credential; still it is never logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken(pub [u8; 16]);

impl LeaseToken {
    /// Reads a token that arrived; `None` if it is not 16 bytes long.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LeaseToken(***)")
    }
}

/// Names one lease of one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseId {
    /// The job.
    pub job: JobId,
    /// The lease.
    pub token: LeaseToken,
}

/// A job that was claimed.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job.
    pub job: Job,
    /// Its lease.
    pub token: LeaseToken,
}

/// A lease that goes on over a new stream.
#[derive(Clone, Copy, Debug)]
pub struct Resumed {
    /// The lease.
    pub lease: LeaseId,
    /// What its job does.
    pub kind: JobKind,
    /// Its epoch.
    pub epoch: u64,
    /// Up to when it is written.
    pub written_until: Timestamp,
    /// Whether its job is being cancelled.
    pub cancelling: bool,
}

/// The times that a lease lives by.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How often a worker beats.
    pub beat: Duration,
    /// How long a lease lives after the last acknowledged beat. A worker ends its own job two seconds
    /// before.
    pub ttl: Duration,
    /// How long a worker may take to accept a lease.
    pub ack: Duration,
    /// How long a worker may be silent before its stream is closed: three beats and some transport.
    pub silence: Duration,
    /// Between the two signals of a cancelled job.
    pub grace: Duration,
    /// How long a worker may take to confirm that it stopped a job.
    pub cancel: Duration,
    /// How much later than the worker the server enforces a job's time limit.
    pub overtime: Duration,
}

impl Timing {
    /// The times in use.
    pub const STANDARD: Self = Self {
        beat: Duration::from_secs(3),
        ttl: Duration::from_secs(12),
        ack: Duration::from_secs(2),
        silence: Duration::from_millis(9_500),
        grace: Duration::from_secs(5),
        cancel: Duration::from_secs(30),
        overtime: Duration::from_secs(15),
    };

    /// How far ahead a lease is written: each acknowledged beat promises one `ttl`, and a write that
    /// covers half of one more saves a write for every other beat.
    #[must_use]
    pub fn written_ahead(&self) -> Duration {
        self.ttl + self.ttl / 2
    }
}
