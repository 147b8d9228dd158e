//! The signed-in session: who is signed in, and an access token that is good when it is needed.
//!
//! The access token lives in memory only. The refresh token is rotated by one attempt at a time, which
//! runs to its end whatever becomes of the calls that wait for it: the server has then moved on, and a
//! successor that is not kept is lost. Only the server's word ends a session; its silence never does.

mod blob;
pub(crate) mod lock;
#[cfg(test)]
mod tests;

use std::{
    sync::{Arc, Mutex, MutexGuard as StateGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use hivesync_proto::v1 as pb;
use tokio::{
    sync::{Mutex as TurnMutex, MutexGuard, OnceCell},
    time::{Instant, sleep},
};
use uuid::Uuid;

use self::{
    blob::StoredSession,
    lock::{Guard, ProcessLock},
};
use crate::{
    api::rpc::{Login, Logout, Refresh},
    device_key::DeviceKey,
    entropy,
    error::{Error, ErrorKind, Result, SignedOutReason, StorageErrorKind},
    keychain::BoundedStore,
    secret::Secret,
    task,
    transport::{Credentials, Transport, retry},
    wire,
};

const REFRESH_TRIES: u32 = 3;
const REFRESH_TRY_DEADLINE: Duration = Duration::from_secs(10);
const SAVE_TRIES: u32 = 3;
/// After a refresh that failed without an answer, the next is not tried for this long, doubled each time.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(300);
/// A token this close to its end may be refused by the time it arrives.
const EXPIRY_MARGIN: Duration = Duration::from_secs(5);

/// Who is signed in with this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Account {
    /// The user.
    pub user_id: Uuid,
    /// The session.
    pub session_id: Uuid,
    /// The device that the session is bound to.
    pub device_id: Uuid,
    /// Whether the session outlives this process. False without a key store, and while one refuses to
    /// save it.
    pub persistent: bool,
}

/// The token of ordinary calls.
pub(crate) struct AccessToken {
    token: Secret,
    renew_at: Instant,
    expires_at: Instant,
}

impl AccessToken {
    fn new(token: String, expires_in_secs: u32, asked_at: Instant) -> Self {
        let life = Duration::from_secs(expires_in_secs.into());
        // At 80 % of its life, and 10 % of that earlier or later, so that clients do not move in step.
        let renew_after = life.mul_f64(0.8 * (0.9 + 0.2 * entropy::fraction()));
        let expires_after = life.saturating_sub(EXPIRY_MARGIN);
        Self { token: token.into(), renew_at: asked_at + renew_after, expires_at: asked_at + expires_after }
    }

    pub(crate) fn expose(&self) -> &str {
        self.token.expose()
    }
}

type Outcome = Result<Arc<AccessToken>>;
/// The right to change what is stored, in this process and among others.
type Turn<'a> = (MutexGuard<'a, ()>, Option<Guard>);

#[derive(Default)]
struct State {
    stored: Option<StoredSession>,
    /// The store refused the newest rotation; it is kept here and tried again.
    unsaved: bool,
    access: Option<Arc<AccessToken>>,
    attempt: Option<Shared<BoxFuture<'static, Outcome>>>,
    cooldown: Option<Cooldown>,
    ended: bool,
}

/// What callers are told, without asking the server again, after an attempt that failed.
struct Cooldown {
    failures: u32,
    until: Instant,
    error: Error,
}

/// The one session of a client.
pub(crate) struct Session {
    transport: Arc<Transport>,
    store: BoundedStore,
    session_slot: String,
    device_slot: String,
    process_lock: Option<ProcessLock>,
    /// Held by whoever changes what is stored.
    turn: TurnMutex<()>,
    loaded: OnceCell<()>,
    device_key: OnceCell<Arc<DeviceKey>>,
    state: Mutex<State>,
}

