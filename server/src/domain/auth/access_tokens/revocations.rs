//! Sessions whose access tokens are refused although they have not expired.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use crate::base::{clock::Timestamp, ids::SessionId};

/// The sessions that ended while a token of theirs may live.
pub struct Revocations {
    /// When each session may be forgotten.
    sessions: RwLock<HashMap<SessionId, Timestamp>>,
    /// How long a token can be good after its session has ended.
    pub(in crate::domain::auth) token_life: Duration,
}

impl Revocations {
    pub(in crate::domain::auth) fn new(token_life: Duration) -> Self {
        Self { sessions: RwLock::default(), token_life }
    }

    /// Whether `session` was ended.
    pub(in crate::domain::auth) fn holds(&self, session: SessionId) -> bool {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).contains_key(&session)
    }

    /// From now on, refuses the tokens of `sessions`, which were ended at `now` or before.
    pub(in crate::domain::auth) fn add(&self, sessions: &[SessionId], now: Timestamp) {
        if sessions.is_empty() {
            return;
        }
        let mut held = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        held.retain(|_, forget_at| *forget_at > now);
        for session in sessions {
            held.entry(*session).or_insert(now + self.token_life);
        }
    }
}
