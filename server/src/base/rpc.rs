//! What every RPC does first and last: find its context, validate its message, render its error.

use std::{future::Future, pin::Pin};

use futures::Stream;
use hivesync_proto::validation::{self, Validate};
use tonic::{Request, Response, Status};

use super::{
    ctx::Ctx,
    error::{Error, Reason, Result},
    status,
};

/// What a server-streaming RPC answers with.
pub type Responses<R> = Pin<Box<dyn Stream<Item = Result<R, Status>> + Send>>;

/// Runs a unary RPC: `f` gets the context that the edge made, and a message that keeps every rule of the
/// contract.
///
/// # Errors
/// The status of whatever `f` refuses, and `INVALID_REQUEST` for a message that breaks a rule.
pub async fn serve<M, R, F, Fut>(request: Request<M>, f: F) -> Result<Response<R>, Status>
where
    M: Validate,
    F: FnOnce(Ctx, M) -> Fut,
    Fut: Future<Output = Result<R>>,
{
    let (ctx, message) = open(request)?;
    match f(ctx.clone(), message).await {
        Ok(answer) => Ok(Response::new(answer)),
        Err(error) => Err(refuse(&ctx, &error)),
    }
}

/// Runs a server-streaming RPC: `f` answers with a stream whose errors become statuses.
///
/// # Errors
/// As [`serve`].
pub async fn serve_stream<M, R, F, Fut, S>(
    request: Request<M>,
    f: F,
) -> Result<Response<Responses<R>>, Status>
where
    M: Validate,
    R: Send + 'static,
    F: FnOnce(Ctx, M) -> Fut,
    Fut: Future<Output = Result<S>>,
    S: Stream<Item = Result<R>> + Send + 'static,
{
    use futures::StreamExt as _;
    let (ctx, message) = open(request)?;
    match f(ctx.clone(), message).await {
        Ok(stream) => {
            let responses = stream.map(move |item| item.map_err(|error| refuse(&ctx, &error)));
            Ok(Response::new(Box::pin(responses)))
        }
        Err(error) => Err(refuse(&ctx, &error)),
    }
}

/// The context that the edge put beside the message.
///
/// # Errors
/// `INTERNAL` if the call did not come through the edge.
pub fn context<M>(request: &Request<M>) -> Result<Ctx, Status> {
    request.extensions().get::<Ctx>().cloned().ok_or_else(status::without_context)
}

/// Logs `error` once, and makes its status.
#[must_use]
pub fn refuse(ctx: &Ctx, error: &Error) -> Status {
    status::log_call(error, &ctx.call.correlation, ctx.call.route);
    status::from_error(error, &ctx.call.correlation)
}

/// Checks a message that arrived on a stream.
///
/// # Errors
/// `INVALID_REQUEST` naming the fields.
pub fn validate<M: Validate>(message: &M) -> Result<()> {
    validation::validate(message).map_err(|violations| {
        violations.into_iter().fold(Error::new(Reason::InvalidRequest), |error, violation| {
            error.at(violation.field, violation.description)
        })
    })
}

fn open<M: Validate>(mut request: Request<M>) -> Result<(Ctx, M), Status> {
    let ctx = request.extensions_mut().remove::<Ctx>().ok_or_else(status::without_context)?;
    let message = request.into_inner();
    validate(&message).map_err(|error| refuse(&ctx, &error))?;
    Ok((ctx, message))
}
