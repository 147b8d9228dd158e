//! When a call is repeated: AIP-194, with the throttle of gRFC A6.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hivesync_proto::IDEMPOTENT_METHODS;
use tonic::{Code, Status};

use crate::{
    entropy,
    error::{Error, ErrorKind, ErrorReason, retry_delay},
};

/// Tries of one call, the first included.
pub(crate) const TRIES_MAX: u32 = 4;
/// Tries of one call while there is no connection: for two or three seconds, in which a server is replaced.
const OFFLINE_TRIES_MAX: u32 = 6;
/// The bound of the first pause; each further pause has twice the bound of the one before.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A server that asks for a longer pause gets the error to its caller instead.
const SERVER_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether a repeat of a call of this method is harmless.
pub(crate) fn is_idempotent(path: &str) -> bool {
    IDEMPOTENT_METHODS.binary_search(&path).is_ok()
}

/// How long to wait before the call is made again; `None` if it is not to be.
pub(crate) fn pause_before_retry(status: &Status, tries: u32) -> Option<Duration> {
    if is_offline(status) {
        // Half of each pause is certain, so that the tries last.
        let bound = doubled(PAUSE_FIRST, tries - 1, PAUSE_MAX);
        return (tries < OFFLINE_TRIES_MAX).then(|| bound / 2 + (bound / 2).mul_f64(entropy::fraction()));
    }
    let asked = retry_delay(status);
    let retryable = match status.code() {
        Code::Unavailable => true,
        Code::ResourceExhausted => asked.is_some(),
        _ => false,
    };
    if tries >= TRIES_MAX || !retryable || asked.is_some_and(|asked| asked > SERVER_PAUSE_MAX) {
        return None;
    }
    Some(asked.unwrap_or_default() + jittered(PAUSE_FIRST, tries - 1, PAUSE_MAX))
}

/// Whether the call failed because there was no connection, or because it broke: then the status was made on this
/// side, with the cause attached.
pub(crate) fn is_offline(status: &Status) -> bool {
    matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled)
        && Error::from_status(status).kind() == &ErrorKind::Offline
}

/// Full jitter: a random pause of at most `first` doubled `doublings` times, and at most `max`.
pub(crate) fn jittered(first: Duration, doublings: u32, max: Duration) -> Duration {
    doubled(first, doublings, max).mul_f64(entropy::fraction())
}

fn doubled(first: Duration, doublings: u32, max: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(doublings)).min(max)
}

/// Stops retries from multiplying the load on a server that fails: a failure that it answered costs a token, a success
/// earns a tenth of one, and there is no retry while half of the tokens are gone.
pub(crate) struct Throttle(Mutex<f64>);

impl Throttle {
    const TOKENS_MAX: f64 = 10.0;
    const EARNED_PER_SUCCESS: f64 = 0.1;

    pub(crate) fn new() -> Self {
        Self(Mutex::new(Self::TOKENS_MAX))
    }

    pub(crate) fn succeeded(&self) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = (*tokens + Self::EARNED_PER_SUCCESS).min(Self::TOKENS_MAX);
    }

    /// Notes a failure, and says whether a retry is still allowed.
    pub(crate) fn failed(&self) -> bool {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *tokens = (*tokens - 1.0).max(0.0);
        *tokens > Self::TOKENS_MAX / 2.0
    }
}

/// Whether the server refused the access token, so that a fresh one may help.
pub(crate) fn refuses_token(error: &Error) -> bool {
    matches!(error.reason(), Some(ErrorReason::Unauthenticated | ErrorReason::SessionEnded))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, reason = "a test plays the server")]

    use super::*;

    #[test]
    fn only_what_the_contract_calls_harmless_is_idempotent() {
        assert!(is_idempotent("/hivesync.v1.AuthService/Refresh"));
        assert!(is_idempotent("/hivesync.v1.ProjectService/CreateProject"));
        assert!(!is_idempotent("/hivesync.v1.AuthService/Login"));
        assert!(!is_idempotent("/hivesync.v1.AuthService/NoSuchMethod"));
    }

    #[test]
    fn only_unavailability_is_retried_and_not_for_ever() {
        assert!(pause_before_retry(&Status::unavailable(""), 1).is_some());
        assert!(pause_before_retry(&Status::unavailable(""), TRIES_MAX).is_none());
        assert!(pause_before_retry(&Status::resource_exhausted(""), 1).is_none());
        assert!(pause_before_retry(&Status::deadline_exceeded(""), 1).is_none());
        assert!(pause_before_retry(&Status::internal(""), 1).is_none());
    }

    #[test]
    fn a_server_that_is_being_replaced_is_waited_for() {
        let mut broken = Status::unknown("");
        broken.set_source(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused)));
        let pauses = (1..).map_while(|tries| pause_before_retry(&broken, tries));
        let waited: Duration = pauses.sum();
        assert!(waited >= Duration::from_millis(1_500) && waited <= Duration::from_secs(4), "{waited:?}");
    }

    #[test]
    fn a_server_that_asks_for_a_short_pause_gets_it() {
        use tonic_types::{ErrorDetails, StatusExt as _};
        let asking = |secs| {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(secs)));
            Status::with_error_details(Code::ResourceExhausted, "", details)
        };
        assert!(pause_before_retry(&asking(2), 1).is_some_and(|pause| pause >= Duration::from_secs(2)));
        assert_eq!(pause_before_retry(&asking(60), 1), None);
    }

    #[test]
    fn the_throttle_stops_retries_when_most_calls_fail() {
        let throttle = Throttle::new();
        let allowed = (0..10).filter(|_| throttle.failed()).count();
        assert_eq!(allowed, 4);
        (0..100).for_each(|_| throttle.succeeded());
        assert!(throttle.failed());
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        for doublings in 0..40 {
            assert!(jittered(PAUSE_FIRST, doublings, PAUSE_MAX) <= PAUSE_MAX);
        }
    }
}
