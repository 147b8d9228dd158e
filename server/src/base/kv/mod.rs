//! Short-lived keys: replay stores, hints between replicas, and the counters of the rate limiter.
//!
//! Nothing here is durable. Every key has a time to live, and a key that is lost must cost at most a
//! repeated effort, never a wrong answer: what must survive belongs in the database. Keys and values may
//! be secrets and are never logged.

mod memory;
mod redis;
pub mod window;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

pub use memory::Memory;
pub use redis::Redis;
use window::Window;

use super::clock::Clock;
use super::error;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 256;
/// The largest value or message, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024;
/// The longest time to live.
pub const TTL_MAX: Duration = Duration::from_secs(31 * 24 * 60 * 60);
/// The most tiers that one decision covers.
pub const TIERS_MAX: usize = 8;
/// Messages that a subscriber may lag behind before it loses the oldest.
const SUBSCRIPTION_MESSAGES_MAX: usize = 256;

/// Reads milliseconds since the epoch from a clock.
pub type Millis = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The milliseconds of `clock`.
#[must_use]
pub fn millis(clock: &Clock) -> Millis {
    let clock = clock.clone();
    Arc::new(move || u64::try_from(clock.now().as_millis()).unwrap_or(0))
}

/// Why a key could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The store does not answer. The text names the failure's class, never a key, a value or an address.
    #[error("the key store is unavailable: {0}")]
    Unavailable(&'static str),
    /// The embedded store holds as much as it may.
    #[error("the key store is full")]
    Full,
    /// A key, a value, a time to live or the number of tiers is over its limit.
    #[error("{0} is over the limit of the key store")]
    OverLimit(&'static str),
    /// The configured address cannot be used.
    #[error("the address of the key store is not valid")]
    InvalidUrl,
}

impl From<Error> for error::Error {
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::Unavailable(_) | Error::Full => error::Reason::Unavailable,
            Error::OverLimit(_) | Error::InvalidUrl => error::Reason::Internal,
        };
        Self::new(reason).because(error)
    }
}

/// The outcome of an operation on the store.
pub type Result<T> = std::result::Result<T, Error>;

/// One bound on one key: a tier of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Tier<'a> {
    /// What is counted, for example a rule's name and an address.
    pub key: &'a str,
    /// How often it may happen.
    pub window: Window,
}

/// What the tiers of a call say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every tier admits the call, and every tier counted it.
    Allowed {
        /// The tier with the least left.
        tier: usize,
        /// Calls that this tier would admit at once after this one.
        remaining: u32,
    },
    /// At least one tier refuses the call, and none counted it.
    Denied {
        /// The tier that refuses for longest.
        tier: usize,
        /// Milliseconds until that tier admits a call again, if none comes before; at least 1.
        retry_after_ms: u64,
    },
}

/// What an implementation of the store provides. Arguments were checked by [`Kv`].
#[async_trait]
trait Store: Send + Sync {
    async fn get(&self, key: &str) -> Result<Option<Bytes>>;
    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()>;
    async fn put_if_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool>;
    async fn publish(&self, channel: &str, payload: Bytes) -> Result<()>;
    async fn subscribe(&self, channel: &str) -> Result<broadcast::Receiver<Bytes>>;
    async fn ping(&self) -> Result<()>;
    async fn decide(&self, tiers: &[Tier<'_>]) -> Result<Verdict>;
}

/// A handle on the store; clones share it.
#[derive(Clone)]
pub struct Kv {
    store: Arc<dyn Store>,
}

impl From<Memory> for Kv {
    fn from(store: Memory) -> Self {
        Self { store: Arc::new(store) }
    }
}

impl From<Redis> for Kv {
    fn from(store: Redis) -> Self {
        Self { store: Arc::new(store) }
    }
}

impl Kv {
    /// Reads a key; `None` if it is not there or its time is over.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        check_key(key)?;
        self.store.get(key).await
    }

    /// Writes a key over whatever it held. `ttl` is at least a millisecond and at most [`TTL_MAX`].
    pub async fn put(&self, key: &str, value: impl Into<Bytes> + Send, ttl: Duration) -> Result<()> {
        let value = value.into();
        check_entry(key, &value, ttl)?;
        self.store.put(key, value, ttl).await
    }

    /// Writes a key unless it is there, in one step: of any number of callers exactly one gets `true`.
    pub async fn put_if_absent(
        &self,
        key: &str,
        value: impl Into<Bytes> + Send,
        ttl: Duration,
    ) -> Result<bool> {
        let value = value.into();
        check_entry(key, &value, ttl)?;
        self.store.put_if_absent(key, value, ttl).await
    }

    /// Sends a hint to whoever is subscribed at this moment, in every replica. Hints may be lost: a
    /// subscriber uses them to look earlier than it would have looked anyway.
    pub async fn publish(&self, channel: &str, payload: impl Into<Bytes> + Send) -> Result<()> {
        let payload = payload.into();
        check_key(channel)?;
        check_value(&payload)?;
        self.store.publish(channel, payload).await
    }

    /// Receives the hints sent to a channel from now on. A receiver that lags more than 256 messages
    /// behind is told so (`RecvError::Lagged`) and should look at the database.
    pub async fn subscribe(&self, channel: &str) -> Result<broadcast::Receiver<Bytes>> {
        check_key(channel)?;
        self.store.subscribe(channel).await
    }

    /// Whether the store answers.
    pub async fn ping(&self) -> Result<()> {
        self.store.ping().await
    }

    /// Decides all tiers of one call together, in one step: either every tier admits and counts it, or none
    /// counts it. At most [`TIERS_MAX`] tiers, with distinct keys. No tier at all admits everything.
    pub async fn decide(&self, tiers: &[Tier<'_>]) -> Result<Verdict> {
        if tiers.len() > TIERS_MAX {
            return Err(Error::OverLimit("the number of tiers"));
        }
        for tier in tiers {
            check_key(tier.key)?;
        }
        self.store.decide(tiers).await
    }
}

fn check_key(key: &str) -> Result<()> {
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return Err(Error::OverLimit("a key"));
    }
    Ok(())
}

fn check_value(value: &Bytes) -> Result<()> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::OverLimit("a value"));
    }
    Ok(())
}

fn check_entry(key: &str, value: &Bytes, ttl: Duration) -> Result<()> {
    check_key(key)?;
    check_value(value)?;
    if ttl.as_millis() == 0 || ttl > TTL_MAX {
        return Err(Error::OverLimit("a time to live"));
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
