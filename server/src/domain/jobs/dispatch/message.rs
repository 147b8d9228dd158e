//! What server and worker tell one another on a worker's stream.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::ids::JobId,
    domain::jobs::model::{JobKind, LeaseToken, LeasedWork, Progress},
};

/// What a worker says.
#[derive(Clone, Debug)]
pub(super) enum FromWorker {
    /// It introduces itself.
    Hello(Hello),
    /// How many more jobs it takes now: absolute, the newest counts.
    Credits(u32),
    /// Its answer to a lease.
    LeaseAck { token: LeaseToken, accepted: bool },
    /// It lives, and holds these leases.
    Heartbeat { sequence: u64, leases: Vec<LeaseToken> },
    /// How far a job is.
    Progress { token: LeaseToken, progress: Progress },
    /// A job's processes have ended; the result is on its way, and so are the credits for the slot.
    ExecDone,
    /// A job was stopped as asked.
    CancelAck(LeaseToken),
    /// It wants no more jobs.
    Draining,
}

/// A worker's introduction.
#[derive(Clone, Debug)]
pub(super) struct Hello {
    pub protocol: u32,
    pub worker_id: String,
    pub incarnation_id: String,
    pub build: String,
    pub kinds: Vec<JobKind>,
    pub slots: u32,
    pub sandbox_tier: u32,
    pub held_leases: Vec<LeaseToken>,
    pub proof: Vec<u8>,
}

/// What the server says.
#[derive(Clone, Debug)]
pub(super) enum ToWorker {
    /// What [`Hello::proof`] must cover.
    Challenge([u8; 32]),
    /// The handshake succeeded.
    Welcome(Welcome),
    /// A job.
    Lease(Box<Lease>),
    /// The verdict on each lease of a beat.
    HeartbeatAck { sequence: u64, verdicts: Vec<(LeaseToken, Verdict)> },
    /// Stop a job.
    Cancel { token: LeaseToken, grace: Duration },
    /// The lease is over.
    Revoke(LeaseToken),
    /// No lease follows.
    DrainStarted,
    /// The stream will end: connect again; leases stay good for this long.
    GoingAway(Duration),
}

/// What a worker is told about its stream.
#[derive(Clone, Debug)]
pub(super) struct Welcome {
    pub session: Uuid,
    pub beat: Duration,
    pub ttl: Duration,
    /// Whether each lease of [`Hello::held_leases`] goes on.
    pub resumed: Vec<(LeaseToken, bool)>,
}

/// A job for a worker.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    pub job: JobId,
    pub token: LeaseToken,
    pub epoch: u64,
    pub attempt: u32,
    pub time_limit: Duration,
    pub correlation: String,
    pub work: LeasedWork,
}

/// What becomes of a held lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    Renewed,
    /// The job is to be stopped.
    Cancel,
    /// It belongs to somebody else.
    Lost,
}
