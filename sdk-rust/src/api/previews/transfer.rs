//! Files over HTTP, by addresses that are good once and for a short time.

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use hivesync_proto::v1 as pb;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use reqwest::{Body, Client, Method, Response};
use url::Url;

use super::source::ByteStream;
use crate::{
    error::{Error, ErrorKind, Result},
    transport::connect::is_loopback,
    wire,
};

/// A request that anybody who knows it can make: never shown.
pub(super) struct Presigned {
    pub(super) sha256: [u8; 32],
    method: Method,
    url: Url,
    headers: HeaderMap,
}

impl Presigned {
    /// Takes a request from the server, but only one that goes where secrets may go.
    pub(super) fn from_wire(request: pb::PresignedRequest) -> Result<Self> {
        let url = Url::parse(&request.url).map_err(|_| wire::broken())?;
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err(wire::broken());
        }
        let method = match request.method.as_str() {
            "PUT" => Method::PUT,
            "GET" => Method::GET,
            _ => return Err(wire::broken()),
        };
        let mut headers = HeaderMap::new();
        for header in request.headers {
            let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| wire::broken())?;
            let value = HeaderValue::from_str(&header.value).map_err(|_| wire::broken())?;
            // Made from the address and the body anyway.
            if name != header::HOST && name != header::CONTENT_LENGTH {
                headers.insert(name, value);
            }
        }
        Ok(Self { sha256: wire::digest(&request.sha256)?, method, url, headers })
    }

    /// Sends a file of `size` bytes.
    pub(super) async fn put(self, client: &Client, size: u64, bytes: ByteStream) -> Result<()> {
        if self.method != Method::PUT {
            return Err(wire::broken());
        }
        let request = client
            .put(self.url)
            .headers(self.headers)
            .header(header::CONTENT_LENGTH, size)
            .body(Body::wrap_stream(bytes));
        let response = request.send().await.map_err(|error| failed(&error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            // The object is there already: an earlier request arrived, and its answer did not.
            StatusCode::PRECONDITION_FAILED => Ok(()),
            status => Err(refused(status)),
        }
    }

    /// Asks for a file.
    pub(super) async fn get(
        self,
        client: &Client,
    ) -> Result<impl Stream<Item = Result<Bytes>> + Send + Unpin + use<>> {
        if self.method != Method::GET {
            return Err(wire::broken());
        }
        let response: Response =
            client.get(self.url).headers(self.headers).send().await.map_err(|error| failed(&error))?;
        if response.status() != StatusCode::OK {
            return Err(refused(response.status()));
        }
        Ok(response.bytes_stream().map(|chunk| chunk.map_err(|error| failed(&error))).boxed())
    }
}

/// What became of a transfer, without the address, which an HTTP library likes to name.
fn failed(error: &reqwest::Error) -> Error {
    if error.is_timeout() { Error::new(ErrorKind::Timeout) } else { Error::new(ErrorKind::Offline) }
}

fn refused(status: StatusCode) -> Error {
    tracing::debug!(status = status.as_u16(), "transfer refused");
    Error::new(ErrorKind::Unavailable)
}
