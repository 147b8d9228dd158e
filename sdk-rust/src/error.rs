//! Why a call failed: thirteen kinds, the same in every language of the SDK.
//!
//! A kind says what the caller does next. The [`ErrorReason`] of the server, if it gave one, says more
//! precisely why. Of the server's text, an error repeats only what it says is wrong with a field of the
//! request: that is written for whoever filled it in. It is cut short, and holds nothing that drives a terminal.

use std::{fmt, sync::Arc, time::Duration};

use hivesync_proto::text::is_harmless;
pub use hivesync_proto::v1::ErrorReason;
use time::OffsetDateTime;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

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
    job_id: Option<Uuid>,
    /// Replaces the sentence that belongs to the kind and reason.
    sentence: Option<String>,
}

impl Details {
    fn new(kind: ErrorKind) -> Self {
        Self { kind, reason: None, correlation_id: None, job_id: None, sentence: None }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Details::new(kind)))
    }

    fn with_sentence(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self(Arc::new(Details { sentence: Some(sentence.into()), ..Details::new(kind) }))
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
        Self(Arc::new(Details { reason: Some(reason), sentence, ..Details::new(kind) }))
    }

    pub(crate) fn from_status(status: &Status) -> Self {
        let correlation_id = status
            .metadata()
            .get(CORRELATION_ID_KEY)
            .and_then(|value| value.to_str().ok())
            .filter(|id| id.len() <= 64)
            .map(str::to_owned);
        let reason = reason_of(status);
        let violations = Violation::all(status);
        let kind = match reason {
            Some(reason) => kind_of_reason(reason, Some(status), correlation_id.as_deref()),
            None => kind_of_code(status, correlation_id.as_deref()),
        };
        let is_invalid = matches!(kind, ErrorKind::InvalidRequest { .. });
        let sentence = (is_invalid && !violations.is_empty()).then(|| sentence_of(reason, &violations));
        Self(Arc::new(Details { reason, correlation_id, sentence, ..Details::new(kind) }))
    }

    /// What the job `job_id` failed for.
    pub(crate) fn of_job(reason: ErrorReason, job_id: Uuid) -> Self {
        let kind = kind_of_reason(reason, None, Some(&job_id.to_string()));
        Self(Arc::new(Details { reason: Some(reason), job_id: Some(job_id), ..Details::new(kind) }))
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

    /// The job that failed, if that is what the error is about.
    pub fn job_id(&self) -> Option<Uuid> {
        self.0.job_id
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
        match self.reason().and_then(words_of_reason) {
            Some((what, advice)) => write!(f, "{what} {advice}")?,
            None => self.write_kind(f)?,
        }
        match (self.job_id(), self.kind()) {
            // The number to report is the job's then.
            (None, _) | (_, ErrorKind::Internal { .. }) => Ok(()),
            (Some(id), _) => write!(f, " The job is {id}."),
        }
    }
}

impl Error {
    /// The sentence that belongs to the kind.
    fn write_kind(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
        R::Unavailable | R::Overloaded => ErrorKind::Unavailable,
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
        // Only a job fails for it, after it was tried again and again: no call of its own would help.
        | R::RepositoryUnreachable
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
    Violation::all(status).into_iter().map(|violation| violation.field).collect()
}

/// What the server says is wrong with a field of the request.
struct Violation {
    field: String,
    description: String,
}

impl Violation {
    const COUNT_MAX: usize = 20;
    /// Many times what this server says of a field.
    const CHARS_MAX: usize = 200;

    fn all(status: &Status) -> Vec<Self> {
        let violations = status.get_details_bad_request().map(|bad| bad.field_violations).unwrap_or_default();
        let violations = violations.into_iter().take(Self::COUNT_MAX);
        violations
            .map(|found| Self {
                field: Self::shown(&found.field),
                description: Self::shown(&found.description),
            })
            .collect()
    }

