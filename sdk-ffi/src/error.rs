//! Why a call failed: the same thirteen kinds in every language.

use std::time::{Duration, SystemTime};

use hivesync::ErrorKind;

/// Why a call failed. What to do next follows from the kind.
#[derive(Clone, Debug, thiserror::Error, uniffi::Error)]
pub enum HiveSyncError {
    /// The call was cancelled by its caller.
    #[error("{}", details.text)]
    Cancelled {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The server could not be reached.
    #[error("{}", details.text)]
    Offline {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The answer did not come in time. The call may have taken effect.
    #[error("{}", details.text)]
    Timeout {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// Nobody is signed in any more.
    #[error("{}", details.text)]
    SignedOut {
        /// How it came to that.
        reason: SignedOutReason,
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// It may not be done, or does not exist; the two are not told apart.
    #[error("{}", details.text)]
    Forbidden {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// A quota of the plan is used up.
    #[error("{}", details.text)]
    LimitReached {
        /// When there is more, if that is known.
        resets_at: Option<SystemTime>,
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// Too many calls.
    #[error("{}", details.text)]
    RateLimited {
        /// How long to wait.
        retry_after: Duration,
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The request breaks a rule.
    #[error("{}", details.text)]
    InvalidRequest {
        /// The fields that break it, as far as they are known.
        fields: Vec<String>,
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The state does not allow it, or changed meanwhile.
    #[error("{}", details.text)]
    Conflict {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The server cannot do it at the moment.
    #[error("{}", details.text)]
    Unavailable {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// The secret store or a file could not be used.
    #[error("{}", details.text)]
    Storage {
        /// What failed.
        kind: StorageErrorKind,
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// This client is too old, or too new, for the server.
    #[error("{}", details.text)]
    UpgradeRequired {
        /// What all kinds have.
        details: ErrorDetails,
    },
    /// Something failed that should not.
    #[error("{}", details.text)]
    Internal {
        /// What support finds it by.
        incident: String,
        /// What all kinds have.
        details: ErrorDetails,
    },
}

/// What errors of all kinds have.
#[derive(Clone, Debug, uniffi::Record)]
#[uniffi::export(Debug)]
pub struct ErrorDetails {
    /// What to tell the user. Holds no secret, and of the server's text only what it says of a field.
    pub text: String,
    /// A stable name of the kind, in snake case.
    pub code: String,
    /// The server's reason, such as `INVALID_CREDENTIALS`, if it gave one that this client knows.
    pub reason: Option<String>,
    /// What the server's operator finds the call by.
    pub correlation_id: Option<String>,
}

/// Why nobody is signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SignedOutReason {
    /// Nobody has signed in with this client yet, or its user signed out.
    NotSignedIn,
    /// The server ended the session: it expired, or was revoked.
    SessionEnded,
}

/// What failed about a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
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

impl HiveSyncError {
    fn of_kind(kind: ErrorKind, details: ErrorDetails) -> Self {
        match kind {
            ErrorKind::Cancelled => Self::Cancelled { details },
            ErrorKind::Offline => Self::Offline { details },
            ErrorKind::Timeout => Self::Timeout { details },
            ErrorKind::SignedOut { reason } => Self::SignedOut { reason: reason.into(), details },
            ErrorKind::Forbidden => Self::Forbidden { details },
            ErrorKind::LimitReached { resets_at } => {
                Self::LimitReached { resets_at: resets_at.map(SystemTime::from), details }
            }
            ErrorKind::RateLimited { retry_after } => Self::RateLimited { retry_after, details },
            ErrorKind::InvalidRequest { fields } => Self::InvalidRequest { fields, details },
            ErrorKind::Conflict => Self::Conflict { details },
            ErrorKind::Unavailable => Self::Unavailable { details },
            ErrorKind::Storage { kind } => Self::Storage { kind: kind.into(), details },
            ErrorKind::UpgradeRequired => Self::UpgradeRequired { details },
            ErrorKind::Internal { incident } => Self::Internal { incident, details },
            // The list is closed; a kind that was added to it belongs in this match.
            _ => Self::internal(details.code),
        }
    }

    pub(crate) fn internal(incident: String) -> Self {
        let text = format!("Something went wrong. Report it with the number {incident}.");
        Self::Internal { incident, details: ErrorDetails::local("internal", text) }
    }

    pub(crate) fn conflict(text: &str) -> Self {
        Self::Conflict { details: ErrorDetails::local("conflict", text.to_owned()) }
    }

    pub(crate) fn invalid(field: &str, text: &str) -> Self {
        let details = ErrorDetails::local("invalid_request", text.to_owned());
        Self::InvalidRequest { fields: vec![field.to_owned()], details }
    }
}

impl ErrorDetails {
    /// Of an error that did not come from the client.
    fn local(code: &str, text: String) -> Self {
        Self { text, code: code.to_owned(), reason: None, correlation_id: None }
    }
}

/// The name of a reason, such as `INVALID_CREDENTIALS`.
pub(crate) fn reason_name(reason: hivesync::ErrorReason) -> String {
    reason.as_str_name().trim_start_matches("ERROR_REASON_").to_owned()
}

impl From<&hivesync::Error> for ErrorDetails {
    fn from(error: &hivesync::Error) -> Self {
        Self {
            text: error.to_string(),
            code: error.code().to_owned(),
            reason: error.reason().map(reason_name),
            correlation_id: error.correlation_id().map(str::to_owned),
        }
    }
}

impl From<hivesync::Error> for HiveSyncError {
    fn from(error: hivesync::Error) -> Self {
        Self::of_kind(error.kind().clone(), ErrorDetails::from(&error))
    }
}

impl From<hivesync::SignedOutReason> for SignedOutReason {
    fn from(reason: hivesync::SignedOutReason) -> Self {
        match reason {
            hivesync::SignedOutReason::NotSignedIn => Self::NotSignedIn,
            _ => Self::SessionEnded,
        }
    }
}

impl From<hivesync::StorageErrorKind> for StorageErrorKind {
    fn from(kind: hivesync::StorageErrorKind) -> Self {
        match kind {
            hivesync::StorageErrorKind::Locked => Self::Locked,
            hivesync::StorageErrorKind::Corrupt => Self::Corrupt,
            hivesync::StorageErrorKind::File => Self::File,
            _ => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fmt::Debug};

    use hivesync::{SignedOutReason as SignedOut, StorageErrorKind as Storage};

    use super::*;

    fn details() -> ErrorDetails {
        ErrorDetails::local("a code", "a text".to_owned())
    }

    /// The name of a variant.
    fn variant(value: impl Debug) -> String {
        format!("{value:?}").chars().take_while(char::is_ascii_alphanumeric).collect()
    }

    #[test]
    fn an_error_stays_of_the_kind_that_it_is() {
        let kinds = [
            ErrorKind::Cancelled,
            ErrorKind::Offline,
            ErrorKind::Timeout,
            ErrorKind::SignedOut { reason: SignedOut::SessionEnded },
            ErrorKind::Forbidden,
            ErrorKind::LimitReached { resets_at: None },
            ErrorKind::RateLimited { retry_after: Duration::from_secs(7) },
            ErrorKind::InvalidRequest { fields: Vec::new() },
            ErrorKind::Conflict,
            ErrorKind::Unavailable,
            ErrorKind::Storage { kind: Storage::File },
            ErrorKind::UpgradeRequired,
            ErrorKind::Internal { incident: "an incident".to_owned() },
        ];
        let mut seen = BTreeSet::new();
        for kind in kinds {
            let error = HiveSyncError::of_kind(kind.clone(), details());
            assert_eq!(variant(&error), variant(&kind));
            assert_eq!(error.to_string(), "a text");
            seen.insert(variant(kind));
        }
        assert_eq!(seen.len(), 13, "{seen:?}");
    }

    #[test]
    fn an_error_keeps_what_its_kind_says() {
        let of_kind = |kind| HiveSyncError::of_kind(kind, details());
        let error = of_kind(ErrorKind::RateLimited { retry_after: Duration::from_secs(7) });
        assert!(
            matches!(error, HiveSyncError::RateLimited { retry_after, .. } if retry_after.as_secs() == 7)
        );
        let error = of_kind(ErrorKind::InvalidRequest { fields: vec!["name".to_owned()] });
        assert!(matches!(error, HiveSyncError::InvalidRequest { fields, .. } if fields == ["name"]));
        let error = of_kind(ErrorKind::Internal { incident: "7".to_owned() });
        assert!(matches!(error, HiveSyncError::Internal { incident, .. } if incident == "7"));
    }

    #[test]
    fn what_failed_is_told_apart() {
        for kind in [Storage::Locked, Storage::Unavailable, Storage::Corrupt, Storage::File] {
            assert_eq!(variant(StorageErrorKind::from(kind)), variant(kind));
        }
        for reason in [SignedOut::NotSignedIn, SignedOut::SessionEnded] {
            assert_eq!(variant(SignedOutReason::from(reason)), variant(reason));
        }
    }
}