impl Session {
    /// `account` tells apart several accounts that one user of the machine has on the same server.
    pub(crate) fn new(
        transport: Arc<Transport>,
        store: BoundedStore,
        account: &str,
        lock_directory: Option<&std::path::Path>,
    ) -> Self {
        let session_slot = format!("session/{}/{account}", transport.authority());
        let device_slot = format!("device-key/{}/{account}", transport.authority());
        let lock_directory = lock_directory.filter(|_| store.capabilities().shared);
        Self {
            process_lock: lock_directory.map(|directory| ProcessLock::new(directory, &session_slot)),
            transport,
            store,
            session_slot,
            device_slot,
            turn: TurnMutex::new(()),
            loaded: OnceCell::new(),
            device_key: OnceCell::new(),
            state: Mutex::default(),
        }
    }

    /// Who is signed in.
    pub(crate) async fn account(&self) -> Result<Account> {
        self.load().await?;
        let state = self.state();
        let stored = state.stored.as_ref().ok_or_else(|| signed_out(&state))?;
        Ok(Account {
            user_id: stored.user,
            session_id: stored.session,
            device_id: stored.device,
            persistent: self.store.capabilities().persistent && !state.unsaved,
        })
    }

    /// Starts a session in place of the present one.
    pub(crate) async fn sign_in(&self, request: pb::LoginRequest) -> Result<Account> {
        let _turn = self.take_turn().await?;
        let kept = self.kept_key().await?;
        let key = kept.clone().unwrap_or_else(|| Arc::new(DeviceKey::generate()));
        let asked_at = Instant::now();
        let credentials = Credentials { access_token: None, device_key: Some(&key) };
        let tokens = self.transport.unary::<Login>(request, credentials).await?;
        let stored = StoredSession::begin(
            tokens.refresh_token,
            wire::id(&tokens.session_id)?,
            wire::id(&tokens.device_id)?,
            wire::id(&tokens.user_id)?,
        );
        let access = AccessToken::new(tokens.access_token, tokens.access_token_expires_in_secs, asked_at);
        if kept.is_none() {
            // Not before: a refused sign-in leaves nothing behind, such as a new file under a passphrase.
            self.store.save(&self.device_slot, &key.to_stored()).await?;
        }
        // Whoever is about to fill it waits for this turn, and then finds the same key in the store.
        let _ = self.device_key.set(key);
        let unsaved = self.save(&stored).await.is_err();
        let _ = self.loaded.set(());
        *self.state() =
            State { stored: Some(stored), unsaved, access: Some(Arc::new(access)), ..State::default() };
        self.account().await
    }

