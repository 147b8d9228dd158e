//! What is true of every request, before a service sees it and after it has answered.
//!
//! [`Gate`] is the one layer in front of the services, and [`Gate::pass`] reads from top to bottom as the
//! order of its stages. They are functions in one future rather than a dozen nested layers: the order
//! stands in one place, and a call costs one allocation instead of one for each.

mod activity;
pub mod answer;
mod audit;
pub mod authenticate;
pub mod client_ip;
pub mod cors;
pub mod deadline;
pub mod health;
pub mod http_endpoints;
pub mod listen;
pub mod policy;
pub mod shed;
mod stream;
pub mod throttle;
pub mod tls;
mod transfers;

use std::{
    collections::HashMap,
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use authenticate::Authenticator;
use client_ip::ClientAddress;
use futures::FutureExt as _;
use http::{HeaderValue, Request, Response, request::Parts};
use metrics::{Counter, Histogram};
use policy::{Listener, Row};
use shed::{Place, Shed};
use stream::{Streams, while_allowed};
use tonic::{Code, body::Body};
use tower::Service;

use crate::base::{
    actor::Actor,
    clock::Stopwatch,
    ctx::{Base, Call, CorrelationId, Ctx},
    error::{Error, Reason, Result},
    status::CORRELATION_ID,
};

/// What the log says of a call whose route is not known.
const UNKNOWN_ROUTE: &str = "unknown";
/// The part of all places for calls that one client may take.
const CLIENT_SHARE: usize = 4;

/// Where a connection comes from; `listen` puts it beside every request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// What every gate of the server shares.
#[derive(Clone)]
pub struct Edge {
    base: Arc<Base>,
    client_address: Arc<ClientAddress>,
    authenticator: Authenticator,
    shed: Shed,
    streams: Streams,
}

impl Edge {
    /// An edge in front of the services that work with `base`.
    #[must_use]
    pub fn new(base: Arc<Base>, authenticator: Authenticator) -> Self {
        let config = &base.config;
        let client_address = Arc::new(ClientAddress {
            trusted: config.trusted_proxies.clone(),
            header: config.forwarded_header,
        });
        let shed = Shed::new(config.limits.calls_max, config.limits.calls_max.div_ceil(CLIENT_SHARE));
        Self { base, client_address, authenticator, shed, streams: Streams::default() }
    }

    /// How the address of a client is found.
    #[must_use]
    pub fn client_address(&self) -> &Arc<ClientAddress> {
        &self.client_address
    }

    /// The gate of one listener, in front of `services`.
    #[must_use]
    pub fn gate<S>(&self, listener: Listener, services: S) -> Gate<S> {
        let is_local = self.base.config.environment.is_local();
        let served = policy::TABLE.iter().filter(|row| listener.serves(row.audience, is_local));
        let routes = served.map(|row| (row.route, Route::new(row))).collect();
        Gate { stages: Arc::new(Stages { edge: self.clone(), routes }), services }
    }

    /// The ID of a request, which only a trusted proxy may have `sent`.
    fn correlation(&self, peer: Option<SocketAddr>, sent: Option<&HeaderValue>) -> Result<CorrelationId> {
        let trusted = peer.is_some_and(|peer| self.client_address.trusts(peer.ip()));
        let sent = sent.filter(|_| trusted).and_then(|value| value.to_str().ok());
        match sent.and_then(CorrelationId::accept) {
            Some(correlation) => Ok(correlation),
            None => CorrelationId::generate(&self.base),
        }
    }

    /// Whether clients at `address` are banned.
    fn denies(&self, address: Option<IpAddr>) -> bool {
        let denied = &self.base.config.denied_networks;
        address.is_some_and(|address| denied.iter().any(|network| network.contains(&address)))
    }

    /// The stages that may refuse a call; returns what travels with it from here on.
    async fn admit(
        &self,
        row: &'static Row,
        correlation: &CorrelationId,
        address: Option<IpAddr>,
        parts: &Parts,
    ) -> Result<Ctx> {
        let base = &self.base;
        // A banned address costs nothing but this look.
        if self.denies(address) {
            return Err(Error::new(Reason::PermissionDenied).because("the address is denied"));
        }
        let call = Call {
            correlation: correlation.clone(),
            route: row.route,
            address,
            proven_key: None,
            deadline: deadline::clamp(&parts.headers, row.deadline()),
        };
        let mut ctx = Ctx::new(base.clone(), Actor::Anonymous, call);
        ctx.actor = self.authenticator.identify(&ctx, row, parts).await?;
        throttle::admit(&ctx, row.rate).await?;
        ctx.call.proven_key = self.authenticator.prove(&ctx, row, parts).await?.map(Arc::new);
        Ok(ctx)
    }

    /// The places that a call takes while it is at work, and then while its stream goes on.
    fn places(&self, row: &Row, address: Option<IpAddr>) -> Result<(Place, Option<Place>)> {
        Ok((self.shed.enter(address)?, self.streams.enter(row, address)?))
    }

    /// Calls the service: at most so many at a time, at most until the deadline, and without a panic that
    /// leaves the call unanswered.
    async fn call<S>(
        &self,
        mut services: S,
        route: &Route,
        ctx: &Ctx,
        request: Request<Body>,
    ) -> Response<Body>
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
    {
        let correlation = &ctx.call.correlation;
        let (_place, stream_place) = match self.places(route.row, ctx.call.address) {
            Ok(places) => places,
            Err(error) => {
                return answer::refuse_unread(&error, correlation, route.row.route, request.into_body())
                    .await;
            }
        };
        let service = AssertUnwindSafe(services.call(request)).catch_unwind();
        // Of a stream, the deadline is for its beginning: a client that keeps its message to itself must not
        // keep its place as well.
        match tokio::time::timeout(ctx.call.deadline, service).await {
            // Most streams end by themselves when the server stops; those that do not must not hold it up. None
            // outlives the session that it was opened in.
            Ok(Ok(Ok(response))) if route.row.streaming => while_allowed(ctx, response, stream_place),
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => {
                answer::refusal(&Error::internal("a service panicked"), correlation, route.row.route)
            }
            Err(_) => answer::refusal(&Error::new(Reason::DeadlineExceeded), correlation, route.row.route),
        }
    }
}

/// An RPC that the listener serves, with its counters at hand.
struct Route {
    row: &'static Row,
    served: Counter,
    seconds: Histogram,
}

impl Route {
    fn new(row: &'static Row) -> Self {
        Self {
            row,
            served: metrics::counter!("hivesync_rpc_total", "route" => row.route, "code" => "Ok"),
            seconds: metrics::histogram!("hivesync_rpc_seconds", "route" => row.route),
        }
    }

    fn count(&self, code: Code, took: Duration) {
        if code == Code::Ok {
            self.served.increment(1);
        } else {
            let code = format!("{code:?}");
            metrics::counter!("hivesync_rpc_total", "route" => self.row.route, "code" => code).increment(1);
        }
        self.seconds.record(took);
    }
}

/// What all calls of one listener share. It stands behind one reference count, since every call takes a
/// share, and processors that count on the same line wait for each other.
struct Stages {
    edge: Edge,
    routes: HashMap<&'static str, Route>,
}

/// Stands in front of the services of one listener.
#[derive(Clone)]
pub struct Gate<S> {
    stages: Arc<Stages>,
    services: S,
}

impl<S> Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    /// Leads a request through every stage, in order.
    async fn pass(self, request: Request<Body>) -> Response<Body> {
        let Self { stages, services } = self;
        let Stages { edge, routes } = &*stages;
        let watch = Stopwatch::start();
        let (mut parts, body) = request.into_parts();
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);

        // Every answer carries the ID under which the log knows the call.
        let correlation = match edge.correlation(peer, parts.headers.get(CORRELATION_ID)) {
            Ok(correlation) => correlation,
            Err(error) => return answer::refusal(&error, &CorrelationId::unknown(), UNKNOWN_ROUTE),
        };
        // Everything that counts or refuses by address counts the client, not the proxy in front of it.
        let address = peer.map(|peer| edge.client_address.find(peer, &parts.headers));

        let path = parts.uri.path().trim_start_matches('/');
        let Some(route) = routes.get(path) else {
            return answer::refuse_unread(
                &Error::new(Reason::UnknownMethod),
                &correlation,
                UNKNOWN_ROUTE,
                body,
            )
            .await;
        };
        let response = match edge.admit(route.row, &correlation, address, &parts).await {
            Ok(ctx) => {
                parts.extensions.insert(ctx.clone());
                let request = Request::from_parts(parts, body);
                let response = edge.call(services, route, &ctx, request).await;
                // Success is recorded by the service, in its transaction; a refusal leaves none.
                if route.row.permission.is_some() {
                    audit::record_refusal(&ctx, answer::code(&response)).await;
                }
                response
            }
            Err(error) => answer::refuse_unread(&error, &correlation, route.row.route, body).await,
        };
        let response = answer::finish(response, &correlation, route.row.route);

        // One line and one count for each call, after everything that could still refuse it.
        let (code, took) = (answer::code(&response), watch.elapsed());
        route.count(code, took);
        tracing::debug!(
            target: "hivesync::access",
            event = "call.served",
            correlation_id = %correlation,
            route = route.row.route,
            code = ?code,
            address = address.map(tracing::field::display),
            micros = took.as_micros() as u64,
        );
        response
    }
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.services.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let gate = self.clone();
        Box::pin(async move { Ok(gate.pass(request).await) })
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use futures::{TryStreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;
    use tonic::Status;

    use super::*;
    use crate::{
        base::{fixture::Fixture, ports::Ports},
        domain::auth::AccessTokens,
    };

    /// The answer of a gate to `body`, sent to `route`, where no service ever answers.
    async fn answer(route: &str, body: Body) -> impl Future<Output = Response<Body>> {
        let fixture = Fixture::new(Ports::default()).await;
        let tokens = Arc::new(AccessTokens::new(&fixture.base.config.tokens).unwrap());
        let edge = Edge::new(fixture.base.clone(), Authenticator::new(tokens, Vec::new()));
        let silent = tower::service_fn(|_: Request<Body>| std::future::pending());
        let request = Request::post(route).header("grpc-timeout", "1m").body(body).unwrap();
        let answer = edge.gate(Listener::Public, silent).pass(request);
        async move { tokio::time::timeout(Duration::from_secs(10), answer).await.unwrap() }
    }

    #[tokio::test]
    async fn a_stream_that_does_not_begin_gives_its_place_back() {
        let answer = answer("/grpc.health.v1.Health/Watch", Body::empty()).await.await;
        assert_eq!(answer::code(&answer), Code::DeadlineExceeded);
    }

    #[tokio::test]
    async fn a_refusal_waits_for_a_short_message_and_not_for_a_long_one() {
        for (route, code) in [
            ("/hivesync.v1.UserService/GetMe", Code::Unauthenticated),
            ("/hivesync.v1.UserService/Nothing", Code::Unimplemented),
        ] {
            let (mut message, frames) = futures::channel::mpsc::channel::<Result<_>>(1);
            let body = StreamBody::new(frames.map_ok(Frame::data));
            let mut answer = pin!(answer(route, Body::new(body)).await);
            tokio::time::timeout(Duration::from_millis(50), &mut answer).await.unwrap_err();
            message.try_send(Ok(Bytes::from_static(&[0; 5]))).unwrap();
            drop(message);
            assert_eq!(answer::code(&answer.await), code);

            let endless =
                stream::repeat_with(|| Ok::<_, Status>(Frame::data(Bytes::from_static(&[0; 4096]))));
            let answer = self::answer(route, Body::new(StreamBody::new(endless))).await.await;
            assert_eq!(answer::code(&answer), code);
        }
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>());
        let answer = answer("/hivesync.v1.UserService/GetMe", Body::new(silent)).await.await;
        assert_eq!(answer::code(&answer), Code::Unauthenticated);
    }
}
