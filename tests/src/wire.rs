//! Calls without the client library, for what it would never send, and for reading refusals in full.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use hivesync_proto::{
    device_proof::{self, Claims},
    v1::ErrorReason,
};
use hivesync_server::base::clock::Clock;
use prost::Message;
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
    metadata::AsciiMetadataValue,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::device::Device;

/// The metadata entry that carries the correlation ID of every answer.
pub const CORRELATION_ID: &str = "correlation-id";

/// A plain connection to one listener.
#[derive(Clone)]
pub struct Wire {
    /// The connection, for generated clients.
    pub channel: Channel,
    /// Host and port, as the calls address them.
    pub authority: String,
    /// The time that proofs are made at.
    pub clock: Clock,
}

/// What goes along with a call.
#[derive(Clone, Copy, Default)]
pub struct Credentials<'a> {
    /// The bearer token.
    pub access_token: Option<&'a str>,
    /// The device that proves its key.
    pub device: Option<&'a Device>,
}

impl Wire {
    /// Connects to a listener on this machine, whose clock is `clock`.
    pub async fn connect(authority: impl Into<String>, clock: Clock) -> Self {
        let authority = authority.into();
        let endpoint = Channel::from_shared(format!("http://{authority}")).expect("an address");
        Self::connect_to(endpoint, authority, clock).await
    }

    /// As [`Wire::connect`], over TLS, to a server whose certificate an authority with this root (PEM) has issued.
    pub async fn over_tls(root: &str, authority: impl Into<String>, clock: Clock) -> Self {
        let authority = authority.into();
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(root));
        let endpoint = Channel::from_shared(format!("https://{authority}")).expect("an address");
        Self::connect_to(endpoint.tls_config(tls).expect("a certificate"), authority, clock).await
    }

    async fn connect_to(endpoint: Endpoint, authority: String, clock: Clock) -> Self {
        let channel = endpoint
            .initial_connection_window_size(16 * 1024 * 1024)
            .initial_stream_window_size(16 * 1024 * 1024)
            .connect()
            .await
            .expect("the server listens");
        Self { channel, authority, clock }
    }

    /// Calls `method`, such as `hivesync.v1.UserService/GetMe`, with whatever message.
    ///
    /// # Errors
    /// The server's status.
    pub async fn call<M, R>(
        &self,
        method: &str,
        message: M,
        with: Credentials<'_>,
    ) -> Result<Response<R>, Status>
    where
        M: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        let request = self.request(method, message, with);
        self.send(method, request).await
    }

    /// As [`Wire::call`], with a request that the test has prepared.
    ///
    /// # Errors
    /// The server's status.
    pub async fn send<M, R>(&self, method: &str, request: Request<M>) -> Result<Response<R>, Status>
    where
        M: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = Grpc::new(self.channel.clone()).max_encoding_message_size(64 * 1024 * 1024);
        grpc.ready().await.expect("the connection stands");
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a method");
        grpc.unary(request, path, tonic_prost::ProstCodec::default()).await
    }

    /// Calls `method` with any bytes in place of a message.
    ///
    /// # Errors
    /// The server's status.
    pub async fn call_bytes(
        &self,
        method: &str,
        bytes: Bytes,
        with: Credentials<'_>,
    ) -> Result<Bytes, Status> {
        let request = self.request(method, bytes, with);
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the connection stands");
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a method");
        grpc.unary(request, path, AsIs).await.map(Response::into_inner)
    }

    /// Calls `method`, whose answer may be one message or a stream of them, with any bytes in place of a message;
    /// the first message of the answer, if it has one.
    ///
    /// # Errors
    /// The server's status, if that comes first.
    pub async fn first(&self, method: &str, request: Request<Bytes>) -> Result<Option<Bytes>, Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the connection stands");
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a method");
        grpc.streaming(request.map(tokio_stream::once), path, AsIs).await?.into_inner().message().await
    }

    /// Calls `method`, and keeps the message back; ends when the server loses patience.
    ///
    /// # Errors
    /// The server's status.
    pub async fn silent(&self, method: &str, request: Request<()>) -> Result<(), Status> {
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready().await.expect("the connection stands");
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a method");
        let request = request.map(|()| tokio_stream::pending::<Bytes>());
        grpc.client_streaming::<_, _, Bytes, _>(request, path, AsIs).await.map(drop)
    }

    /// What an honest device claims in a call of `method`.
    #[must_use]
    pub fn claims(&self, method: &str, access_token: Option<&str>) -> Claims {
        Claims {
            jti: Uuid::new_v4().to_string(),
            htm: device_proof::METHOD.to_owned(),
            htu: device_proof::htu(&self.authority, &format!("/{method}")),
            iat: u64::try_from(self.clock.now().as_secs()).expect("after the epoch"),
            ath: access_token.map(device_proof::access_token_hash),
            nonce: None,
        }
    }

    /// The request of an honest client.
    pub fn request<M>(&self, method: &str, message: M, with: Credentials<'_>) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(Duration::from_secs(30));
        if let Some(token) = with.access_token {
            set(&mut request, "authorization", &format!("Bearer {token}"));
        }
        if let Some(device) = with.device {
            let claims = self.claims(method, with.access_token);
            set(&mut request, device_proof::METADATA_KEY, &device.sign(&claims));
        }
        request
    }
}

/// Sets an entry of the request's metadata.
pub fn set<M>(request: &mut Request<M>, name: &'static str, value: &str) {
    request.metadata_mut().insert(name, AsciiMetadataValue::try_from(value).expect("ASCII"));
}

/// A refusal, with all that a client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// The machine-readable reason.
    pub reason: ErrorReason,
    /// The public text.
    pub text: String,
    /// The fields that were named.
    pub fields: Vec<String>,
    /// How long to wait, if that was said.
    pub retry_after: Option<Duration>,
    /// What the operator finds the call by.
    pub correlation_id: String,
}

impl Refusal {
    /// Reads a status, which must be a complete one of this server.
    #[must_use]
    #[track_caller]
    pub fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info() else { panic!("not a status of this server: {status:?}") };
        assert_eq!(info.domain, "hivesync.dev");
        let reason = ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason));
        let correlation_id = status.metadata().get(CORRELATION_ID).and_then(|id| id.to_str().ok());
        let correlation_id = correlation_id.expect("every refusal has a correlation ID").to_owned();
        let request_info = details.request_info().map(|info| info.request_id.as_str());
        assert_eq!(request_info, Some(correlation_id.as_str()), "both places carry the same ID");
        Self {
            code: status.code(),
            reason: reason.unwrap_or_else(|| panic!("an unknown reason: {}", info.reason)),
            text: status.message().to_owned(),
            fields: details
                .bad_request()
                .map(|request| request.field_violations.iter().map(|field| field.field.clone()).collect())
                .unwrap_or_default(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
            correlation_id,
        }
    }
}

impl Refusal {
    /// The same without what tells one call from another: two refusals that a caller cannot tell apart are equal.
    #[must_use]
    pub fn anonymised(self) -> Self {
        Self { correlation_id: String::new(), ..self }
    }
}

/// The refusal that an outcome must be.
#[track_caller]
pub fn refused<T: std::fmt::Debug>(outcome: Result<T, Status>) -> Refusal {
    Refusal::of(&outcome.expect_err("the call must be refused"))
}

/// Messages as the bytes that they are.
struct AsIs;

impl Codec for AsIs {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, bytes: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(bytes);
        Ok(())
    }
}

impl Decoder for AsIs {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
