//! The embedded store: one process, bounded, nothing survives a restart.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use super::window::State;
use super::{Error, Millis, Result, SUBSCRIPTION_MESSAGES_MAX, Store, Tier, Verdict};

/// Channels with a subscriber at one time.
const CHANNELS_MAX: usize = 10_000;

/// The embedded store. Values and counters have a cap each, so that a flood of counted addresses cannot
/// push out the replay store. A full shelf refuses: a forgotten replay would be admitted twice, and a
/// forgotten counter would lift its limit.
pub struct Memory {
    clock: Millis,
    values: Mutex<Shelf<Bytes>>,
    counters: Mutex<Shelf<State>>,
    channels: Mutex<HashMap<String, broadcast::Sender<Bytes>>>,
}

impl Memory {
    /// An empty store of at most `entries_max` values and as many counters.
    pub fn new(clock: Millis, entries_max: usize) -> Self {
        Self {
            clock,
            values: Mutex::new(Shelf::new(entries_max)),
            counters: Mutex::new(Shelf::new(entries_max)),
            channels: Mutex::default(),
        }
    }

    fn expiry(&self, ttl: Duration) -> (u64, u64) {
        let now = (self.clock)();
        (now, now.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Decides as [`super::Kv::decide`] does, without waiting.
    fn decide_now(&self, tiers: &[Tier<'_>]) -> Result<Verdict> {
        let now = (self.clock)();
        let mut counters = lock(&self.counters);
        let mut admissions = Vec::with_capacity(tiers.len());
        let mut denied: Option<(usize, u64)> = None;
        let mut least = (0, u32::MAX);
        for (index, tier) in tiers.iter().enumerate() {
            match tier.window.check(counters.get(tier.key, now), now) {
                Ok(admission) => {
                    if admission.remaining < least.1 {
                        least = (index, admission.remaining);
                    }
                    admissions.push((tier.key, admission));
                }
                Err(refusal) => {
                    if denied.is_none_or(|(_, wait)| wait < refusal.retry_after_ms) {
                        denied = Some((index, refusal.retry_after_ms));
                    }
                }
            }
        }
        if let Some((tier, retry_after_ms)) = denied {
            return Ok(Verdict::Denied { tier, retry_after_ms });
        }
        counters.reserve(admissions.iter().map(|(key, _)| *key), now)?;
        for (key, admission) in admissions {
            counters.put(key, admission.next, admission.expires_at_ms, now)?;
        }
        Ok(Verdict::Allowed { tier: least.0, remaining: least.1 })
    }
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(lock(&self.values).get(key, (self.clock)()).cloned())
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        let (now, expires_at) = self.expiry(ttl);
        lock(&self.values).put(key, value, expires_at, now)
    }

    async fn put_if_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool> {
        let (now, expires_at) = self.expiry(ttl);
        let mut values = lock(&self.values);
        if values.get(key, now).is_some() {
            return Ok(false);
        }
        values.put(key, value, expires_at, now)?;
        Ok(true)
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<()> {
        let mut channels = lock(&self.channels);
        let abandoned = channels.get(channel).is_some_and(|sender| sender.send(payload).is_err());
        if abandoned {
            channels.remove(channel);
        }
        Ok(())
    }

    async fn subscribe(&self, channel: &str) -> Result<broadcast::Receiver<Bytes>> {
        let mut channels = lock(&self.channels);
        if let Some(sender) = channels.get(channel) {
            return Ok(sender.subscribe());
        }
        if channels.len() >= CHANNELS_MAX {
            channels.retain(|_, sender| sender.receiver_count() > 0);
        }
        if channels.len() >= CHANNELS_MAX {
            return Err(Error::Full);
        }
        let (sender, receiver) = broadcast::channel(SUBSCRIPTION_MESSAGES_MAX);
        channels.insert(channel.to_owned(), sender);
        Ok(receiver)
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    async fn decide(&self, tiers: &[Tier<'_>]) -> Result<Verdict> {
        self.decide_now(tiers)
    }
}

/// A bounded map whose entries expire, with an index by expiry so that expired ones go first.
struct Shelf<T> {
    entries_max: usize,
    entries: HashMap<Arc<str>, (u64, T)>,
    by_expiry: BTreeSet<(u64, Arc<str>)>,
}

impl<T> Shelf<T> {
    fn new(entries_max: usize) -> Self {
        Self { entries_max, entries: HashMap::new(), by_expiry: BTreeSet::new() }
    }

    fn get(&self, key: &str, now: u64) -> Option<&T> {
        self.entries.get(key).filter(|(expires_at, _)| *expires_at > now).map(|(_, value)| value)
    }

    fn put(&mut self, key: &str, value: T, expires_at: u64, now: u64) -> Result<()> {
        self.reserve(std::iter::once(key), now)?;
        self.remove(key);
        let key: Arc<str> = key.into();
        self.by_expiry.insert((expires_at, Arc::clone(&key)));
        self.entries.insert(key, (expires_at, value));
        Ok(())
    }

    /// Makes sure that all of `keys` can be put, or changes nothing that is still alive.
    fn reserve<'a>(&mut self, keys: impl Iterator<Item = &'a str>, now: u64) -> Result<()> {
        let added = keys.filter(|key| !self.entries.contains_key(*key)).count();
        while self.entries.len() + added > self.entries_max {
            match self.by_expiry.first().cloned() {
                Some((expires_at, key)) if expires_at <= now => self.remove(&key),
                _ => return Err(Error::Full),
            }
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) {
        if let Some((key, (expires_at, _))) = self.entries.remove_entry(key) {
            self.by_expiry.remove(&(expires_at, key));
        }
    }
}

/// A shelf is consistent between statements that can panic (there are none), so a poisoned lock is usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
