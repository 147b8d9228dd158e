//! Chance: the only source of random bytes and identifiers.
#![allow(clippy::disallowed_methods, reason = "this is the place that touches chance")]

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;

use super::{
    clock::Timestamp,
    error::{Error, Result},
};

/// The operating system's random number generator.
#[derive(Clone, Debug)]
pub struct Entropy(SystemRandom);

impl Default for Entropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy {
    /// `N` random bytes.
    ///
    /// # Errors
    /// `INTERNAL` if the system cannot give any.
    pub fn bytes<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes).map_err(|_| Error::internal("the system has no random bytes"))?;
        Ok(bytes)
    }

    /// A time-ordered identifier (RFC 9562, version 7) for something made at `now`.
    ///
    /// # Errors
    /// `INTERNAL` if the system has no random bytes.
    pub fn uuid(&self, now: Timestamp) -> Result<Uuid> {
        let millis = u64::try_from(now.as_millis()).unwrap_or(0);
        Ok(uuid::Builder::from_unix_timestamp_millis(millis, &self.bytes()?).into_uuid())
    }
}
