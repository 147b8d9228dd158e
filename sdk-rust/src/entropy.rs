//! Where this crate gets random values from.

#![allow(clippy::disallowed_methods, reason = "this is the one place that makes random values")]

use uuid::Uuid;

/// A random identifier: 122 bits from the operating system.
pub(crate) fn id() -> Uuid {
    Uuid::new_v4()
}

/// Uniform in 0..1.
pub(crate) fn fraction() -> f64 {
    let (_, low) = id().as_u64_pair();
    // The lowest 32 bits of a version 4 UUID are random throughout (RFC 9562, 5.4).
    f64::from(low as u32) / (f64::from(u32::MAX) + 1.0)
}

/// Random bytes from the operating system; `None` if it has none.
#[cfg(all(feature = "sealed-file", unix))]
pub(crate) fn bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().map(|()| bytes)
}
