//! Objects in an S3-compatible bucket.

use std::{sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use object_store::{ClientOptions, ObjectStore, RetryConfig, aws::AmazonS3Builder};
use rusty_s3::{
    Credentials, S3Action, UrlStyle,
    actions::{GetObject, PutObject},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::Url;

use super::{Error, ObjectKey, Presigned, Result};
use crate::base::{clock::Timestamp, config, secret::SecretText};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const RETRIES_MAX: usize = 2;

/// A bucket and the right to sign requests to it.
pub(super) struct Bucket {
    bucket: rusty_s3::Bucket,
    credentials: Credentials,
}

/// Opens `s3://bucket?endpoint=…&region=…`. Without an endpoint it is Amazon's; another endpoint is
/// addressed by path (`https://endpoint/bucket/key`), which every compatible server understands.
pub(super) fn open(url: &Url, config: &config::ObjectStore) -> Result<(Arc<dyn ObjectStore>, Bucket)> {
    let name = url.host_str().ok_or(Error::Configuration("the bucket has no name"))?;
    let parameter =
        |name| url.query_pairs().find_map(|(key, value)| (key == name).then(|| value.into_owned()));
    let region = parameter("region").unwrap_or_else(|| "us-east-1".to_owned());
    let endpoint = parameter("endpoint");
    let (Some(access_key), Some(secret_key)) = (&config.access_key_id, &config.secret_access_key) else {
        return Err(Error::Configuration("the bucket's access key is missing"));
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(name)
        .with_region(&region)
        .with_access_key_id(access_key)
        .with_secret_access_key(secret_key.expose())
        .with_client_options(
            ClientOptions::new().with_connect_timeout(CONNECT_TIMEOUT).with_timeout(REQUEST_TIMEOUT),
        )
        .with_retry(RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: REQUEST_TIMEOUT,
            ..RetryConfig::default()
        });
    let (base, style) = match &endpoint {
        Some(endpoint) => (endpoint.clone(), UrlStyle::Path),
        None => (format!("https://s3.{region}.amazonaws.com"), UrlStyle::VirtualHost),
    };
    let base = Url::parse(&base).map_err(|_| Error::Configuration("the endpoint is not a URL"))?;
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint).with_allow_http(base.scheme() == "http");
    }
    let bucket = rusty_s3::Bucket::new(base, style, name.to_owned(), region)
        .map_err(|_| Error::Configuration("the endpoint or the bucket's name is not valid"))?;
    let credentials = Credentials::new(access_key.clone(), secret_key.expose());
    Ok((Arc::new(builder.build()?), Bucket { bucket, credentials }))
}

impl Bucket {
    /// Binds the digest, the size and "only if absent" as signed headers, so that the bucket refuses other
    /// bytes and a second use.
    pub(super) fn put(
        &self,
        key: &ObjectKey,
        sha256: &[u8; 32],
        size: u64,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Presigned> {
        let object = key.location();
        let headers = vec![
            ("content-length", size.to_string()),
            ("if-none-match", "*".to_owned()),
            ("x-amz-checksum-sha256", STANDARD.encode(sha256)),
        ];
        let mut action = PutObject::new(&self.bucket, Some(&self.credentials), object.as_ref());
        for (name, value) in &headers {
            action.headers_mut().insert(*name, value.as_str());
        }
        let url = sign(&action, now, ttl)?;
        Ok(Presigned { method: "PUT", url, headers, expires_at: now + ttl })
    }

    pub(super) fn get(&self, key: &ObjectKey, now: Timestamp, ttl: Duration) -> Result<Presigned> {
        let object = key.location();
        let mut action = GetObject::new(&self.bucket, Some(&self.credentials), object.as_ref());
        action.query_mut().insert("response-cache-control", "no-store");
        let url = sign(&action, now, ttl)?;
        Ok(Presigned { method: "GET", url, headers: Vec::new(), expires_at: now + ttl })
    }
}

fn sign<'a>(action: &impl S3Action<'a>, now: Timestamp, ttl: Duration) -> Result<SecretText> {
    let unwritable = || Error::Failed("the time cannot be written down".to_owned());
    let time = OffsetDateTime::from_unix_timestamp(now.as_secs()).map_err(|_| unwritable())?;
    let time = time.format(&Rfc3339).map_err(|_| unwritable())?.parse().map_err(|_| unwritable())?;
    Ok(SecretText::new(action.sign_with_time(ttl, &time).into()))
}
