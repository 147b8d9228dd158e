//! Answers that are streams: how many there may be, and what ends them from outside: the end of the server, or of the
//! caller's session.

use std::{
    future::{Future, pending},
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::Frame;
use tonic::{Status, body::Body};

use super::{
    policy::{Audience, Row},
    shed::{Place, Shed},
};
use crate::{
    base::{
        clock,
        ctx::{Call, Ctx},
        error::{Error, Reason, Result},
        status,
    },
    domain::auth::{AccessTokens, SESSIONS_ENDED},
};

/// How long a stream may take to end by itself once the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// How often a stream looks whether its session has ended, without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Streams of callers who are known, and how many of them one client may have.
const OF_USERS_MAX: usize = 20_000;
const OF_USERS_CLIENT_MAX: usize = OF_USERS_MAX / 8;
/// Streams that anybody may open, and how many of them one client may have.
const OF_ANYBODY_MAX: usize = 1_024;
const OF_ANYBODY_CLIENT_MAX: usize = 32;

/// The streams that go on. Those of workers are not among them: each worker has one.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    of_users: Shed,
    of_anybody: Shed,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            of_users: Shed::new(OF_USERS_MAX, OF_USERS_CLIENT_MAX),
            of_anybody: Shed::new(OF_ANYBODY_MAX, OF_ANYBODY_CLIENT_MAX),
        }
    }
}

impl Streams {
    /// A place for the stream that `row` answers with, if it does, to be held until the stream ends.
    ///
    /// # Errors
    /// `OVERLOADED` if there is none for the client at `address`.
    pub(super) fn enter(&self, row: &Row, address: Option<IpAddr>) -> Result<Option<Place>> {
        let places = match row.audience {
            _ if !row.streaming => return Ok(None),
            Audience::Worker => return Ok(None),
            Audience::User | Audience::Person | Audience::Operator => &self.of_users,
            Audience::Public | Audience::Everywhere | Audience::Local => &self.of_anybody,
        };
        places.enter(address).map(Some)
    }
}

/// Has the answer's stream end with `SESSION_ENDED` when the session of the call is over, and with `UNAVAILABLE` if
/// it goes on for a while after the server began to stop. It keeps its `place` until it has ended.
pub(super) fn while_allowed(ctx: &Ctx, response: Response<Body>, place: Option<Place>) -> Response<Body> {
    let call = ctx.call.clone();
    let over: Over = Box::pin(over(ctx.clone()));
    response.map(|body| Body::new(WhileAllowed { body, over: Some(over), call, _place: place }))
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
    _place: Option<Place>,
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
