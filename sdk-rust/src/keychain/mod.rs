//! Where secrets are kept between runs: the operating system's key store, or nowhere, or a sealed file if its
//! user wants one.

pub mod conformance;
mod memory;
#[cfg(all(feature = "keychain", target_os = "linux"))]
mod os;
#[cfg(all(feature = "sealed-file", unix))]
mod sealed_file;

use std::{future::Future, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::time::timeout;

pub use self::memory::MemoryStore;
#[cfg(all(feature = "sealed-file", unix))]
pub use self::sealed_file::SealedFile;
pub use crate::error::StorageErrorKind;
use crate::{
    error::{Error, Result},
    secret::Secret,
};

/// The longest that a store may take for anything.
const STORE_DEADLINE: Duration = Duration::from_secs(5);

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreCapabilities {
    /// What is saved outlives the process.
    pub persistent: bool,
    /// Other processes of the same user see what is saved; then a lock between processes is needed.
    pub shared: bool,
}

/// Keeps a few small secrets (each under 2,560 bytes), by slot.
///
/// A slot is a short ASCII name. A store never writes a secret anywhere in clear. Every call is given
/// five seconds; a store that takes longer counts as failed.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// What this store can do.
    fn capabilities(&self) -> StoreCapabilities;
    /// What is in a slot; `None` if it is empty.
    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind>;
    /// Fills a slot, in place of what was there. When it returns, a crash no longer loses it.
    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind>;
    /// Empties a slot; also good if it is empty.
    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind>;
}

/// The best store of this machine: the operating system's if it proves to work, else memory.
pub async fn default_store() -> Arc<dyn SecretStore> {
    #[cfg(all(feature = "keychain", target_os = "linux"))]
    if let Some(store) = os::OsStore::open().await {
        return Arc::new(store);
    }
    Arc::new(MemoryStore::new())
}

/// A store with the deadline that a store may not be trusted to keep.
#[derive(Clone)]
pub(crate) struct BoundedStore(Arc<dyn SecretStore>);

impl BoundedStore {
    pub(crate) fn new(store: Arc<dyn SecretStore>) -> Self {
        Self(store)
    }

    pub(crate) fn capabilities(&self) -> StoreCapabilities {
        self.0.capabilities()
    }

    pub(crate) async fn load(&self, slot: &str) -> Result<Option<Secret>> {
        bounded(self.0.load(slot)).await
    }

    pub(crate) async fn save(&self, slot: &str, secret: &Secret) -> Result<()> {
        bounded(self.0.save(slot, secret)).await
    }

    pub(crate) async fn delete(&self, slot: &str) -> Result<()> {
        bounded(self.0.delete(slot)).await
    }
}

async fn bounded<T>(operation: impl Future<Output = Result<T, StorageErrorKind>>) -> Result<T> {
    in_time(operation).await.map_err(Error::storage)
}

/// What a store answers, unless it takes too long.
async fn in_time<T>(
    operation: impl Future<Output = Result<T, StorageErrorKind>>,
) -> Result<T, StorageErrorKind> {
    timeout(STORE_DEADLINE, operation).await.unwrap_or(Err(StorageErrorKind::Unavailable))
}
