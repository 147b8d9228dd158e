//! The only place that takes chance.

#![allow(clippy::disallowed_methods, reason = "this is the module for random values")]

use std::time::Duration;

use uuid::Uuid;

/// A new random identifier, with 122 random bits.
#[must_use]
pub(crate) fn uuid() -> Uuid {
    Uuid::new_v4()
}

/// A time between nothing and `limit`, evenly spread.
#[must_use]
pub(crate) fn jitter(limit: Duration) -> Duration {
    // The low half of a version 4 UUID has 62 random bits below its variant.
    let bits = Uuid::new_v4().as_u64_pair().1 & ((1 << 32) - 1);
    limit.mul_f64(bits as f64 / f64::from(u32::MAX))
}
