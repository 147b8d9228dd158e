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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Action, Event, Lease, LeaseToken};

    const TTL: Duration = Duration::from_secs(12);
    const GRACE: Duration = Duration::from_secs(5);
    const WITH_RESULT: Event = Event::Ended { has_result: true };
    const WITHOUT: Event = Event::Ended { has_result: false };
    const CANCEL: Event = Event::CancelAsked { grace: GRACE };
    const KILL: Option<Action> = Some(Action::Stop { grace: Duration::ZERO });
    const STOP: Option<Action> = Some(Action::Stop { grace: GRACE });

    #[test]
    fn follows_each_course() {
        let courses: [&[(Event, Option<Action>)]; 9] = [
            &[(WITH_RESULT, Some(Action::Commit)), (CANCEL, None), (Event::DrainEnded, None)],
            &[(CANCEL, STOP), (CANCEL, None), (WITHOUT, Some(Action::CommitCancelled))],
            // A result that was reached nevertheless is true, and is told.
            &[(CANCEL, STOP), (WITH_RESULT, Some(Action::Commit))],
            &[(Event::Lost, KILL), (Event::Lost, None), (CANCEL, None), (WITH_RESULT, Some(Action::Drop))],
            &[(CANCEL, STOP), (Event::Lost, KILL), (WITHOUT, Some(Action::Drop))],
            &[(WITH_RESULT, Some(Action::Commit)), (Event::Lost, Some(Action::Drop)), (Event::Lost, None)],
            &[
                (Event::DrainEnded, Some(Action::Stop { grace: Duration::from_secs(2) })),
                (WITHOUT, Some(Action::Release)),
            ],
            &[(Event::DrainEnded, Some(Action::Stop { grace: Duration::from_secs(2) })), (Event::Lost, KILL)],
            &[(WITHOUT, Some(Action::Commit)), (WITHOUT, None)],
        ];
        for course in courses {
            let now = Instant::now();
            let mut lease = Lease::new(TTL, now);
            for (event, expected) in course {
                assert_eq!(lease.step(*event, now), *expected, "{event:?} of {course:?}");
            }
        }
    }

    #[test]
    fn ends_its_own_job_two_seconds_before_another_may_have_it() {
        let start = Instant::now();
        let mut lease = Lease::new(TTL, start);
        let renewed_at = start + Duration::from_secs(3);
        assert_eq!(lease.step(Event::Renewed { sent_at: renewed_at }, start + Duration::from_secs(4)), None);
        // An answer that was late counts from when its beat was sent, and never backwards.
        assert_eq!(lease.step(Event::Renewed { sent_at: start }, start + Duration::from_secs(5)), None);
        let deadline = renewed_at + TTL - Duration::from_secs(2);
        assert_eq!(lease.step(Event::Tick, deadline - Duration::from_millis(1)), None);
        assert_eq!(lease.step(Event::Tick, deadline), KILL);
        assert_eq!(lease.step(Event::Tick, deadline), None);
        assert_eq!(lease.step(WITHOUT, deadline), Some(Action::Release));
    }

    #[test]
    fn does_not_let_a_grace_outlive_the_lease() {
        let start = Instant::now();
        let mut lease = Lease::new(TTL, start);
        assert_eq!(lease.step(CANCEL, start), STOP);
        assert_eq!(lease.step(Event::Tick, start + TTL), KILL);
    }

    /// Whatever happens in whatever order: nothing is reported twice or after the lease was lost, and no
    /// job runs on past its lease.
    #[test]
    fn keeps_its_promises_in_any_order() {
        let mut seed: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut next = move |limit: u64| {
            // xorshift64 (Marsaglia 2003).
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % limit
        };
        for _ in 0..20_000 {
            let start = Instant::now();
            let mut now = start;
            let mut lease = Lease::new(TTL, now);
            let (mut reports, mut is_lost, mut is_stopped, mut renewed_at) = (0, false, false, start);
            for _ in 0..12 {
                now += Duration::from_millis(next(4000));
                let event = match next(7) {
                    0 => CANCEL,
                    1 => Event::Lost,
                    2 => Event::DrainEnded,
                    3 => WITH_RESULT,
                    4 => WITHOUT,
                    5 => Event::Renewed { sent_at: now },
                    _ => Event::Tick,
                };
                if let Event::Renewed { sent_at } = event {
                    renewed_at = sent_at;
                }
                let was_executing = lease.is_executing();
                is_lost |= event == Event::Lost;
                match lease.step(event, now) {
                    Some(Action::Commit | Action::CommitCancelled | Action::Release) => {
                        assert!(was_executing && !is_lost);
                        reports += 1;
                    }
                    Some(Action::Stop { .. }) => is_stopped = true,
                    Some(Action::Drop) => assert!(is_lost),
                    None => {}
                }
                assert!(reports <= 1);
                if event == Event::Tick && now >= renewed_at + TTL {
                    assert!(!lease.is_executing() || is_stopped);
                }
            }
        }
    }

    #[test]
    fn has_a_token_that_no_log_shows() {
        assert!(LeaseToken::from_wire(&[1; 15]).is_none() && LeaseToken::from_wire(&[]).is_none());
        let token = LeaseToken::from_wire(&[7; 16]).unwrap();
        assert_eq!((token.to_wire(), format!("{token:?}")), (vec![7; 16], "LeaseToken(..)".to_owned()));
    }
}
