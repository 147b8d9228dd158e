//! From a domain error to what the client sees: the only place that makes a `tonic::Status`.
#![allow(clippy::disallowed_methods, reason = "this is the place that makes a status")]

use std::fmt;

use hivesync_proto::v1::ErrorReason as Reason;
use tonic::{Code, Status, metadata::MetadataValue};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::error::{Error, Violation};

/// The `domain` of every `google.rpc.ErrorInfo` that this server sends.
pub const ERROR_DOMAIN: &str = "hivesync.dev";

/// The metadata entry that carries the correlation ID of every answer.
pub const CORRELATION_ID: &str = "correlation-id";

/// Fields that are to blame, in one line of the log.
const FIELDS_LOGGED_MAX: usize = 4;

/// What a client is told about a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The gRPC status code.
    pub code: Code,
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// The public text. Names no route, token state, worker, table, path or library.
    pub text: &'static str,
}

/// The error catalogue: one row a reason.
#[must_use]
pub const fn rule(reason: Reason) -> Rule {
    const fn row(code: Code, retryable: bool, text: &'static str) -> Rule {
        Rule { code, retryable, text }
    }
    match reason {
        Reason::Unspecified | Reason::Internal => {
            row(Code::Internal, false, "Something went wrong on our side.")
        }
        Reason::Unavailable => {
            row(Code::Unavailable, true, "The service is not available at the moment; try again.")
        }
        Reason::DeadlineExceeded => row(Code::DeadlineExceeded, true, "The call took too long; try again."),
        Reason::UnknownMethod => row(Code::Unimplemented, false, "There is no such method here."),
        Reason::InvalidRequest => row(Code::InvalidArgument, false, "The request is not valid."),
        Reason::MessageTooLarge => row(Code::ResourceExhausted, false, "The message is too large."),
        Reason::InvalidPageToken => {
            row(Code::InvalidArgument, false, "The page token is not valid for this list.")
        }
        Reason::IdempotencyKeyReused => {
            row(Code::InvalidArgument, false, "The idempotency key was used for another request.")
        }
        Reason::Unauthenticated => row(Code::Unauthenticated, false, "Sign in first."),
        Reason::InvalidCredentials => {
            row(Code::Unauthenticated, false, "The e-mail address or the password is not right.")
        }
        Reason::SessionEnded => row(Code::Unauthenticated, false, "The session has ended; sign in again."),
        Reason::InvalidDeviceProof => {
            row(Code::Unauthenticated, false, "The proof of the device key is missing or not valid.")
        }
        Reason::PermissionDenied => row(Code::PermissionDenied, false, "You may not do this."),
        Reason::NotFound => row(Code::NotFound, false, "It does not exist, or it is not yours."),
        Reason::AlreadyExists => row(Code::AlreadyExists, false, "Something with this name exists already."),
        Reason::Conflict => row(Code::Aborted, true, "It changed meanwhile; read it again and retry."),
        Reason::RateLimited => row(Code::ResourceExhausted, true, "Too many calls; wait a moment."),
        Reason::QuotaExceeded => row(Code::ResourceExhausted, false, "A quota of your plan is used up."),
        Reason::Overloaded => row(Code::Unavailable, true, "The service is busy; try again in a moment."),
        Reason::PasswordPolicy => {
            row(Code::InvalidArgument, false, "The password does not satisfy the policy.")
        }
        Reason::InvalidRepositoryUrl => {
            row(Code::InvalidArgument, false, "The repository address is not acceptable.")
        }
        Reason::RepositoryNotReady => {
            row(Code::FailedPrecondition, false, "The repository was not synced yet.")
        }
        Reason::RepositoryUnreachable => {
            row(Code::FailedPrecondition, true, "The repository could not be fetched.")
        }
        Reason::RepositoryRejected => row(
            Code::FailedPrecondition,
            false,
            "The repository is too large, or holds something that is not accepted.",
        ),
        Reason::InvalidPath => row(Code::InvalidArgument, false, "The path is not acceptable."),
        Reason::InvalidManifest => {
            row(Code::InvalidArgument, false, "The bundle's manifest is not acceptable.")
        }
        Reason::BundleTooLarge => row(Code::InvalidArgument, false, "The bundle is larger than the limit."),
        Reason::BundleIncomplete => row(
            Code::FailedPrecondition,
            false,
            "Files of the bundle are missing, or not what the manifest says.",
        ),
        Reason::InvalidPreviewToken => row(Code::PermissionDenied, false, "This preview cannot be opened."),
        Reason::Superseded => row(Code::Aborted, false, "The lease is over."),
        Reason::InvalidWorkerProof => row(Code::Unauthenticated, false, "The worker's proof is not valid."),
        Reason::Cancelled => row(Code::Cancelled, false, "The call was cancelled."),
    }
}

