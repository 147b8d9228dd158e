//! One connection to one server: deadlines, retries, credentials on the wire.

pub(crate) mod answers;
pub(crate) mod connect;
mod local;
pub(crate) mod payload;
pub(crate) mod retry;
#[cfg(feature = "tls")]
mod trust;

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hivesync_proto::device_proof;
use http::uri::PathAndQuery;
use tokio::time::{Instant, sleep, timeout};
use tonic::{
    Code, Request, Response, Status,
    client::Grpc,
    metadata::{AsciiMetadataValue, MetadataMap},
    transport::Channel,
};
use tonic_prost::ProstCodec;
use url::Url;

use self::{answers::Answers, payload::PayloadCodec};
use crate::{
    api::rpc::Rpc,
    device_key::DeviceKey,
    error::{Error, ErrorReason, Result},
};

/// How long one call may take, retries included.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(30);
/// How long one try may take.
const TRY_DEADLINE: Duration = Duration::from_secs(15);
/// How long a stream may take to begin.
const STREAM_START_DEADLINE: Duration = Duration::from_secs(15);
/// A connection that let so many deadlines pass in a row is taken for dead and replaced.
const EXPIRIES_MAX: u32 = 2;
/// The largest answer. A manifest of 5,000 files is the largest message of the contract.
const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What a call carries.
#[derive(Clone, Copy, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) access_token: Option<&'a str>,
    pub(crate) device_key: Option<&'a DeviceKey>,
}

pub(crate) struct Transport {
    connect: Box<dyn Fn() -> Channel + Send + Sync>,
    channel: Mutex<Channel>,
    authority: String,
    expiries: AtomicU32,
    throttle: retry::Throttle,
    /// The nonce that the server wants in the next proof.
    nonce: Mutex<Option<String>>,
}

impl Transport {
    /// `connect` makes a lazy channel to `authority` (host and port).
    pub(crate) fn new(authority: String, connect: impl Fn() -> Channel + Send + Sync + 'static) -> Self {
        Self {
            channel: Mutex::new(connect()),
            connect: Box::new(connect),
            authority,
            expiries: AtomicU32::new(0),
            throttle: retry::Throttle::new(),
            nonce: Mutex::new(None),
        }
    }

