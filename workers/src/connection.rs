//! The way to the server: made anew for each stream, and lent to the unary calls.

use std::time::Duration;

use hivesync_proto::v1::worker_service_client::WorkerServiceClient;
use tokio::sync::watch;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use crate::error::WorkerError;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Pings find a dead peer below HTTP/2; only beats prove that the server deals with this stream.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_LIMIT: Duration = Duration::from_secs(5);

/// Fixed and large: h2 ends a connection on which many small frames are unread, by a budget that follows
/// the connection's window.
const CONNECTION_WINDOW_BYTES: u32 = 16 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// The largest message that is taken from the server.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A client of the worker service.
pub(crate) type Client = WorkerServiceClient<Channel>;

/// Makes connections, and remembers the newest.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: Endpoint,
    newest: watch::Sender<Option<Client>>,
}

impl Connection {
    /// For the server at `url`. `tls_root` is a PEM certificate to trust instead of the system's.
    pub(crate) fn new(url: &str, tls_root: Option<&[u8]>) -> Result<Self, WorkerError> {
        let mut endpoint = Endpoint::from_shared(url.to_owned())
            .map_err(|_| WorkerError::ServerUrl)?
            .connect_timeout(CONNECT_LIMIT)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_LIMIT)
            .keep_alive_while_idle(true)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .tcp_nodelay(true);
        match endpoint.uri().scheme_str() {
            Some("http") => {}
            Some("https") => {
                let tls = ClientTlsConfig::new();
                let tls = match tls_root {
                    Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
                    None => tls.with_native_roots(),
                };
                endpoint = endpoint.tls_config(tls).map_err(|_| WorkerError::TlsRoot)?;
            }
            _ => return Err(WorkerError::ServerUrl),
        }
        Ok(Self { endpoint, newest: watch::Sender::new(None) })
    }

    /// A new connection, which is the newest from now on.
    pub(crate) async fn open(&self) -> Result<Client, tonic::transport::Error> {
        let client = WorkerServiceClient::new(self.endpoint.connect().await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX);
        self.newest.send_replace(Some(client.clone()));
        Ok(client)
    }

    /// The newest connection, once there is one.
    pub(crate) async fn newest(&self) -> Client {
        let mut newest = self.newest.subscribe();
        loop {
            if let Some(client) = newest.borrow_and_update().clone() {
                return client;
            }
            if newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
