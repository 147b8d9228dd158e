//! The last word on every answer: the correlation ID is on it, and what the framework said about a bad
//! message or an unknown method is said in our own words.

use std::time::Duration;

use http::Response;
use http_body_util::BodyExt as _;
use tonic::{Code, Status, body::Body};

use crate::base::{
    ctx::CorrelationId,
    error::{Error, Reason},
    status::{self, CORRELATION_ID},
};

/// How long, and for how many bytes, a refusal waits for the end of the request.
const UNREAD_TIME_MAX: Duration = Duration::from_millis(250);
const UNREAD_BYTES_MAX: usize = 64 * 1024;

/// Makes the answer to a refused call to `route`.
#[must_use]
pub fn refusal(error: &Error, correlation: &CorrelationId, route: &str) -> Response<Body> {
    status::log_call(error, correlation, route);
    status::from_error(error, correlation).into_http()
}

/// Refuses a call whose `request` nobody has read: takes in what is left of it first, if it is short.
///
/// A server may answer before the request has ended and reset the stream then (RFC 9113, 8.1), but not every
/// client keeps such an answer: curl 7.88 loses it with the reset.
pub async fn refuse_unread(
    error: &Error,
    correlation: &CorrelationId,
    route: &str,
    mut request: Body,
) -> Response<Body> {
    let mut left = UNREAD_BYTES_MAX;
    let end = async {
        while let Some(Ok(frame)) = request.frame().await {
            let taken = frame.data_ref().map_or(0, bytes::Bytes::len);
            let Some(rest) = left.checked_sub(taken) else { return };
            left = rest;
        }
    };
    // Out of time or not: it is refused.
    let _ = tokio::time::timeout(UNREAD_TIME_MAX, end).await;
    refusal(error, correlation, route)
}

/// Finishes an answer of a service. Answers that our own code made carry the correlation ID already; a
/// status without one comes from the framework.
#[must_use]
pub fn finish(response: Response<Body>, correlation: &CorrelationId, route: &str) -> Response<Body> {
    let foreign = Status::from_header_map(response.headers())
        .filter(|status| status.code() != Code::Ok && !response.headers().contains_key(CORRELATION_ID));
    if let Some(status) = foreign {
        return refusal(&translate(&status), correlation, route);
    }
    let mut response = response;
    response.headers_mut().insert(CORRELATION_ID, correlation.header().clone());
    response
}

/// The code of a finished answer, if its status is in the headers already.
#[must_use]
pub fn code(response: &Response<Body>) -> Code {
    Status::from_header_map(response.headers()).map_or(Code::Ok, |status| status.code())
}

/// What the framework meant.
fn translate(status: &Status) -> Error {
    let reason = match status.code() {
        // tonic says INTERNAL of bytes that are not the message, and UNIMPLEMENTED of a compression.
        Code::Internal | Code::Unimplemented | Code::InvalidArgument => Reason::InvalidRequest,
        // The health service says NOT_FOUND of a service that it does not know.
        Code::NotFound => Reason::NotFound,
        Code::OutOfRange | Code::ResourceExhausted => Reason::MessageTooLarge,
        Code::Cancelled => Reason::Cancelled,
        Code::DeadlineExceeded => Reason::DeadlineExceeded,
        _ => Reason::Internal,
    };
    Error::new(reason).because(format!("the framework answered {:?}", status.code()))
}