    /// The host and port that proofs are made for.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        Url::parse(&format!("http://{}", self.authority)).is_ok_and(|url| connect::is_loopback(&url))
    }

    /// Replaces the connection, for instance after the network changed.
    pub(crate) fn reconnect(&self) {
        *self.channel.lock().unwrap_or_else(PoisonError::into_inner) = (self.connect)();
        self.expiries.store(0, Ordering::Relaxed);
    }

    /// Makes one call, and repeats it as far as its contract allows.
    pub(crate) async fn unary<R: Rpc>(
        &self,
        request: R::Request,
        credentials: Credentials<'_>,
    ) -> Result<R::Response> {
        let answer = self.call(R::PATH, payload::encode::<R>(&request), credentials).await?;
        payload::decode::<R>(answer)
    }

    /// Makes one call once, within `budget`.
    pub(crate) async fn once<R: Rpc>(
        &self,
        request: R::Request,
        credentials: Credentials<'_>,
        budget: Duration,
    ) -> Result<R::Response> {
        let answer = self.attempt(R::PATH, payload::encode::<R>(&request), credentials, budget).await;
        payload::decode::<R>(answer.map_err(|status| Error::from_status(&status))?)
    }

    /// As [`unary`](Self::unary), of a message that is encoded already.
    pub(crate) async fn call(
        &self,
        path: &'static str,
        message: Bytes,
        credentials: Credentials<'_>,
    ) -> Result<Response<Bytes>> {
        let deadline = Instant::now() + CALL_DEADLINE;
        let mut tries = 1;
        loop {
            let budget = TRY_DEADLINE.min(deadline.saturating_duration_since(Instant::now()));
            let status = match self.attempt(path, message.clone(), credentials, budget).await {
                Ok(answer) => {
                    self.throttle.succeeded();
                    tracing::debug!(rpc = path, tries, "call answered");
                    return Ok(answer);
                }
                Err(status) => status,
            };
            let error = Error::from_status(&status);
            tracing::debug!(
                rpc = path,
                tries,
                code = error.code(),
                correlation_id = error.correlation_id(),
                "call failed"
            );
            let pause = retry::pause_before_retry(&status, tries).filter(|_| retry::is_idempotent(path));
            let Some(pause) = pause else { return Err(error) };
            // A server that cannot be reached has no load to be spared.
            let allowed = retry::is_offline(&status) || self.throttle.failed();
            if !allowed || Instant::now() + pause >= deadline {
                return Err(error);
            }
            sleep(pause).await;
            tries += 1;
        }
    }

    /// One try; a second one if the server only wants another nonce in the proof, which it says before
    /// it does anything.
    async fn attempt(
        &self,
        path: &'static str,
        message: Bytes,
        credentials: Credentials<'_>,
        budget: Duration,
    ) -> Result<Response<Bytes>, Status> {
        match self.send(path, message.clone(), credentials, budget).await {
            Err(status) if self.takes_nonce(&status) => self.send(path, message, credentials, budget).await,
            outcome => outcome,
        }
    }

    async fn send(
        &self,
        path: &'static str,
        message: Bytes,
        credentials: Credentials<'_>,
        budget: Duration,
    ) -> Result<Response<Bytes>, Status> {
        let request = self.request(path, message, credentials, budget)?;
        let mut grpc = self.grpc();
        let call = async {
            ready(&mut grpc).await?;
            grpc.unary(request, PathAndQuery::from_static(path), PayloadCodec).await
        };
        // The server keeps to `grpc-timeout`; this side must not depend on that.
        let outcome = timeout(budget, call).await.unwrap_or_else(|_| Err(local::expired()));
        self.supervise(outcome.as_ref().err());
        outcome
    }

    /// Opens a stream that may stay open for `life`, whatever the other side does. Streams are resumed by their reader, not here.
    pub(crate) async fn server_streaming<R: Rpc>(
        &self,
        message: R::Request,
        credentials: Credentials<'_>,
        life: Duration,
    ) -> Result<Answers<R::Response>> {
        let request = self
            .request(R::PATH, message, credentials, life)
            .map_err(|status| Error::from_status(&status))?;
        let mut grpc = self.grpc();
        let open = async {
            ready(&mut grpc).await?;
            let codec = ProstCodec::<R::Request, R::Response>::default();
            grpc.server_streaming(request, PathAndQuery::from_static(R::PATH), codec).await
        };
        let outcome = timeout(STREAM_START_DEADLINE, open).await.unwrap_or_else(|_| Err(local::expired()));
        self.supervise(outcome.as_ref().err());
        let stream = outcome.map_err(|status| Error::from_status(&status))?.into_inner();
        Ok(Answers::new(stream, life))
    }

    fn grpc(&self) -> Grpc<Channel> {
        let channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Grpc::new(channel).max_decoding_message_size(RESPONSE_BYTES_MAX)
    }

    fn request<M>(
        &self,
        path: &str,
        message: M,
        credentials: Credentials<'_>,
        budget: Duration,
    ) -> Result<Request<M>, Status> {
        let mut request = Request::new(message);
        request.set_timeout(budget);
        let metadata = request.metadata_mut();
        if let Some(token) = credentials.access_token {
            insert_secret(metadata, "authorization", &format!("Bearer {token}"))?;
        }
        if let Some(key) = credentials.device_key {
            let nonce = self.nonce.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let htu = device_proof::htu(&self.authority, path);
            let proof = key.prove(htu, credentials.access_token, nonce);
            insert_secret(metadata, device_proof::METADATA_KEY, &proof)?;
        }
        Ok(request)
    }

    /// Keeps the nonce of a refused proof; says whether there was one.
    fn takes_nonce(&self, status: &Status) -> bool {
        let refused = Error::from_status(status).reason() == Some(ErrorReason::InvalidDeviceProof);
        let nonce =
            status.metadata().get(device_proof::NONCE_METADATA_KEY).and_then(|nonce| nonce.to_str().ok());
        match nonce.filter(|nonce| refused && nonce.len() <= 256) {
            Some(fresh) => {
                *self.nonce.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh.to_owned());
                true
            }
            None => false,
        }
    }

    fn supervise(&self, failure: Option<&Status>) {
        match failure.map(Status::code) {
            Some(Code::DeadlineExceeded) => {
                if self.expiries.fetch_add(1, Ordering::Relaxed) + 1 >= EXPIRIES_MAX {
                    self.reconnect();
                }
            }
            _ => self.expiries.store(0, Ordering::Relaxed),
        }
    }
}

async fn ready(grpc: &mut Grpc<Channel>) -> Result<(), Status> {
    grpc.ready().await.map_err(local::unconnected)
}

/// Metadata that is marked as not to be logged or compressed into a shared table.
fn insert_secret(metadata: &mut MetadataMap, key: &'static str, value: &str) -> Result<(), Status> {
    let mut value = AsciiMetadataValue::try_from(value).map_err(|_| local::unsendable())?;
    value.set_sensitive(true);
    metadata.insert(key, value);
    Ok(())
}
