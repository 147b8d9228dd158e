//! The shared store: Redis 7 or a compatible server, for more than one replica.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fred::clients::{Client, Pool, SubscriberClient};
use fred::error::{Error as RedisError, ErrorKind};
use fred::interfaces::{ClientLike, EventInterface, KeysInterface, PubsubInterface};
use fred::types::config::{Config, ReconnectPolicy};
use fred::types::scripts::Script;
use fred::types::{Builder, Expiration, Message, SetOptions};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

use super::window::Kind;
use super::{Error, Result, SUBSCRIPTION_MESSAGES_MAX, Store, Tier, Verdict};

/// Long enough for a distant replica, short enough that a caller can still use another way.
const TIMEOUT: Duration = Duration::from_millis(500);
const CONNECTIONS: usize = 4;
const RECONNECT_MIN_MS: u32 = 100;
const RECONNECT_MAX_MS: u32 = 5_000;
/// Commands that may wait for a connection; more are refused instead of queued.
const WAITING_COMMANDS_MAX: usize = 4_096;
/// Channels with a subscriber in this process at one time.
const CHANNELS_MAX: usize = 10_000;

type Channels = Arc<Mutex<HashMap<String, broadcast::Sender<Bytes>>>>;
/// Held while a subscription is made or given up, so that the two cannot cross on the way.
type Turns = Arc<tokio::sync::Mutex<()>>;

/// A pool of connections for commands, and one for subscriptions.
pub struct Redis {
    pool: Pool,
    subscriber: SubscriberClient,
    channels: Channels,
    subscriptions: Turns,
    listeners: [AbortHandle; 2],
    prefix: String,
    decide: Script,
}

impl Redis {
    /// Connects to `url` (`redis://` or `rediss://`, with user and password) and keeps reconnecting for as
    /// long as the store lives. Every key begins with `hivesync:<environment>:`.
    ///
    /// # Errors
    /// [`Error::InvalidUrl`], or [`Error::Unavailable`] if the first connection fails.
    pub async fn connect(url: &str, environment: &str) -> Result<Self> {
        let config = Config { fail_fast: true, ..Config::from_url(url).map_err(|_| Error::InvalidUrl)? };
        let mut builder = Builder::from_config(config);
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = TIMEOUT;
                connection.internal_command_timeout = TIMEOUT;
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = WAITING_COMMANDS_MAX;
            })
            .with_performance_config(|performance| performance.default_command_timeout = TIMEOUT)
            .set_policy(ReconnectPolicy::new_exponential(0, RECONNECT_MIN_MS, RECONNECT_MAX_MS, 2));
        let pool = builder.build_pool(CONNECTIONS).map_err(unavailable)?;
        let subscriber = builder.build_subscriber_client().map_err(unavailable)?;
        pool.init().await.map_err(unavailable)?;
        subscriber.init().await.map_err(unavailable)?;
        let channels = Channels::default();
        let subscriptions = Turns::default();
        let listeners = [
            subscriber.manage_subscriptions().abort_handle(),
            deliver_messages(&subscriber, &channels, &subscriptions),
        ];
        Ok(Self {
            pool,
            subscriber,
            channels,
            subscriptions,
            listeners,
            prefix: format!("hivesync:{environment}:"),
            decide: Script::from_lua(include_str!("decide.lua")),
        })
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The hash tag keeps all tiers of a call on one node of a cluster, as one script requires. The
    /// algorithm is part of the key: a limit that is changed across the threshold starts afresh.
    fn tier_key(&self, tier: &Tier<'_>) -> String {
        let algorithm = match tier.window.kind() {
            Kind::Log => "log",
            Kind::Gcra { .. } => "gcra",
        };
        format!("{}{{limit}}:{algorithm}:{}", self.prefix, tier.key)
    }

    fn client(&self) -> &Client {
        self.pool.next_connected()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        for listener in &self.listeners {
            listener.abort();
        }
    }
}

