//! The thirteen kinds of failure.

use std::time::Duration;

use time::OffsetDateTime;

/// What kind of failure it is, and with it what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The call was cancelled by its caller.
    Cancelled,
    /// The server could not be reached.
    Offline,
    /// The answer did not come in time. The call may have taken effect.
    Timeout,
    /// Nobody is signed in any more.
    SignedOut {
        /// How it came to that.
        reason: SignedOutReason,
    },
    /// It may not be done, or does not exist; the two are not told apart.
    Forbidden,
    /// A quota of the plan is used up.
    LimitReached {
        /// When there is more, if that is known.
        resets_at: Option<OffsetDateTime>,
    },
    /// Too many calls.
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The request breaks a rule.
    InvalidRequest {
        /// The fields that break it, as far as they are known.
        fields: Vec<String>,
    },
    /// The state does not allow it, or changed meanwhile.
    Conflict,
    /// The server cannot do it at the moment.
    Unavailable,
    /// The secret store or a file could not be used.
    Storage {
        /// What failed.
        kind: StorageErrorKind,
    },
    /// This client is too old, or too new, for the server.
    UpgradeRequired,
    /// Something failed that should not.
    Internal {
        /// What support finds it by.
        incident: String,
    },
}

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedOutReason {
    /// Nobody has signed in with this client yet, or its user signed out.
    NotSignedIn,
    /// The server ended the session: it expired, or was revoked.
    SessionEnded,
}

/// What failed about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// The store is locked; its user can unlock it.
    Locked,
    /// There is no such store, or it did not answer in time.
    Unavailable,
    /// What it holds cannot be read.
    Corrupt,
    /// A file could not be read or written.
    File,
}

impl ErrorKind {
    /// A stable name, in snake case.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Cancelled => "cancelled",
            Self::Offline => "offline",
            Self::Timeout => "timeout",
            Self::SignedOut { .. } => "signed_out",
            Self::Forbidden => "forbidden",
            Self::LimitReached { .. } => "limit_reached",
            Self::RateLimited { .. } => "rate_limited",
            Self::InvalidRequest { .. } => "invalid_request",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Storage { .. } => "storage",
            Self::UpgradeRequired => "upgrade_required",
            Self::Internal { .. } => "internal",
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Offline | Self::Timeout | Self::Unavailable | Self::RateLimited { .. })
    }
}
