//! Listeners: accept, speak TLS and HTTP, bound every connection, and drain when the server stops.

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tonic::body::Body;
use tower::{Service, ServiceExt as _};

use super::{
    Peer,
    activity::{Activity, Answering},
    client_ip::ClientAddress,
    tls::Tls,
};
use crate::base::{
    clock,
    error::{Error, Reason, Result},
    limit::client_of,
    places::Places,
    task::Tasks,
};

/// Connections of clients that a listener holds open at most, and as many again of trusted proxies.
const CONNECTIONS_MAX: usize = 10_000;
/// How many of them one client may have. A trusted proxy may have them all: it stands for many clients.
const CLIENT_CONNECTIONS_MAX: usize = CONNECTIONS_MAX / 8;
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
/// How long a client may take for the TLS handshake, then for its first call, and for the headers of an HTTP/1
/// request.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it is looked whether a connection has been idle since the last look. One that has is closed, and
/// its client opens another for its next call.
const IDLE_LOOK_EVERY: Duration = Duration::from_secs(150);
/// How long a connection that is closed for its silence may take to say so in good order.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
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

/// What listeners of one server have in common.
#[derive(Clone)]
pub struct Entrance {
    tls: Option<Tls>,
    client_address: Arc<ClientAddress>,
    tasks: Tasks,
    connections_max: usize,
    client_connections_max: usize,
}

impl Entrance {
    /// Speaks `tls`, if there is one, and tells trusted proxies from clients by `client_address`.
    #[must_use]
    pub fn new(tls: Option<Tls>, client_address: Arc<ClientAddress>, tasks: Tasks) -> Self {
        Self {
            tls,
            client_address,
            tasks,
            connections_max: CONNECTIONS_MAX,
            client_connections_max: CLIENT_CONNECTIONS_MAX,
        }
    }

    /// The same without TLS.
    #[must_use]
    pub fn in_clear(&self) -> Self {
        Self { tls: None, ..self.clone() }
    }

