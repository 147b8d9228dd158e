//! Hashes passwords with Argon2id (RFC 9106), so many at a time that memory stays bounded.

use std::{num::NonZero, sync::Arc, thread, time::Duration};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::model::password_policy::Password;
use crate::base::{
    config::PasswordCost,
    ctx::Ctx,
    entropy::Entropy,
    error::{Error, Reason, Result},
};

/// How long a call waits for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);
/// What a caller is told to wait who did not get a turn.
const RETRY_AFTER: Duration = Duration::from_secs(2);
const LANES: u32 = 1;
const SALT_LEN: usize = 16;

/// Hashes and compares passwords, on as many threads as there are cores.
pub struct Passwords {
    argon2: Argon2<'static>,
    turns: Arc<Semaphore>,
    /// The hash of a password that nobody knows: compared where there is no other, so that every sign-in
    /// costs the same.
    dummy: String,
}

/// What a comparison says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    /// It is another password.
    Different,
    /// It is the password.
    Same {
        /// Whether the hash was made at another cost than the present one.
        outdated: bool,
    },
}

impl Passwords {
    /// Hashes at `cost`.
    ///
    /// # Errors
    /// `INTERNAL` if the cost is out of the algorithm's range, or the system has no random bytes.
    pub fn new(cost: PasswordCost, entropy: &Entropy) -> Result<Self> {
        let params = Params::new(cost.memory_kib, cost.iterations, LANES, None)
            .map_err(|error| Error::internal(error.to_string()))?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let dummy = hash(&argon2, &entropy.bytes::<32>()?, &entropy.bytes()?)?;
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Ok(Self { argon2, turns: Arc::new(Semaphore::new(cores)), dummy })
    }

    /// The PHC string of `password`.
    pub(super) async fn hash(&self, ctx: &Ctx, password: &Password) -> Result<String> {
        let salt = ctx.entropy.bytes()?;
        let (argon2, password) = (self.argon2.clone(), password.clone());
        self.run(ctx, move || hash(&argon2, password.expose().as_bytes(), &salt)).await?
    }

    /// Compares `password` with the PHC string `stored`; without one, takes as long to say no.
    pub(super) async fn compare(
        &self,
        ctx: &Ctx,
        password: &Password,
        stored: Option<String>,
    ) -> Result<Comparison> {
        let known = stored.is_some();
        let stored = stored.unwrap_or_else(|| self.dummy.clone());
        let (argon2, password) = (self.argon2.clone(), password.clone());
        let comparison = self.run(ctx, move || compare(&argon2, password.expose(), &stored)).await??;
        Ok(if known { comparison } else { Comparison::Different })
    }

    /// Runs `work` when it is its turn. The turn lasts until the work is done, even if nobody waits for it
    /// any more.
    async fn run<T: Send + 'static>(
        &self,
        ctx: &Ctx,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T> {
        let turn = self.turn().await?;
        ctx.tasks
            .blocking(move || {
                let outcome = work();
                drop(turn);
                outcome
            })
            .await
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        let turn = tokio::time::timeout(TURN_TIMEOUT, self.turns.clone().acquire_owned()).await;
        match turn {
            Ok(turn) => turn.map_err(Error::internal),
            Err(_) => Err(Error::new(Reason::Overloaded).retry_after(RETRY_AFTER)),
        }
    }
}

fn hash(argon2: &Argon2<'_>, password: &[u8], salt: &[u8; SALT_LEN]) -> Result<String> {
    let hash = argon2.hash_password_with_salt(password, salt).map_err(unusable)?;
    Ok(hash.to_string())
}

fn compare(argon2: &Argon2<'_>, password: &str, stored: &str) -> Result<Comparison> {
    let stored = PasswordHash::new(stored).map_err(unusable)?;
    if argon2.verify_password(password.as_bytes(), &stored).is_err() {
        return Ok(Comparison::Different);
    }
    let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let made_at = Params::try_from(&stored).map_err(unusable)?;
    Ok(Comparison::Same { outdated: cost(&made_at) != cost(argon2.params()) })
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::internal(format!("a password cannot be hashed: {error}"))
}