    fn shown(text: &str) -> String {
        let one_line = |letter: &char| is_harmless(*letter) && !matches!(letter, '\n' | '\t');
        text.chars().filter(one_line).take(Self::CHARS_MAX).collect()
    }
}

/// What is wrong with which field. A field that breaks several rules is named once.
fn sentence_of(reason: Option<ErrorReason>, violations: &[Violation]) -> String {
    let what = reason.and_then(words_of_reason).map_or("The request is not valid.", |(what, _)| what);
    let mut sentence = what.to_owned();
    let mut before = None;
    for Violation { field, description } in violations {
        match before {
            Some(before) if before == field => sentence.push_str("; "),
            Some(_) => sentence.push_str(&format!("; {field}: ")),
            None => sentence.push_str(&format!(" {field}: ")),
        }
        sentence.push_str(description);
        before = Some(field);
    }
    sentence.push('.');
    sentence
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

/// What happened, and what to do next, each as a sentence.
fn words_of_reason(reason: ErrorReason) -> Option<(&'static str, &'static str)> {
    use ErrorReason as R;
    Some(match reason {
        R::InvalidCredentials => {
            ("The e-mail address and the password do not open an account.", "Check both.")
        }
        R::InvalidDeviceProof => {
            ("The device could not prove its key.", "Set its clock right, or sign in anew.")
        }
        R::NotFound => ("It does not exist, or it is not yours.", "Check its id or name, and the account."),
        R::PermissionDenied => ("You may not do this.", "Ask an admin of the team."),
        R::AlreadyExists => ("Something with this name exists already.", "Choose another name."),
        R::PasswordPolicy => (
            "The password is too weak.",
            "Use 12 to 256 characters with an upper-case and a lower-case letter, a digit and a symbol, and none that was ever leaked.",
        ),
        R::InvalidRepositoryUrl => {
            ("The repository address is not acceptable.", "Use https:// without a password in it.")
        }
        R::RepositoryNotReady => ("The repository was not synced yet.", "Link it and run a sync first."),
        R::RepositoryUnreachable => (
            "The repository could not be fetched.",
            "Check its address and that it can be read without a password.",
        ),
        R::RepositoryRejected => (
            "The repository is too large, or holds something that is refused.",
            "Make it smaller, or see what `git fsck` says of it.",
        ),
        R::InvalidPath => {
            ("The path breaks the rules for repository paths.", "Correct it, or rename the file.")
        }
        R::InvalidManifest => {
            ("The bundle breaks a rule.", "Look for files whose names differ only in case.")
        }
        R::BundleTooLarge => ("The bundle is too large.", "Exclude files by an ignore file."),
        R::BundleIncomplete => {
            ("Files of the bundle are missing or changed while they were sent.", "Publish again.")
        }
        R::InvalidPreviewToken => ("The token does not open a preview on this device.", "Ask for a new one."),
        R::MessageTooLarge => ("The request is too large.", "Send less at a time."),
        R::InvalidPageToken => ("The list cannot be continued from here.", "Start it again."),
        R::Conflict => ("It changed meanwhile, or does not allow this.", "Look at it again, then decide."),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn refused(reason: &str, violations: &[(&str, &str)]) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, []);
        for (field, description) in violations {
            details.add_bad_request_violation(*field, *description);
        }
        Error::from_status(&Status::with_error_details(Code::InvalidArgument, "for operators only", details))
    }

    #[test]
    fn what_is_wrong_with_a_field_is_said() {
        let error = refused("INVALID_REQUEST", &[("name", "must be short"), ("name", "must be kind")]);
        assert_eq!(error.to_string(), "The request is not valid. name: must be short; must be kind.");
        let error = refused("INVALID_PATH", &[("path", "is odd"), ("commit", "is old")]);
        let breaks = "The path breaks the rules for repository paths.";
        assert_eq!(error.to_string(), format!("{breaks} path: is odd; commit: is old."));
        assert_eq!(error.kind(), &ErrorKind::InvalidRequest { fields: vec!["path".into(), "commit".into()] });
        assert!(refused("INVALID_PATH", &[]).to_string().starts_with(breaks));
    }

    #[test]
    fn what_a_server_says_is_short_and_drives_no_terminal() {
        let long = "x".repeat(10_000);
        let violations = vec![(long.as_str(), "\x1b]0;owned\x07\n\u{202e}evil"); 100];
        let shown = refused("INVALID_REQUEST", &violations).to_string();
        assert!(shown.len() < 1_000 && shown.ends_with("]0;ownedevil."), "{shown:?}");
        let shown = refused("NOT_FOUND", &[("id", "is secret")]).to_string();
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn a_failed_job_names_itself() {
        let id = Uuid::from_u128(7);
        let error = Error::of_job(ErrorReason::RepositoryUnreachable, id);
        assert_eq!((error.kind(), error.job_id()), (&ErrorKind::Conflict, Some(id)));
        assert!(error.to_string().ends_with(&format!(" The job is {id}.")) && !error.is_transient());
        let error = Error::of_job(ErrorReason::Internal, id);
        assert_eq!(error.to_string(), format!("Something went wrong. Report it with the number {id}."));
    }
}
