//! Why a call failed: thirteen kinds, the same in every language of the SDK.
//!
//! A kind says what the caller does next. The [`ErrorReason`] of the server, if it gave one, says more
//! precisely why. Text of the server never becomes part of an error: it is written for its operators.

use std::{fmt, sync::Arc, time::Duration};

pub use hivesync_proto::v1::ErrorReason;
use time::OffsetDateTime;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::{clock, entropy};

/// The metadata entry that carries the correlation ID of a call.
pub(crate) const CORRELATION_ID_KEY: &str = "correlation-id";
/// `google.rpc.ErrorInfo.domain` of this service.
const DOMAIN: &str = "hivesync.dev";

/// The result of every call of the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

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

/// Why a call failed.
///
/// The `Display` form is for users: it says what to do next and holds no secret. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Error(Arc<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    reason: Option<ErrorReason>,
    correlation_id: Option<String>,
    /// Replaces the sentence that belongs to the kind and reason.
    sentence: Option<String>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Details { kind, reason: None, correlation_id: None, sentence: None }))
    }

    fn with_sentence(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self(Arc::new(Details { kind, reason: None, correlation_id: None, sentence: Some(sentence.into()) }))
    }

    /// What becomes of a call that its caller has stopped.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled)
    }

    /// A request that this side already knows to be wrong. `sentence` says what to do instead.
    pub(crate) fn invalid(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::with_sentence(ErrorKind::InvalidRequest { fields: vec![field.into()] }, sentence)
    }

    pub(crate) fn file(sentence: impl Into<String>) -> Self {
        Self::with_sentence(ErrorKind::Storage { kind: StorageErrorKind::File }, sentence)
    }

    pub(crate) fn storage(kind: StorageErrorKind) -> Self {
        Self::new(ErrorKind::Storage { kind })
    }

    pub(crate) fn signed_out(reason: SignedOutReason) -> Self {
        Self::new(ErrorKind::SignedOut { reason })
    }

    pub(crate) fn internal() -> Self {
        Self::new(ErrorKind::Internal { incident: entropy::id().to_string() })
    }

    /// A refusal with a reason of the contract that this side found by itself.
    pub(crate) fn refused(kind: ErrorKind, reason: ErrorReason, sentence: impl Into<String>) -> Self {
        let sentence = Some(sentence.into());
        Self(Arc::new(Details { kind, reason: Some(reason), correlation_id: None, sentence }))
    }

    pub(crate) fn from_status(status: &Status) -> Self {
        let correlation_id = status
            .metadata()
            .get(CORRELATION_ID_KEY)
            .and_then(|value| value.to_str().ok())
            .filter(|id| id.len() <= 64)
            .map(str::to_owned);
        let reason = reason_of(status);
        let kind = match reason {
            Some(reason) => kind_of_reason(reason, Some(status), correlation_id.as_deref()),
            None => kind_of_code(status, correlation_id.as_deref()),
        };
        Self(Arc::new(Details { kind, reason, correlation_id, sentence: None }))
    }

    /// What a job failed for.
    pub(crate) fn from_reason(reason: ErrorReason) -> Self {
        let kind = kind_of_reason(reason, None, None);
        Self(Arc::new(Details { kind, reason: Some(reason), correlation_id: None, sentence: None }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The server's reason, if it gave one that this client knows.
    pub fn reason(&self) -> Option<ErrorReason> {
        self.0.reason
    }

    /// What the server's operator finds the call by.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// A stable name of the kind, in snake case.
    pub fn code(&self) -> &'static str {
        match self.kind() {
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::Offline => "offline",
            ErrorKind::Timeout => "timeout",
            ErrorKind::SignedOut { .. } => "signed_out",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::LimitReached { .. } => "limit_reached",
            ErrorKind::RateLimited { .. } => "rate_limited",
            ErrorKind::InvalidRequest { .. } => "invalid_request",
            ErrorKind::Conflict => "conflict",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::Storage { .. } => "storage",
            ErrorKind::UpgradeRequired => "upgrade_required",
            ErrorKind::Internal { .. } => "internal",
        }
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Unavailable | ErrorKind::RateLimited { .. }
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(sentence) = &self.0.sentence {
            return f.write_str(sentence);
        }
        if let Some(sentence) = self.reason().and_then(sentence_of_reason) {
            return f.write_str(sentence);
        }
        match self.kind() {
            ErrorKind::Cancelled => f.write_str("It was cancelled."),
            ErrorKind::Offline => {
                f.write_str("The server cannot be reached. Check its address and the network.")
            }
            ErrorKind::Timeout => {
                f.write_str("The server did not answer in time. Look whether it took effect, then try again.")
            }
            ErrorKind::SignedOut { reason: SignedOutReason::NotSignedIn } => {
                f.write_str("Nobody is signed in. Sign in first.")
            }
            ErrorKind::SignedOut { .. } => f.write_str("The session has ended. Sign in again."),
            ErrorKind::Forbidden => {
                f.write_str("It does not exist, or you may not do this. Ask an admin of the team.")
            }
            ErrorKind::LimitReached { resets_at: Some(at) } => {
                write!(f, "A limit of the plan is reached. There is more at {at}.")
            }
            ErrorKind::LimitReached { .. } => {
                f.write_str("A limit of the plan is reached. Free something or change the plan.")
            }
            ErrorKind::RateLimited { retry_after } => {
                write!(f, "Too many calls. Try again in {} s.", retry_after.as_secs().max(1))
            }
            ErrorKind::InvalidRequest { fields } if fields.is_empty() => {
                f.write_str("The request is not valid. Correct it and try again.")
            }
            ErrorKind::InvalidRequest { fields } => {
                write!(f, "The request is not valid. Correct {} and try again.", fields.join(", "))
            }
            ErrorKind::Conflict => {
                f.write_str("Its present state does not allow this. Look at it again, then decide.")
            }
            ErrorKind::Unavailable => {
                f.write_str("The server cannot do this at the moment. Try again later.")
            }
            ErrorKind::Storage { kind: StorageErrorKind::Locked } => f.write_str(
                "The key store is locked. Unlock it, or give its right passphrase, and try again.",
            ),
            ErrorKind::Storage { kind: StorageErrorKind::File } => f.write_str(
                "A file could not be read or written. Check its path, its permissions and the free space.",
            ),
            ErrorKind::Storage { .. } => {
                f.write_str("The key store cannot be used. Repair it, or sign in without it.")
            }
            ErrorKind::UpgradeRequired => {
                f.write_str("This client and the server do not understand each other. Bring both up to date.")
            }
            ErrorKind::Internal { incident } => {
                write!(f, "Something went wrong. Report it with the number {incident}.")
            }
        }
    }
}

impl std::error::Error for Error {}

fn reason_of(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
        .filter(|reason| *reason != ErrorReason::Unspecified)
}

/// How long the server asks to wait before the call is repeated.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    status.get_details_retry_info().and_then(|info| info.retry_delay)
}