    /// Ends the session. This side forgets it in any case, even if the server cannot be told.
    pub(crate) async fn sign_out(self: &Arc<Self>, everywhere: bool) -> Result<()> {
        let told = match self.access_token().await {
            Ok(token) => {
                let credentials = Credentials { access_token: Some(token.expose()), device_key: None };
                self.transport.unary::<Logout>(pb::LogoutRequest { everywhere }, credentials).await.map(drop)
            }
            Err(error) => Err(error),
        };
        let _turn = self.take_turn().await?;
        *self.state() = State::default();
        self.store.delete(&self.session_slot).await?;
        match told {
            Err(error) if !matches!(error.kind(), ErrorKind::SignedOut { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// An access token that is good now.
    pub(crate) async fn access_token(self: &Arc<Self>) -> Outcome {
        self.load().await?;
        let attempt = {
            let mut state = self.state();
            let now = Instant::now();
            match state.access.clone() {
                Some(token) if now < token.renew_at => return Ok(token),
                Some(token) if now < token.expires_at => {
                    // Renewed in the background; whoever calls now need not wait for it.
                    let _ = self.join(&mut state);
                    return Ok(token);
                }
                _ => self.join(&mut state)?,
            }
        };
        attempt.await
    }

    /// Another access token than the one that the server refused.
    pub(crate) async fn replace(self: &Arc<Self>, refused: &Arc<AccessToken>) -> Outcome {
        let attempt = {
            let mut state = self.state();
            match &state.access {
                Some(token) if !Arc::ptr_eq(token, refused) => return Ok(token.clone()),
                _ => state.access = None,
            }
            self.join(&mut state)?
        };
        attempt.await
    }

    /// The machine woke up, came to the foreground or changed its network: what failed before may work.
    pub(crate) async fn wake(&self) {
        let unsaved = {
            let mut state = self.state();
            state.cooldown = None;
            state.stored.clone().filter(|_| state.unsaved)
        };
        let Some(stored) = unsaved else { return };
        let Ok(_turn) = self.take_turn().await else { return };
        if self.save(&stored).await.is_ok() {
            let mut state = self.state();
            if state.stored.as_ref().is_some_and(|newest| newest.generation == stored.generation) {
                state.unsaved = false;
            }
        }
    }

    /// The key of this device; made when it is first needed.
    pub(crate) async fn device_key(&self) -> Result<Arc<DeviceKey>> {
        let make = || async {
            let _turn = self.take_turn().await?;
            if let Some(key) = self.stored_key().await? {
                return Ok(key);
            }
            let key = DeviceKey::generate();
            self.store.save(&self.device_slot, &key.to_stored()).await?;
            Ok(Arc::new(key))
        };
        self.device_key.get_or_try_init(make).await.cloned()
    }

    /// The key of this device, if it has one already. Whoever asks has the turn.
    async fn kept_key(&self) -> Result<Option<Arc<DeviceKey>>> {
        match self.device_key.get() {
            Some(key) => Ok(Some(key.clone())),
            None => self.stored_key().await,
        }
    }

    async fn stored_key(&self) -> Result<Option<Arc<DeviceKey>>> {
        match self.store.load(&self.device_slot).await {
            Ok(stored) => Ok(stored.and_then(|stored| DeviceKey::from_stored(&stored).ok()).map(Arc::new)),
            Err(error) if is_corrupt(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The attempt in flight, or a new one.
    fn join(self: &Arc<Self>, state: &mut State) -> Result<Shared<BoxFuture<'static, Outcome>>> {
        if let Some(attempt) = state.attempt.as_ref().filter(|attempt| attempt.peek().is_none()) {
            return Ok(attempt.clone());
        }
        if state.stored.is_none() {
            return Err(signed_out(state));
        }
        if let Some(cooldown) = state.cooldown.as_ref().filter(|cooldown| Instant::now() < cooldown.until) {
            return Err(cooldown.error.clone());
        }
        let session = self.clone();
        let task = task::spawn(async move { session.refresh().await });
        let attempt = task.map(|joined| joined.unwrap_or_else(|_| Err(Error::internal()))).boxed().shared();
        state.attempt = Some(attempt.clone());
        Ok(attempt)
    }

    /// One attempt, from the lock to the publication of its outcome. The turn lasts until then: whoever signs
    /// in or out next must not be overtaken by what this attempt learnt of the session before.
    async fn refresh(&self) -> Outcome {
        let (outcome, _turn) = match self.prepare().await {
            Ok((key, turn)) => (self.exchange(&key).await, Some(turn)),
            Err(error) => (Err(error), None),
        };
        let mut state = self.state();
        state.attempt = None;
        match &outcome {
            Ok(access) => {
                state.access = Some(access.clone());
                state.cooldown = None;
            }
            Err(error) if matches!(error.kind(), ErrorKind::SignedOut { .. }) => {
                let ended = error.kind() == &ErrorKind::SignedOut { reason: SignedOutReason::SessionEnded };
                *state = State { ended, ..State::default() };
            }
            Err(error) => state.cooldown = Some(Cooldown::after(state.cooldown.as_ref(), error)),
        }
        outcome
    }

    async fn prepare(&self) -> Result<(Arc<DeviceKey>, Turn<'_>)> {
        Ok((self.device_key().await?, self.take_turn().await?))
    }

    async fn exchange(&self, key: &DeviceKey) -> Outcome {
        let Some(known) = self.state().stored.clone() else { return Err(signed_out(&self.state())) };
        let mut current = self.newest(known).await;
        let asked_at = Instant::now();
        let mut answer = self.ask(&current, key).await;
        if answer.as_ref().is_err_and(is_ended) {
            // Perhaps a process that could not take the lock was faster.
            let newest = self.newest(current.clone()).await;
            if newest.generation > current.generation {
                current = newest;
                answer = self.ask(&current, key).await;
            }
        }
        let tokens = match answer {
            Ok(tokens) => tokens,
            Err(error) if is_ended(&error) => {
                let _ = self.store.delete(&self.session_slot).await;
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        let next = current.rotate(tokens.refresh_token);
        let unsaved = self.save(&next).await.is_err();
        let mut state = self.state();
        state.stored = Some(next);
        state.unsaved = unsaved;
        Ok(Arc::new(AccessToken::new(tokens.access_token, tokens.access_token_expires_in_secs, asked_at)))
    }

    /// What is stored, if another process has rotated it meanwhile; else what is known.
    async fn newest(&self, known: StoredSession) -> StoredSession {
        let loaded = self.store.load(&self.session_slot).await.ok().flatten();
        let stored = loaded.and_then(|secret| StoredSession::parse(&secret).ok());
        match stored {
            Some(stored) if stored.session != known.session || stored.generation > known.generation => stored,
            _ => known,
        }
    }

    /// Exchanges the refresh token; every try of it presents the same attempt, so that the server can tell
    /// a lost answer from a stolen token.
    async fn ask(&self, current: &StoredSession, key: &DeviceKey) -> Result<pb::SessionTokens> {
        let mut tries = 1;
        loop {
            let request = pb::RefreshRequest {
                refresh_token: current.refresh_token().to_owned(),
                attempt_id: current.next_attempt_id.to_string(),
            };
            let credentials = Credentials { access_token: None, device_key: Some(key) };
            match self.transport.once::<Refresh>(request, credentials, REFRESH_TRY_DEADLINE).await {
                Err(error) if tries < REFRESH_TRIES && is_unanswered(&error) => {
                    sleep(retry::jittered(BACKOFF_FIRST, tries - 1, BACKOFF_MAX)).await;
                    tries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    async fn save(&self, stored: &StoredSession) -> Result<()> {
        let secret = stored.to_secret()?;
        let mut outcome = self.store.save(&self.session_slot, &secret).await;
        for _ in 1..SAVE_TRIES {
            if outcome.is_ok() {
                break;
            }
            outcome = self.store.save(&self.session_slot, &secret).await;
        }
        outcome
    }

    async fn load(&self) -> Result<()> {
        let load = || async {
            let loaded = self.store.load(&self.session_slot).await?;
            let stored = loaded.map(|secret| StoredSession::parse(&secret)).transpose()?;
            let mut state = self.state();
            if state.stored.is_none() {
                state.stored = stored;
            }
            Ok(())
        };
        self.loaded.get_or_try_init(load).await.map(|_| ())
    }

    /// Keeps everybody else, in this process and in others, from changing what is stored.
    async fn take_turn(&self) -> Result<Turn<'_>> {
        let turn = self.turn.lock().await;
        let guard = match &self.process_lock {
            None => None,
            Some(lock) => match lock.acquire().await {
                Ok(guard) => Some(guard),
                // Without a place for the lock file the attempt id alone has to do.
                Err(error) if matches!(error.kind(), ErrorKind::Storage { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        Ok((turn, guard))
    }

    fn state(&self) -> StateGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cooldown {
    fn after(before: Option<&Self>, error: &Error) -> Self {
        let failures = before.map_or(0, |cooldown| cooldown.failures).saturating_add(1);
        let bound = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(failures - 1)).min(BACKOFF_MAX);
        let mut pause = bound / 2 + retry::jittered(bound / 2, 0, BACKOFF_MAX);
        if let ErrorKind::RateLimited { retry_after } = error.kind() {
            pause = pause.max(*retry_after);
        }
        Self { failures, until: Instant::now() + pause, error: error.clone() }
    }
}

fn signed_out(state: &State) -> Error {
    let reason = if state.ended { SignedOutReason::SessionEnded } else { SignedOutReason::NotSignedIn };
    Error::signed_out(reason)
}

/// Whether the server said that the session is over.
fn is_ended(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::SignedOut { .. })
}

/// Whether it is unknown what became of a call.
fn is_unanswered(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Unavailable)
}

fn is_corrupt(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Storage { kind: StorageErrorKind::Corrupt })
}
