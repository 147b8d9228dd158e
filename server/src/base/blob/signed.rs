//! Signed addresses of local objects, and what answers them.
//!
//! `/blobs/<key>?expires=…&signature=…` for GET, with `size` and `sha256` as well for PUT. The signature is
//! HMAC-SHA-256 over the method and all of them. Every address that does not hold gets the same answer,
//! whether it is malformed, changed, expired or for another method.

use aws_lc_rs::hmac;
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    routing::any,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderValue, Method, StatusCode, header};
use url::Url;

use super::{Blobs, Error, ObjectKey, Presigned, Signer, disk::Rejection};
use crate::base::{
    clock::Timestamp,
    secret::{Secret, SecretText},
};

const PATH: &str = "/blobs/";

/// What a valid address permits.
#[derive(Debug, PartialEq, Eq)]
enum Permit {
    Get { key: ObjectKey },
    Put { key: ObjectKey, sha256: [u8; 32], size: u64 },
}

/// Signs and checks addresses under one base.
pub(super) struct UrlSigner {
    base: Url,
    key: hmac::Key,
}

impl UrlSigner {
    pub(super) fn new(public_url: &Url, key: &Secret) -> Self {
        Self { base: public_url.clone(), key: hmac::Key::new(hmac::HMAC_SHA256, key.expose()) }
    }

    pub(super) fn put(
        &self,
        key: &ObjectKey,
        sha256: &[u8; 32],
        size: u64,
        expires_at: Timestamp,
    ) -> Presigned {
        self.sign(&Permit::Put { key: *key, sha256: *sha256, size }, expires_at)
    }

    pub(super) fn get(&self, key: &ObjectKey, expires_at: Timestamp) -> Presigned {
        self.sign(&Permit::Get { key: *key }, expires_at)
    }

    fn sign(&self, permit: &Permit, expires_at: Timestamp) -> Presigned {
        let expires = expires_at.as_secs();
        let signature = hmac::sign(&self.key, message(permit, expires).as_bytes());
        let mut url = self.base.clone();
        url.set_query(None);
        let (method, key) = match permit {
            Permit::Get { key } => ("GET", key),
            Permit::Put { key, .. } => ("PUT", key),
        };
        url.set_path(&format!("{PATH}{key}"));
        let mut query = url.query_pairs_mut();
        query.append_pair("expires", &expires.to_string());
        if let Permit::Put { sha256, size, .. } = permit {
            query.append_pair("sha256", &URL_SAFE_NO_PAD.encode(sha256));
            query.append_pair("size", &size.to_string());
        }
        query.append_pair("signature", &URL_SAFE_NO_PAD.encode(signature));
        drop(query);
        Presigned {
            method,
            url: SecretText::new(url.into()),
            headers: Vec::new(),
            expires_at: Timestamp::from_secs(expires),
        }
    }

    /// What the address permits; `None` if it does not hold.
    fn verify(&self, method: &Method, path: &str, query: &str, now: Timestamp) -> Option<Permit> {
        let key = ObjectKey::parse(path.strip_prefix(PATH)?)?;
        let parameter = |name: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find_map(|(key, value)| (key == name).then_some(value))
        };
        let expires: i64 = parameter("expires")?.parse().ok()?;
        let permit = match *method {
            Method::GET => Permit::Get { key },
            Method::PUT => Permit::Put {
                key,
                sha256: URL_SAFE_NO_PAD.decode(parameter("sha256")?.as_bytes()).ok()?.try_into().ok()?,
                size: parameter("size")?.parse().ok()?,
            },
            _ => return None,
        };
        let signature = URL_SAFE_NO_PAD.decode(parameter("signature")?.as_bytes()).ok()?;
        hmac::verify(&self.key, message(&permit, expires).as_bytes(), &signature).ok()?;
        (now.as_secs() < expires).then_some(permit)
    }
}

/// What is signed. The parts have fixed forms without line breaks, so that no two permits share a message.
fn message(permit: &Permit, expires: i64) -> String {
    match permit {
        Permit::Get { key } => format!("GET\n{key}\n{expires}"),
        Permit::Put { key, sha256, size } => {
            format!("PUT\n{key}\n{expires}\n{size}\n{}", URL_SAFE_NO_PAD.encode(sha256))
        }
    }
}

pub(super) fn routes(blobs: Blobs) -> Router {
    Router::new().route("/blobs/{key}", any(serve)).with_state(blobs)
}

async fn serve(State(blobs): State<Blobs>, request: Request) -> Response {
    let mut response = match answer(&blobs, request).await {
        Ok(response) => response,
        Err(status) => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            response
        }
    };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn answer(blobs: &Blobs, request: Request) -> Result<Response, StatusCode> {
    let Signer::Local { disk, urls } = &blobs.0.signer else { return Err(StatusCode::NOT_FOUND) };
    let uri = request.uri();
    let permit =
        urls.verify(request.method(), uri.path(), uri.query().unwrap_or_default(), blobs.0.clock.now());
    match permit.ok_or(StatusCode::FORBIDDEN)? {
        Permit::Get { key } => send(blobs, &key).await,
        Permit::Put { key, sha256, size } => {
            disk.receive(&key, &sha256, size, request.into_body())
                .await
                .map_err(|rejection| status(&rejection))?;
            Ok(Response::new(Body::empty()))
        }
    }
}

async fn send(blobs: &Blobs, key: &ObjectKey) -> Result<Response, StatusCode> {
    let object = blobs.get(key).await.map_err(|error| match error {
        Error::NotFound => StatusCode::NOT_FOUND,
        other => failed(&other),
    })?;
    let mut response = Response::new(Body::from_stream(object.content));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(object.size));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    Ok(response)
}

fn status(rejection: &Rejection) -> StatusCode {
    match rejection {
        Rejection::OtherBytes => StatusCode::BAD_REQUEST,
        Rejection::Exists => StatusCode::PRECONDITION_FAILED,
        Rejection::Busy => StatusCode::SERVICE_UNAVAILABLE,
        Rejection::Interrupted => StatusCode::REQUEST_TIMEOUT,
        Rejection::Failed(error) => failed(error),
    }
}

fn failed(error: &dyn std::error::Error) -> StatusCode {
    tracing::error!(event = "blob.failed", error = %error);
    StatusCode::INTERNAL_SERVER_ERROR
}
