//! Listeners: accept, speak TLS and HTTP, bound every connection, and drain when the server stops.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, SetOnce},
};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::{Peer, tls::Tls};
use crate::base::{
    clock,
    error::{Error, Reason, Result},
    task::Tasks,
};

/// Connections that a listener holds open at most.
const CONNECTIONS_MAX: usize = 10_000;
/// Calls at the same time on one connection.
const STREAMS_MAX: u32 = 256;
/// Unacknowledged bytes of one connection. Far above what unread calls can add up to: h2 ends a connection
/// whose small unread frames eat more than half of this window.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
/// Unacknowledged bytes of one call.
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// Bytes of all headers of a request.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// Streams that a client opened and reset before the server looked at them (HTTP/2 rapid reset).
const PENDING_RESETS_MAX: usize = 32;
/// How long a client may take for the TLS handshake, and for the headers of an HTTP/1 request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that has brought no call yet may take to, once the server stops.
const FIRST_CALL_GRACE: Duration = Duration::from_secs(1);
/// How often a quiet connection is probed, and how long it may take to answer.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Binds `address`, which the setting `name` holds; port 0 takes a free one.
///
/// # Errors
/// `UNAVAILABLE` if the address is taken or not this machine's.
pub async fn bind(name: &str, address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let cause =
            format!("{name}={address} cannot be listened on ({error}); stop what does, or set another");
        Error::new(Reason::Unavailable).because(cause)
    })
}

/// Serves `service` on `listener` until the server stops.
pub fn serve<S>(name: &'static str, listener: TcpListener, tls: Option<Tls>, service: S, tasks: &Tasks)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let connections = tasks.clone();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    tasks.connection(name, async move {
        let stopping = connections.stopping();
        let receive = |(stream, peer): (TcpStream, SocketAddr)| {
            let Ok(place) = places.clone().try_acquire_owned() else { return };
            let (service, tls, tasks) = (service.clone(), tls.clone(), connections.clone());
            connections.connection("connection", async move {
                connect(stream, peer, tls, service, &tasks).await;
                drop(place);
            });
        };
        loop {
            let accepted = tokio::select! {
                () = stopping.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok(accepted) => receive(accepted),
                Err(error) => {
                    // Out of file descriptors, most likely: pause instead of spinning.
                    tracing::warn!(event = "listen.failed", listener = name, cause = %error);
                    clock::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        for accepted in still_waiting(listener) {
            receive(accepted);
        }
    });
}

/// The connections that the system has let in and nobody has taken yet, up to the moment at which the listener
/// closes: to close on them would lose their calls without a word. The system itself is asked, because the
/// runtime may not have heard of the latest. No more than a listener may hold: whoever goes on connecting must
/// not keep it open.
fn still_waiting(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    std::iter::from_fn(move || {
        let (stream, peer) = listener.as_ref()?.accept().ok()?;
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    })
    .take(CONNECTIONS_MAX)
}

async fn connect<S>(stream: TcpStream, peer: SocketAddr, tls: Option<Tls>, service: S, tasks: &Tasks)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let _ = stream.set_nodelay(true);
    match tls {
        None => converse(stream, peer, service, tasks).await,
        Some(tls) => {
            let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream));
            if let Ok(Ok(stream)) = handshake.await {
                converse(stream, peer, service, tasks).await;
            }
        }
    }
}

async fn converse<S, I>(stream: I, peer: SocketAddr, service: S, tasks: &Tasks)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let called = Arc::new(SetOnce::new());
    let calling = called.clone();
    let service = service.map_request(move |request: Request<Incoming>| {
        let _ = calling.set(());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        request
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HANDSHAKE_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => {}
        () = tasks.stopping().cancelled_owned() => {
            // What is on its way on a new connection would be lost: only one that has brought a call can be
            // told in good order that no more are taken.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = called.wait() => {}
                () = clock::sleep(FIRST_CALL_GRACE) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