/// `status` holds the details of the reason, if a call failed for it.
fn kind_of_reason(reason: ErrorReason, status: Option<&Status>, correlation_id: Option<&str>) -> ErrorKind {
    use ErrorReason as R;
    match reason {
        R::Unavailable | R::Overloaded | R::RepositoryUnreachable => ErrorKind::Unavailable,
        R::DeadlineExceeded => ErrorKind::Timeout,
        R::UnknownMethod => ErrorKind::UpgradeRequired,
        R::InvalidRequest
        | R::MessageTooLarge
        | R::InvalidPageToken
        | R::PasswordPolicy
        | R::InvalidRepositoryUrl
        | R::RepositoryRejected
        | R::InvalidPath
        | R::InvalidManifest
        | R::BundleTooLarge => {
            ErrorKind::InvalidRequest { fields: status.map(violated_fields).unwrap_or_default() }
        }
        R::IdempotencyKeyReused
        | R::AlreadyExists
        | R::Conflict
        | R::RepositoryNotReady
        | R::BundleIncomplete
        | R::Superseded => ErrorKind::Conflict,
        R::SessionEnded => ErrorKind::SignedOut { reason: SignedOutReason::SessionEnded },
        R::InvalidCredentials
        | R::InvalidDeviceProof
        | R::PermissionDenied
        | R::NotFound
        | R::InvalidPreviewToken
        | R::InvalidWorkerProof => ErrorKind::Forbidden,
        R::RateLimited => ErrorKind::RateLimited {
            retry_after: status.and_then(retry_delay).unwrap_or(RETRY_AFTER_DEFAULT),
        },
        R::QuotaExceeded => ErrorKind::LimitReached {
            resets_at: status.and_then(retry_delay).map(|delay| clock::now() + delay),
        },
        R::Cancelled => ErrorKind::Cancelled,
        R::Unspecified | R::Internal | R::Unauthenticated => internal(correlation_id),
    }
}

