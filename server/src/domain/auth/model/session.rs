//! Sessions, and what a refresh token that comes back means.

use std::time::Duration;

use uuid::Uuid;

use crate::base::{
    clock::Timestamp,
    ids::{DeviceId, SessionId, UserId},
};

/// How long a session lasts if it is not used.
pub(in crate::domain::auth) const IDLE: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// How long a session lasts even if it is used.
pub(in crate::domain::auth) const LIFE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long a session is remembered after its longest life.
pub(in crate::domain::auth) const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long the token before the current one is taken from another process of the same device, which
/// renewed at the same time.
const RACE: Duration = Duration::from_secs(10);

/// One sign-in on one device: a family of refresh tokens, of which one is current.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Identifies the session.
    pub id: SessionId,
    /// Who is signed in.
    pub user: UserId,
    /// The device it is bound to.
    pub device: DeviceId,
    /// Which token is current: how often the session was continued.
    pub generation: i64,
    /// The attempt that made the current token.
    pub last_attempt: Option<Uuid>,
    /// When it began.
    pub created_at: Timestamp,
    /// When the current token was made.
    pub rotated_at: Timestamp,
    /// When it ends if it is not used.
    pub idle_expires_at: Timestamp,
    /// When it ends even if it is used.
    pub expires_at: Timestamp,
    /// When it was ended, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// A refresh token as it comes back.
#[derive(Clone, Copy, Debug)]
pub(in crate::domain::auth) struct Presented {
    /// The generation it names.
    pub generation: i64,
    /// The attempt it comes with.
    pub attempt: Uuid,
    /// Whether the caller proved to hold the key of the session's device.
    pub from_device: bool,
}

/// What to do with a refresh token that comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::auth) enum Verdict {
    /// It is current: make the next one.
    Advance,
    /// It was exchanged already by this very client, which did not get the answer: give it again.
    Repeat,
    /// The session is over.
    Over,
    /// It is in the wrong hands: end the session.
    Misuse(Misuse),
}

/// Why a refresh token is taken to be in the wrong hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::auth) enum Misuse {
    /// It came without the key of the session's device.
    ForeignDevice,
    /// It had been exchanged by another attempt.
    Exchanged,
    /// It is older than the one before the current.
    Stale,
}

impl Misuse {
    /// How the misuse is called in the audit log.
    pub(in crate::domain::auth) const fn event(self) -> &'static str {
        match self {
            Self::ForeignDevice => "auth.refresh_reuse.foreign_device",
            Self::Exchanged => "auth.refresh_reuse.exchanged",
            Self::Stale => "auth.refresh_reuse.stale",
        }
    }
}

impl Session {
    /// A session that begins at `now`.
    pub(in crate::domain::auth) fn begin(
        id: SessionId,
        user: UserId,
        device: DeviceId,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            user,
            device,
            generation: 1,
            last_attempt: None,
            created_at: now,
            rotated_at: now,
            idle_expires_at: now + IDLE,
            expires_at: now + LIFE,
            revoked_at: None,
        }
    }

    /// Whether it lasts at `now`.
    pub(in crate::domain::auth) fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && now < self.idle_expires_at && now < self.expires_at
    }

    /// What `token`, presented at `now`, means.
    ///
    /// A client that lost the answer repeats its attempt, and proves its device's key each time; so the
    /// repeat is safe for as long as the session lasts. Another attempt with the same token is a second
    /// process of that device, for a moment, and after that a thief, whoever of the two came first.
    pub(in crate::domain::auth) fn judge(&self, token: Presented, now: Timestamp) -> Verdict {
        if !self.is_live(now) {
            return Verdict::Over;
        }
        if !token.from_device {
            return Verdict::Misuse(Misuse::ForeignDevice);
        }
        match self.generation - token.generation {
            // It is ours, so this is what was kept at an earlier time: an operator has restored a copy, and nobody is
            // a thief.
            ..0 => Verdict::Over,
            0 => Verdict::Advance,
            1 if self.last_attempt == Some(token.attempt) => Verdict::Repeat,
            1 if now.since(self.rotated_at) <= RACE => Verdict::Repeat,
            1 => Verdict::Misuse(Misuse::Exchanged),
            _ => Verdict::Misuse(Misuse::Stale),
        }
    }
}
