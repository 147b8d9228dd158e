//! What is stored of a session: a few hundred bytes in one slot.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    clock, entropy,
    error::{Error, Result, StorageErrorKind},
    secret::Secret,
};

/// The format that this version writes, and the only one it reads.
const VERSION: u8 = 1;

/// A session as it is kept between runs. The access token is not part of it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct StoredSession {
    version: u8,
    /// Grows with each rotation; the larger is the newer.
    pub(crate) generation: u64,
    refresh_token: String,
    /// Presented with the next rotation and every repeat of it, by whichever process.
    pub(crate) next_attempt_id: Uuid,
    pub(crate) session: Uuid,
    pub(crate) device: Uuid,
    pub(crate) user: Uuid,
    #[serde(with = "time::serde::timestamp")]
    saved_at: OffsetDateTime,
}

impl StoredSession {
    /// What follows from a sign-in.
    pub(crate) fn begin(refresh_token: String, session: Uuid, device: Uuid, user: Uuid) -> Self {
        Self {
            version: VERSION,
            generation: 1,
            refresh_token,
            next_attempt_id: entropy::id(),
            session,
            device,
            user,
            saved_at: clock::now(),
        }
    }

    /// What follows from a rotation.
    pub(crate) fn rotate(&self, refresh_token: String) -> Self {
        Self {
            generation: self.generation.saturating_add(1),
            refresh_token,
            next_attempt_id: entropy::id(),
            session: self.session,
            device: self.device,
            user: self.user,
            saved_at: clock::now(),
            version: VERSION,
        }
    }

    pub(crate) fn refresh_token(&self) -> &str {
        &self.refresh_token
    }

    pub(crate) fn parse(secret: &Secret) -> Result<Self> {
        let corrupt = || Error::storage(StorageErrorKind::Corrupt);
        let stored: Self = serde_json::from_str(secret.expose()).map_err(|_| corrupt())?;
        if stored.version == VERSION { Ok(stored) } else { Err(corrupt()) }
    }

    pub(crate) fn to_secret(&self) -> Result<Secret> {
        serde_json::to_string(self).map(Secret::new).map_err(|_| Error::internal())
    }
}

impl Drop for StoredSession {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.refresh_token);
    }
}