/// What to wait after a refusal that does not say how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

fn kind_of_code(status: &Status, correlation_id: Option<&str>) -> ErrorKind {
    if caused_by::<tonic::TimeoutExpired>(status) {
        return ErrorKind::Timeout;
    }
    // Only a status that was made on this side has a source: the connection failed.
    if std::error::Error::source(status).is_some() {
        return ErrorKind::Offline;
    }
    match status.code() {
        Code::Cancelled => ErrorKind::Cancelled,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::ResourceExhausted => {
            ErrorKind::RateLimited { retry_after: retry_delay(status).unwrap_or(RETRY_AFTER_DEFAULT) }
        }
        Code::InvalidArgument | Code::OutOfRange => {
            ErrorKind::InvalidRequest { fields: violated_fields(status) }
        }
        Code::NotFound | Code::PermissionDenied => ErrorKind::Forbidden,
        Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => ErrorKind::Conflict,
        Code::Unimplemented => ErrorKind::UpgradeRequired,
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::Unauthenticated => {
            internal(correlation_id)
        }
    }
}

fn internal(correlation_id: Option<&str>) -> ErrorKind {
    let incident = correlation_id.map_or_else(|| entropy::id().to_string(), str::to_owned);
    ErrorKind::Internal { incident }
}

fn violated_fields(status: &Status) -> Vec<String> {
    const FIELDS_MAX: usize = 20;
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
    violations.into_iter().take(FIELDS_MAX).map(|violation| violation.field).collect()
}

fn caused_by<E: std::error::Error + 'static>(status: &Status) -> bool {
    let mut source = std::error::Error::source(status);
    while let Some(error) = source {
        if error.is::<E>() {
            return true;
        }
        source = error.source();
    }
    false
}

fn sentence_of_reason(reason: ErrorReason) -> Option<&'static str> {
    use ErrorReason as R;
    Some(match reason {
        R::InvalidCredentials => "The e-mail address and the password do not open an account. Check both.",
        R::InvalidDeviceProof => "The device could not prove its key. Set its clock right, or sign in anew.",
        R::AlreadyExists => "Something with this name exists already. Choose another name.",
        R::PasswordPolicy => {
            "The password is too weak. Use 12 to 256 characters with an upper-case and a lower-case letter, a digit and a symbol, and none that was ever leaked."
        }
        R::InvalidRepositoryUrl => {
            "The repository address is not acceptable. Use https:// or ssh:// without a password in it."
        }
        R::RepositoryNotReady => "The repository was not synced yet. Link it and run a sync first.",
        R::RepositoryUnreachable => {
            "The repository could not be fetched. Check its address and that it can be read."
        }
        R::RepositoryRejected => "The repository holds something that is refused. Run `git fsck` on it.",
        R::InvalidPath => "The path breaks the rules for repository paths. Rename the file.",
        R::InvalidManifest => "The bundle breaks a rule. Look for files whose names differ only in case.",
        R::BundleTooLarge => "The bundle is too large. Exclude files by an ignore file.",
        R::BundleIncomplete => {
            "Files of the bundle are missing or changed while they were sent. Publish again."
        }
        R::InvalidPreviewToken => "The token does not open a preview on this device. Ask for a new one.",
        R::MessageTooLarge => "The request is too large. Send less at a time.",
        R::InvalidPageToken => "The list cannot be continued from here. Start it again.",
        R::Conflict => "It changed meanwhile, or does not allow this. Look at it again, then decide.",
        _ => return None,
    })
}
