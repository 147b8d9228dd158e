//! The life of one lease, as the worker sees it: a pure state machine, stepped by what happens and when.

use std::{fmt, time::Duration};

use tokio::time::Instant;

/// How long before a lease can be given to somebody else its holder ends its own work.
const SELF_KILL_MARGIN: Duration = Duration::from_secs(2);

/// What fences every result of a lease.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseToken([u8; 16]);

impl LeaseToken {
    /// Reads a token from the wire; none unless it has 16 bytes.
    #[must_use]
    pub fn from_wire(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Its form on the wire.
    #[must_use]
    pub fn to_wire(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// Nothing: whoever reads a log must not be able to commit.
impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}

/// What happens to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server acknowledged a beat which was sent then.
    Renewed { sent_at: Instant },
    /// The server asks for the job to be stopped.
    CancelAsked { grace: Duration },
    /// Somebody else holds the job now.
    Lost,
    /// The worker is leaving and has waited long enough.
    DrainEnded,
    /// The job's processes have ended, with a result or without one.
    Ended { has_result: bool },
    /// Time has passed.
    Tick,
}

/// What is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Stop the job's processes: politely, and after the grace by force.
    Stop { grace: Duration },
    /// Commit the job's own outcome.
    Commit,
    /// Acknowledge the cancel and commit that the job was stopped.
    CommitCancelled,
    /// Give the job back.
    Release,
    /// Forget the job and report nothing.
    Drop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Stopping(Cause),
    Reporting,
    Over,
}

/// Why a job is being stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Cancelled,
    Expired,
    Drained,
    Lost,
}

/// One lease.
#[derive(Debug)]
pub struct Lease {
    phase: Phase,
    renewed_at: Instant,
    ttl: Duration,
}

impl Lease {
    /// A lease that was granted at `now` and lives for `ttl` after each acknowledged beat.
    #[must_use]
    pub fn new(ttl: Duration, now: Instant) -> Self {
        Self { phase: Phase::Running, renewed_at: now, ttl }
    }

    /// Whether the job still takes a slot.
    #[must_use]
    pub fn is_executing(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Stopping(_))
    }

    /// Whether nothing of the job concerns the server any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over || self.phase == Phase::Stopping(Cause::Lost)
    }

    /// Takes note of an event and says what is to be done.
    pub fn step(&mut self, event: Event, now: Instant) -> Option<Action> {
        use Phase::{Over, Reporting, Running, Stopping};
        match (self.phase, event) {
            (_, Event::Renewed { sent_at }) => {
                self.renewed_at = self.renewed_at.max(sent_at);
                None
            }
            (Running, Event::CancelAsked { grace }) => self.stop(Cause::Cancelled, grace),
            (Running, Event::DrainEnded) => self.stop(Cause::Drained, SELF_KILL_MARGIN),
            (Running | Stopping(Cause::Cancelled | Cause::Drained), Event::Tick) if self.is_expired(now) => {
                self.stop(Cause::Expired, Duration::ZERO)
            }
            (Running | Stopping(Cause::Cancelled | Cause::Drained | Cause::Expired), Event::Lost) => {
                self.stop(Cause::Lost, Duration::ZERO)
            }
            (Reporting, Event::Lost) => self.end(Over, Action::Drop),
            (Stopping(Cause::Lost), Event::Ended { .. }) => self.end(Over, Action::Drop),
            (Running, Event::Ended { .. }) | (Stopping(_), Event::Ended { has_result: true }) => {
                self.end(Reporting, Action::Commit)
            }
            (Stopping(Cause::Cancelled), Event::Ended { .. }) => self.end(Reporting, Action::CommitCancelled),
            (Stopping(Cause::Expired | Cause::Drained), Event::Ended { .. }) => {
                self.end(Reporting, Action::Release)
            }
            _ => None,
        }
    }

    fn stop(&mut self, cause: Cause, grace: Duration) -> Option<Action> {
        self.phase = Phase::Stopping(cause);
        Some(Action::Stop { grace })
    }

    fn end(&mut self, phase: Phase, action: Action) -> Option<Action> {
        self.phase = phase;
        Some(action)
    }

    fn is_expired(&self, now: Instant) -> bool {
        let margin = SELF_KILL_MARGIN.min(self.ttl / 2);
        now.saturating_duration_since(self.renewed_at) >= self.ttl - margin
    }
}
