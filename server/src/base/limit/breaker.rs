//! A circuit breaker: after a failure nobody asks again for a while, then one call tries.

use std::sync::atomic::{AtomicU64, Ordering};

/// How long a failure keeps everybody away.
const OPEN_MS: u64 = 1_000;

/// Closed while `open_until_ms` is 0.
#[derive(Default)]
pub(super) struct Breaker {
    open_until_ms: AtomicU64,
}

impl Breaker {
    /// Whether a call may go through at `now`. When the time is over, exactly one may, and the others stay
    /// away for as long again unless it succeeds.
    pub(super) fn admits(&self, now: u64) -> bool {
        let until = self.open_until_ms.load(Ordering::Relaxed);
        if until == 0 {
            return true;
        }
        now >= until
            && self
                .open_until_ms
                .compare_exchange(until, now + OPEN_MS, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(super) fn open(&self, now: u64) {
        self.open_until_ms.store(now + OPEN_MS, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        self.open_until_ms.store(0, Ordering::Relaxed);
    }
}