    /// Serves `service` on `listener`, which is called `name`, until the server stops.
    pub fn serve<S>(&self, name: &'static str, listener: TcpListener, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let entrance = self.clone();
        let places = Places::new(self.connections_max, self.client_connections_max);
        let proxy_places = Places::new(self.connections_max, self.connections_max);
        self.tasks.connection(name, async move {
            let stopping = entrance.tasks.stopping();
            let receive = |(stream, peer): (TcpStream, SocketAddr)| {
                let address = peer.ip().to_canonical();
                let is_proxy = entrance.client_address.trusts(address);
                let places = if is_proxy { &proxy_places } else { &places };
                let Some(place) = places.take(client_of(address)) else { return };
                let (service, entrance) = (service.clone(), entrance.clone());
                let tasks = entrance.tasks.clone();
                tasks.connection("connection", async move {
                    entrance.connect(stream, peer, service).await;
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

    async fn connect<S>(&self, stream: TcpStream, peer: SocketAddr, service: S)
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>
            + Clone
            + Send
            + Sync
            + 'static,
        S::Future: Send,
    {
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => converse(stream, peer, service, &self.tasks).await,
            Some(tls) => {
                let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(stream));
                if let Ok(Ok(stream)) = handshake.await {
                    converse(stream, peer, service, &self.tasks).await;
                }
            }
        }
    }
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

/// Why a connection is ended by the server.
enum End {
    Idle,
    Stopping,
}

async fn converse<S, I>(stream: I, peer: SocketAddr, service: S, tasks: &Tasks)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::default();
    let called = activity.clone();
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let call = called.begin();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let answer = service.clone().oneshot(request);
        async move { answer.await.map(|response| response.map(|body| Answering::new(body, call))) }
    });
    let builder = http_builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // Polled only when they are woken themselves, and not with each frame of the connection.
    let mut ends: FuturesUnordered<_> = [
        activity.idle(HANDSHAKE_TIMEOUT, IDLE_LOOK_EVERY).map(|()| End::Idle).boxed(),
        tasks.stopping().cancelled_owned().map(|()| End::Stopping).boxed(),
    ]
    .into_iter()
    .collect();
    let end = tokio::select! {
        _ = connection.as_mut() => return,
        end = ends.select_next_some() => end,
    };
    farewell(connection, &activity, end).await;
}

/// HTTP/1 and HTTP/2, with everything bounded.
fn http_builder() -> auto::Builder<TokioExecutor> {
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
    builder
}

/// Ends a connection in good order.
async fn farewell<I, S>(
    mut connection: Pin<&mut auto::Connection<'_, TokioIo<I>, S, TokioExecutor>>,
    activity: &Activity,
    end: End,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    S: hyper::service::Service<Request<Incoming>, Response = Response<Answering>, Error = Infallible>,
    S::Future: Send + 'static,
{
    match end {
        End::Idle => {
            connection.as_mut().graceful_shutdown();
            // A call that has just come is answered all the same.
            tokio::select! {
                _ = connection => {}
                () = activity.quiet(FAREWELL_MAX) => {}
            }
        }
        End::Stopping => {
            // What is on its way on a new connection would be lost: only one that has brought a call can be
            // told in good order that no more are taken.
            tokio::select! {
                _ = connection.as_mut() => return,
                () = activity.begun() => {}
                () = clock::sleep(FIRST_CALL_GRACE) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Empty, StreamBody};
    use hyper::client::conn::http2::{self, SendRequest};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        net::TcpSocket,
        time::{Instant, timeout},
    };

    use super::*;
    use crate::base::config::ForwardedHeader;

    const PEER: &str = "192.0.2.1:1";
    /// An HTTP/2 client begins with this, and a frame of settings, here of none.
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

    /// Answers every call; one of `/endless` with a body that does not end.
    fn service() -> impl Service<
        Request<Body>,
        Response = Response<Body>,
        Error = Infallible,
        Future = std::future::Ready<Result<Response<Body>, Infallible>>,
    > + Clone
    + Send
    + Sync
    + 'static {
        tower::service_fn(|request: Request<Body>| {
            let endless = StreamBody::new(futures::stream::pending::<
                std::result::Result<http_body::Frame<Bytes>, tonic::Status>,
            >());
            let body = if request.uri().path() == "/endless" { Body::new(endless) } else { Body::empty() };
            std::future::ready(Ok(Response::new(body)))
        })
    }

    /// A connection whose other end is served, in the background.
    fn connected(tasks: &Tasks) -> DuplexStream {
        let (near, far) = duplex(64 * 1024);
        let served = tasks.clone();
        tasks.connection("served", async move {
            converse(far, PEER.parse().unwrap(), service(), &served).await;
        });
        near
    }

    async fn client(tasks: &Tasks) -> SendRequest<Empty<Bytes>> {
        let stream = TokioIo::new(connected(tasks));
        let (client, connection) = http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tasks.connection("client", async move { drop(connection.await) });
        client
    }

    fn call(path: &str) -> Request<Empty<Bytes>> {
        Request::post(format!("http://localhost{path}")).body(Empty::new()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_brings_no_call_is_closed() {
        let tasks = Tasks::default();
        for sent in [b"".as_slice(), b"P", b"PRI * HT", PREFACE, b"GET / HTTP/1.1\r\nHost:"] {
            let mut stream = connected(&tasks);
            stream.write_all(sent).await.unwrap();
            let mut farewell = Vec::new();
            let closed = timeout(HANDSHAKE_TIMEOUT + FAREWELL_MAX * 3, stream.read_to_end(&mut farewell));
            closed.await.unwrap_or_else(|_| panic!("still open after {sent:?}")).unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_call_under_way_is_closed_after_a_while() {
        let tasks = Tasks::default();
        let mut client = client(&tasks).await;
        let begun = Instant::now();
        while client.ready().await.is_ok() && begun.elapsed() < IDLE_LOOK_EVERY * 3 {
            client.send_request(call("/")).await.unwrap();
            clock::sleep(IDLE_LOOK_EVERY / 2).await;
        }
        assert!(!client.is_closed(), "calls keep it");
        clock::sleep(IDLE_LOOK_EVERY * 2 + FAREWELL_MAX * 3).await;
        assert!(client.is_closed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_goes_on_keeps_its_connection() {
        let tasks = Tasks::default();
        let mut client = client(&tasks).await;
        let mut answer = client.send_request(call("/endless")).await.unwrap();
        let mut frame = pin!(answer.frame());
        timeout(IDLE_LOOK_EVERY * 20, &mut frame).await.unwrap_err();
        assert!(!client.is_closed());
        drop(answer);
        clock::sleep(IDLE_LOOK_EVERY * 2 + FAREWELL_MAX * 3).await;
        assert!(client.is_closed());
    }

    async fn connect_from(source: &str, target: SocketAddr) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
        socket.connect(target).await.unwrap()
    }

    /// Whether the server talks on this connection.
    async fn is_served(stream: &mut TcpStream) -> bool {
        let mut answer = [0; 12];
        let call = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream.write_all(call).await.is_ok()
            && stream.read_exact(&mut answer).await.is_ok()
            && answer == *b"HTTP/1.1 200"
    }

    #[tokio::test]
    async fn one_client_leaves_connections_for_others() {
        let trusted = vec!["127.0.0.9/32".parse().unwrap()];
        let client_address = Arc::new(ClientAddress { trusted, header: ForwardedHeader::XForwardedFor });
        let tasks = Tasks::default();
        let entrance = Entrance {
            connections_max: 5,
            client_connections_max: 2,
            ..Entrance::new(None, client_address, tasks.clone())
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        entrance.serve("test", listener, service());

        let mut held = Vec::new();
        for (source, served) in [
            ("127.0.0.1", true),
            ("127.0.0.1", true),
            ("127.0.0.1", false),
            ("127.0.0.2", true),
            ("127.0.0.9", true),
            ("127.0.0.9", true),
            ("127.0.0.9", true),
        ] {
            let mut stream = connect_from(source, target).await;
            assert_eq!(is_served(&mut stream).await, served, "{source}");
            held.push(stream);
        }
        held.clear();
        // The server hears of it a little later.
        timeout(Duration::from_secs(10), async {
            while !is_served(&mut connect_from("127.0.0.1", target).await).await {}
        })
        .await
        .unwrap();
        assert!(tasks.drain(Duration::from_secs(10)).await);
    }
}
