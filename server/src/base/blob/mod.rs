//! Bytes under random names: in a local directory, or in an S3-compatible bucket.
//!
//! Names say nothing about what they hold. Clients move bytes themselves, through addresses that are
//! signed for one object, one method and a short time; an address to write to is bound to the digest and
//! the size of the bytes and never replaces an object. Without S3 the server serves such addresses itself
//! ([`Blobs::routes`]).

mod disk;
mod key;
mod s3;
mod signed;

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::{ObjectStore, ObjectStoreExt as _};
use url::Url;

use super::{
    clock::{Clock, Timestamp},
    config, error,
    secret::{Secret, SecretText},
};
use disk::Disk;
pub use key::ObjectKey;
use s3::Bucket;
use signed::UrlSigner;

/// How long a transfer may take besides the time for its bytes.
const TRANSFER_GRACE: Duration = Duration::from_secs(30);
/// The slowest that a client may take or send the bytes of a transfer: an eighth of half a megabit a second, since eight
/// run at a time.
const BYTES_PER_SEC_MIN: u64 = 8 * 1024;

/// How long a transfer of `size` bytes may take: a client that is slower keeps a file open for nothing.
#[must_use]
pub fn transfer_max(size: u64) -> Duration {
    TRANSFER_GRACE + Duration::from_secs(size / BYTES_PER_SEC_MIN)
}

/// Why an object could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such object.
    #[error("there is no such object")]
    NotFound,
    /// The store failed; the cause names objects, which say nothing, and never a credential.
    #[error("the object store failed: {0}")]
    Failed(String),
    /// `OBJECT_STORE_URL` or what belongs to it cannot be used.
    #[error("the object store is not configured well: {0}")]
    Configuration(&'static str),
}

/// The outcome of an operation on objects.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<object_store::Error> for Error {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::NotFound,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<Error> for error::Error {
    fn from(error: Error) -> Self {
        let reason = match error {
            Error::Failed(_) => error::Reason::Unavailable,
            Error::NotFound | Error::Configuration(_) => error::Reason::Internal,
        };
        Self::new(reason).because(error)
    }
}

/// An object that is being read.
pub struct Object {
    /// Its bytes.
    pub size: u64,
    /// Its content, in order.
    pub content: BoxStream<'static, Result<Bytes>>,
}

/// An HTTP request that may be made without further credentials. The address is a secret.
#[derive(Clone, Debug)]
pub struct Presigned {
    /// `PUT` or `GET`.
    pub method: &'static str,
    /// Where to send it.
    pub url: SecretText,
    /// Headers that must be sent exactly so; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// When it stops being accepted.
    pub expires_at: Timestamp,
}

/// A handle on the objects; clones share it.
#[derive(Clone)]
pub struct Blobs(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    signer: Signer,
    clock: Clock,
}

enum Signer {
    Local { disk: Disk, urls: Box<UrlSigner> },
    Bucket(Bucket),
}

impl Blobs {
    /// Opens the store that `config` names: nothing or `file:///directory` for a local directory (by
    /// default `blobs` in `data_dir`), `s3://bucket?endpoint=…&region=…` for a bucket. Local objects are
    /// served under `public_url`, with addresses signed by `key`.
    ///
    /// # Errors
    /// [`Error::Configuration`], or [`Error::Failed`] if the directory cannot be made.
    pub fn open(
        config: &config::ObjectStore,
        data_dir: &Path,
        public_url: &Url,
        key: &Secret,
        clock: Clock,
    ) -> Result<Self> {
        let default_dir = data_dir.join("blobs");
        if config.url.is_empty() {
            return Self::open_directory(&default_dir, public_url, key, clock);
        }
        let url = Url::parse(&config.url).map_err(|_| Error::Configuration("the address is not a URL"))?;
        match url.scheme() {
            "file" => {
                let dir =
                    url.to_file_path().map_err(|()| Error::Configuration("the directory is not absolute"))?;
                Self::open_directory(&dir, public_url, key, clock)
            }
            "s3" => {
                let (store, bucket) = s3::open(&url, config)?;
                Ok(Self(Arc::new(Inner { store, signer: Signer::Bucket(bucket), clock })))
            }
            _ => Err(Error::Configuration("the address is neither file:// nor s3://")),
        }
    }

    fn open_directory(dir: &Path, public_url: &Url, key: &Secret, clock: Clock) -> Result<Self> {
        let disk = Disk::open(dir)?;
        let store = disk.store()?;
        let urls = Box::new(UrlSigner::new(public_url, key));
        Ok(Self(Arc::new(Inner { store, signer: Signer::Local { disk, urls }, clock })))
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`Error::NotFound`] or [`Error::Failed`].
    pub async fn get(&self, key: &ObjectKey) -> Result<Object> {
        let object = self.0.store.get(&key.location()).await?;
        Ok(Object { size: object.meta.size, content: object.into_stream().map_err(Error::from).boxed() })
    }

    /// The size of an object in bytes; `None` if there is none.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn head(&self, key: &ObjectKey) -> Result<Option<u64>> {
        match self.0.store.head(&key.location()).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Deletes an object; it may be gone already.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn delete(&self, key: &ObjectKey) -> Result<()> {
        match self.0.store.delete(&key.location()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub async fn ping(&self) -> Result<()> {
        let some = object_store::path::Path::from("00");
        self.0.store.list(Some(&some)).next().await.transpose()?;
        Ok(())
    }

    /// Signs a request that writes `size` bytes with the digest `sha256` to `key`, once, for `ttl`.
    ///
    /// # Errors
    /// [`Error::Failed`] if the time cannot be written down.
    pub fn sign_put(
        &self,
        key: &ObjectKey,
        sha256: &[u8; 32],
        size: u64,
        ttl: Duration,
    ) -> Result<Presigned> {
        let now = self.0.clock.now();
        match &self.0.signer {
            Signer::Local { urls, .. } => Ok(urls.put(key, sha256, size, now + ttl)),
            Signer::Bucket(bucket) => bucket.put(key, sha256, size, now, ttl),
        }
    }

    /// Signs a request that reads `key` for `ttl`.
    ///
    /// # Errors
    /// [`Error::Failed`] if the time cannot be written down.
    pub fn sign_get(&self, key: &ObjectKey, ttl: Duration) -> Result<Presigned> {
        let now = self.0.clock.now();
        match &self.0.signer {
            Signer::Local { urls, .. } => Ok(urls.get(key, now + ttl)),
            Signer::Bucket(bucket) => bucket.get(key, now, ttl),
        }
    }

    /// The routes of the signed addresses, `/blobs/…`, for the public listener; none with a bucket.
    pub fn routes(&self) -> axum::Router {
        match &self.0.signer {
            Signer::Local { .. } => signed::routes(self.clone()),
            Signer::Bucket(_) => axum::Router::new(),
        }
    }
}

#[cfg(test)]
mod tests;
