//! Plain HTTP: signed objects beside the RPCs on the public listener, and the metrics and probes on a
//! private listener of their own.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use axum::{
    Router,
    extract::State,
    http::{HeaderValue, Request, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::{
    TryFutureExt as _,
    future::{BoxFuture, Either},
};
use http::header::Entry;
use metrics_exporter_prometheus::PrometheusHandle;
use tonic::body::Body;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer as _, Service, ServiceExt as _};
use tower_http::cors::{Cors, CorsLayer};

use super::{
    Edge, Peer,
    health::{Condition, Health},
    transfers,
};
use crate::base::{ctx::CorrelationId, status::CORRELATION_ID};

/// What browsers are told with every answer over plain HTTP.
const SECURITY_HEADERS: [(header::HeaderName, HeaderValue); 5] = [
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000; includeSubDomains")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'")),
];

/// Adds the security headers to every answer of `router`.
pub fn secured(router: Router) -> Router {
    router.layer(middleware::from_fn(|request: axum::extract::Request, next: Next| async move {
        let mut response = next.run(request).await;
        for (name, value) in SECURITY_HEADERS {
            response.headers_mut().entry(name).or_insert(value);
        }
        response
    }))
}

/// Puts the RPCs and the signed objects behind one service that browsers of the configured origins may call.
pub fn public<S>(edge: Edge, objects: Router, rpcs: S, cors: CorsLayer) -> PublicService<S> {
    PublicService {
        objects: secured(transfers::bounded(objects, edge.clone())).layer(cors.clone()),
        edge,
        rpcs: cors.layer(GrpcWebLayer::new().layer(rpcs)),
    }
}

/// What the public listener serves: RPCs, and signed objects beside them, told apart by their path. Every
/// answer has a correlation ID, also one that was given before a gate.
#[derive(Clone)]
pub struct PublicService<S> {
    edge: Edge,
    objects: Router,
    rpcs: Cors<GrpcWebService<S>>,
}

impl<S> Service<Request<Body>> for PublicService<S>
where
    S: Service<Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<http::Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Service::<Request<Body>>::poll_ready(&mut self.rpcs, context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let edge = self.edge.clone();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
        let sent = request.headers().get(CORRELATION_ID).cloned();
        let is_object = request.uri().path().starts_with("/blobs/");
        let answer = if is_object {
            let answer = self.objects.call(request.map(axum::body::Body::new));
            Either::Left(answer.map_ok(|response| response.map(Body::new)))
        } else {
            Either::Right(self.rpcs.call(request))
        };
        Box::pin(async move {
            let mut response = answer.await?;
            if let Entry::Vacant(missing) = response.headers_mut().entry(CORRELATION_ID) {
                let correlation =
                    edge.correlation(peer, sent.as_ref()).unwrap_or_else(|_| CorrelationId::unknown());
                missing.insert(correlation.header().clone());
            }
            Ok(response)
        })
    }
}

/// A router as what a gate and a listener serve.
pub fn service(
    router: Router,
) -> impl Service<Request<Body>, Response = http::Response<Body>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static {
    router
        .map_request(|request: Request<Body>| request.map(axum::body::Body::new))
        .map_response(|response: Response| response.map(Body::new))
}

/// What the private listener shows.
#[derive(Clone)]
pub struct Private {
    /// The figures.
    pub metrics: PrometheusHandle,
    /// The dependencies.
    pub health: Health,
}

/// `/metrics` for Prometheus, `/livez` and `/readyz` for probes, `/health` for people.
pub fn private(state: Private) -> Router {
    secured(
        Router::new()
            .route("/metrics", get(|State(state): State<Private>| async move { state.metrics.render() }))
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(ready))
            .route("/health", get(report))
            .with_state(state),
    )
}

async fn ready(State(state): State<Private>) -> Response {
    match state.health.latest().condition {
        Condition::Failing => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n").into_response(),
        _ => "ready\n".into_response(),
    }
}

async fn report(State(state): State<Private>) -> Response {
    match serde_json::to_string(state.health.latest().as_ref()) {
        Ok(report) => ([(header::CONTENT_TYPE, "application/json")], report).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
