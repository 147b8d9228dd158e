//! Whether and when a failed attempt is followed by another.

use std::time::Duration;

use sea_orm::{DeriveActiveEnum, EnumIter};

use crate::base::error::Reason;

/// Attempts that a job may fail for reasons of its own.
pub const ATTEMPTS_MAX: u32 = 5;
/// Attempts that may be lost with their workers, before the job is suspected to be what kills them.
pub const INFRA_FAILURES_MAX: u32 = 3;
/// The ceiling of the first pause between attempts; it doubles with each.
const BACKOFF: Duration = Duration::from_secs(2);
/// The highest such ceiling.
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// The longest wait that the other side of a job may ask for.
const RATE_LIMIT_WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// How the queue deals with a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum)]
#[sea_orm(rs_type = "i16", db_type = "SmallInteger")]
pub enum FailureClass {
    /// Try again with growing pauses.
    AppError = 1,
    /// Try again after the time that the other side named.
    RateLimited = 2,
    /// Do not try again.
    NonRetryable = 3,
    /// The worker's fault: try again elsewhere, a few times.
    Infra = 4,
    /// Stopped because it was asked to.
    Cancelled = 5,
}

impl FailureClass {
    /// How the class is written in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppError => "app_error",
            Self::RateLimited => "rate_limited",
            Self::NonRetryable => "non_retryable",
            Self::Infra => "infra",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How the queue deals with it.
    pub class: FailureClass,
    /// What the user is told.
    pub reason: Reason,
    /// For [`FailureClass::RateLimited`]: how long to wait.
    pub retry_after: Option<Duration>,
    /// For the operator: what happened, without secrets, code or paths.
    pub detail: String,
}

impl Failure {
    /// A failure without details.
    #[must_use]
    pub fn new(class: FailureClass, reason: Reason) -> Self {
        Self { class, reason, retry_after: None, detail: String::new() }
    }
}

/// How a job was tried so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Leases that a worker accepted.
    pub attempts: u32,
    /// Attempts that were lost with their workers.
    pub infra_failures: u32,
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after a pause.
    Retry(Duration),
    /// None; the job has failed.
    GiveUp(Reason),
}

impl Tally {
    /// What follows when the attempt that was counted last ends with `failure`. `random` is uniform over
    /// its whole range. Counts a failure of the infrastructure.
    pub fn after(&mut self, failure: &Failure, random: u64) -> Next {
        if failure.class == FailureClass::Infra {
            self.infra_failures = self.infra_failures.saturating_add(1);
        }
        match failure.class {
            FailureClass::NonRetryable | FailureClass::Cancelled => Next::GiveUp(failure.reason),
            FailureClass::Infra if self.infra_failures >= INFRA_FAILURES_MAX => Next::GiveUp(failure.reason),
            FailureClass::Infra => Next::Retry(jittered(self.infra_failures.saturating_sub(1), random)),
            _ if self.own_attempts() >= ATTEMPTS_MAX => Next::GiveUp(failure.reason),
            FailureClass::RateLimited => {
                let wait = failure.retry_after.unwrap_or(BACKOFF).min(RATE_LIMIT_WAIT_MAX);
                // Everybody who was turned away at the same time must not come back at the same time.
                Next::Retry(wait + scaled(wait / 10, random))
            }
            FailureClass::AppError => Next::Retry(jittered(self.own_attempts(), random)),
        }
    }

    /// Attempts that were not lost with their workers.
    fn own_attempts(self) -> u32 {
        self.attempts.saturating_sub(self.infra_failures)
    }
}

/// Full jitter: uniform between zero and a ceiling that doubles with each round (M. Brooker, "Exponential
/// Backoff and Jitter", AWS Architecture Blog, 2015). No pause at all in round 0.
fn jittered(round: u32, random: u64) -> Duration {
    let Some(doublings) = round.checked_sub(1) else { return Duration::ZERO };
    let ceiling = BACKOFF.saturating_mul(1u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
    scaled(ceiling, random)
}

/// The part of `whole` that `random` is of its range.
fn scaled(whole: Duration, random: u64) -> Duration {
    let micros = u128::from(random) * whole.as_micros() / u128::from(u64::MAX);
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(class: FailureClass) -> Failure {
        Failure::new(class, Reason::Internal)
    }

    #[test]
    fn pauses_grow_up_to_a_ceiling_and_spread_over_their_whole_range() {
        let ceilings: Vec<_> = (0..12).map(|round| jittered(round, u64::MAX).as_secs()).collect();
        assert_eq!(ceilings, [0, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        assert_eq!(jittered(u32::MAX, u64::MAX), BACKOFF_MAX);
        assert_eq!(jittered(3, 0), Duration::ZERO);
        let half = jittered(3, u64::MAX / 2).as_millis();
        assert!((3_999..=4_000).contains(&half), "{half}");
    }

    #[test]
    fn an_application_error_is_tried_five_times() {
        for attempts in 1..ATTEMPTS_MAX {
            let next = Tally { attempts, infra_failures: 0 }.after(&failure(FailureClass::AppError), 0);
            assert_eq!(next, Next::Retry(Duration::ZERO), "{attempts}");
        }
        let next =
            Tally { attempts: ATTEMPTS_MAX, infra_failures: 0 }.after(&failure(FailureClass::AppError), 0);
        assert_eq!(next, Next::GiveUp(Reason::Internal));
    }

    #[test]
    fn a_lost_worker_has_a_count_of_its_own() {
        let mut tally = Tally { attempts: 1, infra_failures: 0 };
        assert_eq!(tally.after(&failure(FailureClass::Infra), u64::MAX), Next::Retry(Duration::ZERO));
        tally.attempts += 1;
        assert_eq!(tally.after(&failure(FailureClass::Infra), u64::MAX), Next::Retry(BACKOFF));
        tally.attempts += 1;
        assert_eq!(tally.after(&failure(FailureClass::Infra), u64::MAX), Next::GiveUp(Reason::Internal));
        let mut spared = Tally { attempts: ATTEMPTS_MAX, infra_failures: 1 };
        assert!(matches!(spared.after(&failure(FailureClass::AppError), 0), Next::Retry(_)));
    }

    #[test]
    fn a_rate_limit_is_waited_for_but_not_for_ever() {
        let mut limited = failure(FailureClass::RateLimited);
        limited.retry_after = Some(Duration::from_secs(30));
        let mut tally = Tally { attempts: 1, infra_failures: 0 };
        assert_eq!(tally.after(&limited, 0), Next::Retry(Duration::from_secs(30)));
        assert_eq!(tally.after(&limited, u64::MAX), Next::Retry(Duration::from_secs(33)));
        limited.retry_after = Some(Duration::MAX);
        assert_eq!(tally.after(&limited, 0), Next::Retry(RATE_LIMIT_WAIT_MAX));
    }

    #[test]
    fn nothing_follows_what_cannot_be_mended() {
        let mut tally = Tally { attempts: 1, infra_failures: 0 };
        assert_eq!(tally.after(&failure(FailureClass::NonRetryable), 0), Next::GiveUp(Reason::Internal));
    }
}
