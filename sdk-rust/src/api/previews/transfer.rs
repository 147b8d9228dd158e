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
    /// Takes a request from the server, but only one that goes where secrets may go: to this machine without TLS only
    /// if the server is there too (`from_this_machine`), since any other has no business with what listens here.
    pub(super) fn from_wire(request: pb::PresignedRequest, from_this_machine: bool) -> Result<Self> {
        let url = Url::parse(&request.url).map_err(|_| wire::broken())?;
        let is_local = from_this_machine && url.scheme() == "http" && is_loopback(&url);
        if url.scheme() != "https" && !is_local {
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
            // Made from the body anyway.
            if name == header::CONTENT_LENGTH {
                continue;
            }
            if !is_of_a_store(&name) {
                return Err(wire::broken());
            }
            headers.insert(name, value);
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

/// Whether a header says something to an object store, and nothing to anybody else.
fn is_of_a_store(name: &HeaderName) -> bool {
    [header::IF_NONE_MATCH, header::CONTENT_TYPE].contains(name) || name.as_str().starts_with("x-amz-")
}

/// What became of a transfer, without the address, which an HTTP library likes to name.
fn failed(error: &reqwest::Error) -> Error {
    if error.is_timeout() { Error::new(ErrorKind::Timeout) } else { Error::new(ErrorKind::Offline) }
}

fn refused(status: StatusCode) -> Error {
    tracing::debug!(status = status.as_u16(), "transfer refused");
    Error::new(ErrorKind::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(url: &str, header: &str, from_this_machine: bool) -> bool {
        let headers = vec![pb::PresignedHeader { name: header.to_owned(), value: "*".to_owned() }];
        let request = pb::PresignedRequest {
            url: url.to_owned(),
            method: "PUT".to_owned(),
            headers,
            sha256: vec![0; 32],
            ..Default::default()
        };
        Presigned::from_wire(request, from_this_machine).is_ok()
    }

    #[test]
    fn a_server_elsewhere_sends_nobody_to_what_listens_here() {
        assert!(judge("https://objects.example/a", "if-none-match", false));
        assert!(judge("http://127.0.0.1:7440/a", "x-amz-checksum-sha256", true));
        assert!(!judge("http://127.0.0.1:7440/a", "if-none-match", false));
        assert!(!judge("http://objects.example/a", "if-none-match", true));
    }

    #[test]
    fn a_server_chooses_no_headers_but_those_of_stores() {
        for header in ["host", "authorization", "cookie", "x-forwarded-for"] {
            assert!(!judge("https://objects.example/a", header, false), "{header}");
        }
    }
}
