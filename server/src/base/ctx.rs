//! What travels with a call: who makes it, from where, and what the server works with.

use std::{fmt, net::IpAddr, ops::Deref, sync::Arc, time::Duration};

use http::HeaderValue;
use uuid::fmt::Simple;

use super::{
    actor::{Actor, User},
    blob::Blobs,
    clock::Clock,
    config::Config,
    crypto::{FieldCipher, Keys},
    db::{Db, Tx},
    entropy::Entropy,
    error::{Error, Reason, Result},
    kv::Kv,
    limit::{Claim, Decision, Limiter},
    ports::Ports,
    signal::Signals,
    task::Tasks,
};

/// What the server works with. Built once, in `app`.
pub struct Base {
    /// The configuration.
    pub config: Arc<Config>,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub entropy: Entropy,
    /// Keys that are derived for one purpose each.
    pub keys: Keys,
    /// Seals sensitive fields.
    pub field_cipher: FieldCipher,
    /// Rows.
    pub db: Db,
    /// Short-lived keys.
    pub kv: Kv,
    /// Bytes.
    pub blobs: Blobs,
    /// Rate limits.
    pub limiter: Limiter,
    /// Wake-ups.
    pub signals: Signals,
    /// Background tasks.
    pub tasks: Tasks,
    /// What one slice asks of another that is ranked after it.
    pub ports: Ports,
}

/// A call: what the server works with, and who asks.
#[derive(Clone)]
pub struct Ctx {
    base: Arc<Base>,
    /// Who makes the call.
    pub actor: Actor,
    /// Where it comes from and how it is known in the log.
    pub call: Call,
}

/// Where a call comes from and how it is known in the log.
#[derive(Clone, Debug)]
pub struct Call {
    /// Finds every trace of the call.
    pub correlation: CorrelationId,
    /// The RPC, such as `hivesync.v1.AuthService/Login`, or the name of a task.
    pub route: &'static str,
    /// The client's address, if there is one.
    pub address: Option<IpAddr>,
    /// The device key that the caller proved to hold, if the call carried a proof.
    pub proven_key: Option<Arc<ProvenKey>>,
    /// How long the call may take from its start.
    pub deadline: Duration,
}

/// A public key whose private half the caller holds (RFC 9449).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenKey {
    /// RFC 7638 SHA-256 thumbprint, base64url.
    pub thumbprint: String,
    /// The public key as a JSON Web Key.
    pub jwk: String,
}

impl Ctx {
    /// A call by `actor`.
    #[must_use]
    pub fn new(base: Arc<Base>, actor: Actor, call: Call) -> Self {
        Self { base, actor, call }
    }

    /// The server's own context for the task `name`.
    ///
    /// # Errors
    /// `INTERNAL` if the system has no random bytes.
    pub fn system(base: Arc<Base>, name: &'static str) -> Result<Self> {
        let correlation = CorrelationId::generate(&base)?;
        let call = Call {
            correlation,
            route: name,
            address: None,
            proven_key: None,
            deadline: Duration::from_secs(60),
        };
        Ok(Self { base, actor: Actor::System, call })
    }

    /// The same context under another correlation ID: work that an earlier call caused.
    #[must_use]
    pub fn caused_by(mut self, correlation: CorrelationId) -> Self {
        self.call.correlation = correlation;
        self
    }

    /// What the server works with.
    #[must_use]
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// The signed-in user who makes the call.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if there is none.
    pub fn user(&self) -> Result<&User> {
        self.actor.user()
    }

    /// The device key that the caller proved to hold.
    ///
    /// # Errors
    /// `INVALID_DEVICE_PROOF` if the call carried no proof.
    pub fn proven_key(&self) -> Result<&ProvenKey> {
        self.call.proven_key.as_deref().ok_or_else(|| Error::new(Reason::InvalidDeviceProof))
    }

    /// Counts the call against all `claims`, or refuses it with the time to wait. Counts nothing where rate
    /// limits are off.
    ///
    /// # Errors
    /// `RATE_LIMITED`.
    pub async fn charge(&self, claims: &[Claim]) -> Result<()> {
        if !self.config.limits.rate_limits {
            return Ok(());
        }
        match self.limiter.decide(claims).await {
            Decision::Allowed { .. } => Ok(()),
            Decision::Denied { rule, retry_after } => {
                metrics::counter!("hivesync_rate_limited_total", "rule" => rule.name).increment(1);
                Err(Error::new(Reason::RateLimited).retry_after(retry_after).because(rule.name))
            }
        }
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database does not answer.
    pub async fn begin(&self) -> Result<Tx> {
        self.db.begin(self.signals.clone()).await
    }

    /// A view of the database in which a single statement is a transaction of its own.
    #[must_use]
    pub fn autocommit(&self) -> Tx {
        self.db.autocommit(self.signals.clone())
    }

    /// A view of the database for reading, each statement for itself.
    #[must_use]
    pub fn read(&self) -> Tx {
        self.db.read(self.signals.clone())
    }
}

impl Deref for Ctx {
    type Target = Base;
    fn deref(&self) -> &Base {
        &self.base
    }
}

/// Names one call in every log line, answer and audit entry that belongs to it. Kept as the header that every
/// answer carries, so that a call makes it once.
#[derive(Clone, PartialEq, Eq)]
pub struct CorrelationId(HeaderValue);

impl CorrelationId {
    /// Each is seen once, so header compression must not fill its table with them; a sensitive value stays
    /// out of it (RFC 7541, 7.1.3).
    fn new(mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self(value)
    }

    /// A new one.
    ///
    /// # Errors
    /// `INTERNAL` if the system has no random bytes.
    pub fn generate(base: &Base) -> Result<Self> {
        let id = base.entropy.uuid(base.clock.now())?.simple();
        let value = HeaderValue::from_str(id.encode_lower(&mut [0; Simple::LENGTH]));
        value.map(Self::new).map_err(Error::internal)
    }

    /// For a call that cannot even be named, because the system has no random bytes.
    #[must_use]
    pub fn unknown() -> Self {
        Self::new(HeaderValue::from_static("unknown"))
    }

    /// Accepts one from a trusted peer: 8 to 64 of `A-Z a-z 0-9 - _`.
    #[must_use]
    pub fn accept(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (8..=64).contains(&text.len()) && text.bytes().all(allowed);
        HeaderValue::from_str(text).ok().filter(|_| fits).map(Self::new)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The header's value.
    #[must_use]
    pub const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

impl Deref for CorrelationId {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Debug for CorrelationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for CorrelationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