#[async_trait]
impl Store for Redis {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.client().get(self.key(key)).await.map_err(unavailable)
    }

    async fn put(&self, key: &str, value: Bytes, ttl: Duration) -> Result<()> {
        self.client().set(self.key(key), value, Some(expiration(ttl)), None, false).await.map_err(unavailable)
    }

    async fn put_if_absent(&self, key: &str, value: Bytes, ttl: Duration) -> Result<bool> {
        let set: Option<String> = self
            .client()
            .set(self.key(key), value, Some(expiration(ttl)), Some(SetOptions::NX), false)
            .await
            .map_err(unavailable)?;
        Ok(set.is_some())
    }

    async fn publish(&self, channel: &str, payload: Bytes) -> Result<()> {
        self.client().publish(self.key(channel), payload).await.map_err(unavailable)
    }

    async fn subscribe(&self, channel: &str) -> Result<broadcast::Receiver<Bytes>> {
        let channel = self.key(channel);
        let _turn = self.subscriptions.lock().await;
        let receiver = receive(&self.channels, &channel)?;
        self.subscriber.subscribe(channel).await.map_err(unavailable)?;
        Ok(receiver)
    }

    async fn ping(&self) -> Result<()> {
        self.client().ping::<()>(None).await.map_err(unavailable)
    }

    async fn decide(&self, tiers: &[Tier<'_>]) -> Result<Verdict> {
        if tiers.is_empty() {
            return Ok(Verdict::Allowed { tier: 0, remaining: u32::MAX });
        }
        let keys: Vec<String> = tiers.iter().map(|tier| self.tier_key(tier)).collect();
        let arguments: Vec<i64> = tiers.iter().flat_map(script_arguments).collect();
        let (allowed, tier, amount): (u8, usize, u64) =
            self.decide.evalsha_with_reload(self.client(), keys, arguments).await.map_err(unavailable)?;
        let tier = tier.saturating_sub(1);
        Ok(match allowed {
            1 => Verdict::Allowed { tier, remaining: u32::try_from(amount).unwrap_or(u32::MAX) },
            _ => Verdict::Denied { tier, retry_after_ms: amount.max(1) },
        })
    }
}

/// Both are far below 2^53, which Lua's numbers hold exactly.
fn script_arguments(tier: &Tier<'_>) -> [i64; 4] {
    let (burst, interval_us) = match tier.window.kind() {
        Kind::Log => (0, 0),
        Kind::Gcra { burst, interval_us } => (burst, interval_us),
    };
    [u64::from(tier.window.max()), tier.window.window_ms(), burst, interval_us]
        .map(|number| i64::try_from(number).unwrap_or(i64::MAX))
}

fn receive(channels: &Channels, channel: &str) -> Result<broadcast::Receiver<Bytes>> {
    let mut channels = lock(channels);
    if let Some(sender) = channels.get(channel) {
        return Ok(sender.subscribe());
    }
    if channels.len() >= CHANNELS_MAX {
        return Err(Error::Full);
    }
    let (sender, receiver) = broadcast::channel(SUBSCRIPTION_MESSAGES_MAX);
    channels.insert(channel.to_owned(), sender);
    Ok(receiver)
}

/// Hands each message to the receivers of its channel, and gives up channels that nobody receives.
fn deliver_messages(
    subscriber: &SubscriberClient,
    channels: &Channels,
    subscriptions: &Turns,
) -> AbortHandle {
    let (client, channels, subscriptions) =
        (subscriber.clone(), Arc::clone(channels), Arc::clone(subscriptions));
    let listener = subscriber.on_message(move |message| {
        let channel = message.channel.to_string();
        let delivered = deliver(&channels, message);
        let (client, channels, subscriptions) =
            (client.clone(), Arc::clone(&channels), Arc::clone(&subscriptions));
        async move {
            if !delivered {
                let _turn = subscriptions.lock().await;
                if forget_abandoned(&channels, &channel) {
                    // If this fails, the channel's next message tries again.
                    client.unsubscribe(channel).await.ok();
                }
            }
            // An error would end the listener.
            Ok(())
        }
    });
    listener.abort_handle()
}

fn deliver(channels: &Channels, message: Message) -> bool {
    let Some(payload) = message.value.into_bytes() else { return true };
    lock(channels).get(&*message.channel).is_some_and(|sender| sender.send(payload).is_ok())
}

fn forget_abandoned(channels: &Channels, channel: &str) -> bool {
    let mut channels = lock(channels);
    let abandoned = channels.get(channel).is_none_or(|sender| sender.receiver_count() == 0);
    if abandoned {
        channels.remove(channel);
    }
    abandoned
}

fn expiration(ttl: Duration) -> Expiration {
    Expiration::PX(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX))
}

/// Only the class of a failure leaves this file: the details may quote a command or an address.
fn unavailable(error: RedisError) -> Error {
    Error::Unavailable(match error.kind() {
        ErrorKind::Timeout => "timeout",
        ErrorKind::IO | ErrorKind::Canceled => "connection",
        ErrorKind::Auth => "authentication",
        ErrorKind::Tls => "TLS",
        ErrorKind::Backpressure => "too many commands waiting",
        _ => "refused command",
    })
}

/// The map is consistent whenever the lock is free, so a poisoned lock is usable.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