/// The reason as it stands in `google.rpc.ErrorInfo.reason`, such as `NOT_FOUND`.
#[must_use]
pub fn name(reason: Reason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

/// Makes the status for `error`, with the correlation ID of its call. The cause stays behind.
#[must_use]
pub fn from_error(error: &Error, correlation: &str) -> Status {
    let rule = rule(error.reason());
    let mut details = ErrorDetails::new();
    details.set_error_info(name(error.reason()), ERROR_DOMAIN, []);
    details.set_request_info(correlation, "");
    if let Some(wait) = error.wait() {
        details.set_retry_info(Some(wait));
    }
    for Violation { field, description } in error.violations() {
        details.add_bad_request_violation(field, description.as_ref());
    }
    let text = match error.violations() {
        [only] => format!("{} {}: {}", rule.text, only.field, only.description),
        _ => rule.text.to_owned(),
    };
    let mut status = Status::with_error_details(rule.code, text, details);
    if let Ok(value) = MetadataValue::try_from(correlation) {
        status.metadata_mut().insert(CORRELATION_ID, value);
    }
    status
}

/// Writes `error` to the log, once, where it is handled: of work that no call waits for.
pub fn log(error: &Error) {
    write(error, None, None);
}

/// Writes `error` to the log, once, where it is handled, under the correlation ID of the call to `route`.
pub fn log_call(error: &Error, correlation: &str, route: &str) {
    write(error, Some(correlation), Some(route));
}

fn write(error: &Error, correlation_id: Option<&str>, route: Option<&str>) {
    let reason = name(error.reason());
    let cause = error.cause().map(tracing::field::display);
    let fields =
        (!error.violations().is_empty()).then(|| tracing::field::display(Fields(error.violations())));
    match (error.reason(), error.cause()) {
        (Reason::Internal | Reason::Unspecified, _) => {
            tracing::error!(event = "call.failed", correlation_id, route, reason, cause);
        }
        // What anybody can send without end, and what explains itself, must not become lines without end.
        (Reason::RateLimited | Reason::Overloaded, _)
        | (Reason::UnknownMethod | Reason::Unauthenticated, None) => {
            tracing::debug!(event = "call.refused", correlation_id, route, reason, cause);
        }
        _ => tracing::info!(event = "call.refused", correlation_id, route, reason, fields, cause),
    }
}

/// The first fields that are to blame, as a line of the log has them.
struct Fields<'a>(&'a [Violation]);

impl fmt::Display for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, Violation { field, description }) in self.0.iter().take(FIELDS_LOGGED_MAX).enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{field}: {description}")?;
        }
        Ok(())
    }
}

/// The status of a call that reached a service without passing the edge, which only a mistake in the
/// composition can cause.
#[must_use]
pub fn without_context() -> Status {
    tracing::error!(event = "call.failed", reason = "the call did not pass the edge");
    Status::new(rule(Reason::Internal).code, rule(Reason::Internal).text)
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_log_knows_a_cause_by_the_id_of_the_answer() {
        let lines = Lines::default();
        let written = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || lines.clone()).finish();
        let error = Error::internal("the disk is full");
        tracing::subscriber::with_default(subscriber, || log_call(&error, "the-id-of-the-call", "a.B/C"));
        let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains(r#""correlation_id":"the-id-of-the-call""#), "{text}");
        assert!(text.contains("the disk is full"), "{text}");
    }
}
