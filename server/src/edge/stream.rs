//! Answers that are streams, and what ends them from outside: the end of the server, or of the caller's session.

use std::{
    future::{Future, pending},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::{Status, body::Body};

use crate::{
    base::{
        clock,
        ctx::{Call, Ctx},
        error::{Error, Reason},
        status,
    },
    domain::auth::{AccessTokens, SESSIONS_ENDED},
};

/// How long a stream may take to end by itself once the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// How often a stream looks whether its session has ended, without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Has the answer's stream end with `SESSION_ENDED` when the session of the call is over, and with `UNAVAILABLE` if
/// it goes on for a while after the server began to stop.
pub(super) fn while_allowed(ctx: &Ctx, response: Response<Body>) -> Response<Body> {
    let call = ctx.call.clone();
    let over: Over = Box::pin(over(ctx.clone()));
    response.map(|body| Body::new(WhileAllowed { body, over: Some(over), call }))
}

async fn over(ctx: Ctx) -> Error {
    let stopped = async {
        ctx.tasks.stopping().cancelled().await;
        clock::sleep(GRACE).await;
    };
    tokio::select! {
        () = stopped => Error::new(Reason::Unavailable),
        () = session_ended(&ctx) => Error::new(Reason::SessionEnded),
    }
}

async fn session_ended(ctx: &Ctx) {
    let (Ok(user), Ok(tokens)) = (ctx.user(), ctx.ports.get::<AccessTokens>()) else {
        return pending().await;
    };
    let mut ended = ctx.signals.listen(SESSIONS_ENDED);
    while !tokens.has_ended(user.session) {
        ended.wait_at_most(LOOK_EVERY).await;
    }
}

type Over = Pin<Box<dyn Future<Output = Error> + Send>>;

struct WhileAllowed {
    body: Body,
    over: Option<Over>,
    call: Call,
}

impl http_body::Body for WhileAllowed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(over) = &mut self.over else { return Poll::Ready(None) };
        if let Poll::Ready(error) = over.as_mut().poll(context) {
            self.over = None;
            status::log_call(&error, &self.call.correlation, self.call.route);
            let mut trailers = HeaderMap::new();
            let ended = status::from_error(&error, &self.call.correlation).add_header(&mut trailers);
            return Poll::Ready(Some(ended.map(|()| Frame::trailers(trailers))));
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
