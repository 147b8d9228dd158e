//! The arithmetic of rate limits. `decide.lua` does the same sums inside Redis.
//!
//! Time is in whole milliseconds. A reading is rounded down, so two calls that are really just under a
//! window apart can read a whole window apart; both algorithms therefore treat the window as one
//! millisecond longer, and no interval of the stated length ever admits more than the limit.

use std::collections::VecDeque;
use std::time::Duration;

/// Up to this limit every admitted call is remembered (an exact sliding log); above it two numbers stand
/// for all of them (GCRA, the generic cell rate algorithm of ITU-T I.371).
const LOG_MAX: u32 = 64;

/// A bound on how often something may happen: at most `max` times in any interval of `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    max: u32,
    window_ms: u64,
}

/// How a window is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The times of the last admitted calls.
    Log,
    /// `burst` calls at once, then one every `interval_us`, with burst + window ÷ interval ≤ max.
    Gcra { burst: u64, interval_us: u64 },
}

/// What was counted on one key so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Times of admitted calls in ms, oldest first; at most [`LOG_MAX`].
    Log(VecDeque<u64>),
    /// The theoretical arrival time in µs: until when the admitted calls would last at the steady rate.
    Gcra(u64),
}

/// A call that a window admits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admission {
    /// Calls it would admit at once after this one.
    pub(super) remaining: u32,
    /// What to remember if the call goes through.
    pub(super) next: State,
    /// When that may be forgotten, in ms.
    pub(super) expires_at_ms: u64,
}

/// A call that a window refuses, with the milliseconds until it would be admitted; at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) retry_after_ms: u64,
}

impl Window {
    /// At most `max` times (0 means never) in any interval of `window`, which is rounded up to a
    /// millisecond and cut to a day.
    pub const fn new(max: u32, window: Duration) -> Self {
        let millis = window.as_millis();
        let day_ms = 24 * 60 * 60 * 1000;
        let window_ms = if millis == 0 {
            1
        } else if millis > day_ms as u128 {
            day_ms
        } else {
            millis as u64
        };
        Self { max, window_ms }
    }

    /// How often at most.
    pub const fn max(self) -> u32 {
        self.max
    }

    /// In which interval.
    pub const fn length(self) -> Duration {
        Duration::from_millis(self.window_ms)
    }

    /// The share of one of `parts` replicas that cannot talk to each other; at least 1 unless it was 0.
    #[must_use]
    pub fn share(self, parts: u32) -> Self {
        let share = self.max / parts.max(1);
        Self { max: if self.max == 0 { 0 } else { share.max(1) }, ..self }
    }

    pub(super) const fn window_ms(self) -> u64 {
        self.window_ms
    }

    pub(super) fn kind(self) -> Kind {
        if self.max <= LOG_MAX {
            return Kind::Log;
        }
        let burst = u64::from(self.max / 2);
        let steady = u64::from(self.max) - burst;
        Kind::Gcra { burst, interval_us: ((self.window_ms + 1) * 1000).div_ceil(steady) }
    }

    /// Whether a call now is admitted after what `state` says was counted.
    pub(super) fn check(self, state: Option<&State>, now_ms: u64) -> Result<Admission, Refusal> {
        match self.kind() {
            Kind::Log => {
                let empty = VecDeque::new();
                let log = if let Some(State::Log(log)) = state { log } else { &empty };
                self.check_log(log, now_ms)
            }
            Kind::Gcra { burst, interval_us } => {
                let arrival_us = if let Some(State::Gcra(arrival_us)) = state { *arrival_us } else { 0 };
                check_gcra(burst, interval_us, arrival_us, now_ms)
            }
        }
    }

    fn check_log(self, log: &VecDeque<u64>, now_ms: u64) -> Result<Admission, Refusal> {
        let max = self.max as usize;
        let mut live: VecDeque<u64> =
            log.iter().copied().filter(|at| now_ms.saturating_sub(*at) <= self.window_ms).collect();
        if live.len() >= max {
            let blocking = live.get(live.len() - max).copied().unwrap_or(now_ms);
            return Err(Refusal {
                retry_after_ms: (blocking + self.window_ms + 1).saturating_sub(now_ms).max(1),
            });
        }
        live.push_back(now_ms);
        let remaining = self.max - live.len() as u32;
        Ok(Admission { remaining, next: State::Log(live), expires_at_ms: now_ms + self.window_ms + 1 })
    }
}

fn check_gcra(burst: u64, interval_us: u64, arrival_us: u64, now_ms: u64) -> Result<Admission, Refusal> {
    let now_us = now_ms * 1000;
    let ahead_us = arrival_us.saturating_sub(now_us);
    let tolerance_us = (burst - 1) * interval_us;
    if ahead_us > tolerance_us {
        return Err(Refusal { retry_after_ms: (ahead_us - tolerance_us).div_ceil(1000) });
    }
    let next_us = now_us + ahead_us + interval_us;
    let remaining = (tolerance_us - ahead_us) / interval_us;
    Ok(Admission {
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        next: State::Gcra(next_us),
        expires_at_ms: next_us / 1000 + 1,
    })
}
