//! What a status of gRPC means to the caller.

use std::{sync::Arc, time::Duration};

use hivesync_proto::text::is_harmless;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Details, Error, ErrorKind, ErrorReason, SignedOutReason, words};
use crate::{clock, entropy};

/// The metadata entry that carries the correlation ID of a call.
const CORRELATION_ID_KEY: &str = "correlation-id";
/// `google.rpc.ErrorInfo.domain` of this service.
pub(super) const DOMAIN: &str = "hivesync.dev";
/// What to wait after a refusal that does not say how long.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(30);

/// The longest that a server can have its clients wait: the longest window of a quota.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

impl Error {
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
        let sentence =
            (is_invalid && !violations.is_empty()).then(|| words::sentence_of(reason, &violations));
        Self(Arc::new(Details { reason, correlation_id, sentence, ..Details::new(kind) }))
    }
}

/// How long the server asks to wait before the call is repeated; not longer than [`RETRY_AFTER_MAX`], whatever it says.
pub(crate) fn retry_delay(status: &Status) -> Option<Duration> {
    let delay = status.get_details_retry_info().and_then(|info| info.retry_delay);
    delay.map(|delay| delay.min(RETRY_AFTER_MAX))
}

fn reason_of(status: &Status) -> Option<ErrorReason> {
    let info = status.get_details_error_info().filter(|info| info.domain == DOMAIN)?;
    ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason))
        .filter(|reason| *reason != ErrorReason::Unspecified)
}

/// `status` holds the details of the reason, if a call failed for it.
pub(super) fn kind_of_reason(
    reason: ErrorReason,
    status: Option<&Status>,
    correlation_id: Option<&str>,
) -> ErrorKind {
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
pub(super) struct Violation {
    pub(super) field: String,
    pub(super) description: String,
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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::panic,
        clippy::disallowed_methods,
        reason = "a test plays the server, and fails by panicking"
    )]

    use prost::Message as _;

    use super::*;

    /// As any server could write it: the library that reads it has no limit.
    #[test]
    fn no_server_has_its_clients_wait_for_ever() {
        let any = |name: &str, value: Vec<u8>| prost_types::Any {
            type_url: format!("type.googleapis.com/google.rpc.{name}"),
            value,
        };
        for reason in ["RATE_LIMITED", "QUOTA_EXCEEDED"] {
            let delay = prost_types::Duration { seconds: i64::MAX, nanos: 0 };
            let retry = tonic_types::pb::RetryInfo { retry_delay: Some(delay) };
            let info = tonic_types::pb::ErrorInfo {
                reason: reason.to_owned(),
                domain: DOMAIN.to_owned(),
                ..Default::default()
            };
            let details = tonic_types::pb::Status {
                details: vec![
                    any("ErrorInfo", info.encode_to_vec()),
                    any("RetryInfo", retry.encode_to_vec()),
                ],
                ..Default::default()
            };
            let bytes = details.encode_to_vec().into();
            let status = Status::with_details(Code::ResourceExhausted, "for operators only", bytes);
            match Error::from_status(&status).kind() {
                ErrorKind::RateLimited { retry_after } => assert_eq!(*retry_after, RETRY_AFTER_MAX),
                ErrorKind::LimitReached { resets_at } => {
                    assert!(resets_at.is_some_and(|at| at <= clock::now() + RETRY_AFTER_MAX));
                }
                kind => panic!("{kind:?}"),
            }
        }
    }
}
