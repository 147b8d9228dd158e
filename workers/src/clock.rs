//! The only place that reads the time of day. Intervals are measured with tokio's clock, which tests move.

#![allow(clippy::disallowed_methods, reason = "this is the module for time")]

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of Unix time.
#[must_use]
pub(crate) fn unix_secs() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
