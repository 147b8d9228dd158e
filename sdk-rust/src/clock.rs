//! The time of day. Spans are measured by tokio's clock, which a test can move.

#![allow(clippy::disallowed_methods, reason = "this is the one place that reads the time of day")]

use time::OffsetDateTime;

/// Now, in UTC.
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}
