//! A secret store that the application brings, such as the Keychain or the Android key store.

use std::sync::Arc;

use async_trait::async_trait;
use hivesync::{
    Secret, StorageErrorKind,
    keychain::{SecretStore as ClientStore, StoreCapabilities as ClientCapabilities, conformance},
};

use crate::{error::HiveSyncError, runtime::run};

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct StoreCapabilities {
    /// What is saved outlives the process.
    pub persistent: bool,
    /// Other processes of the same user see what is saved.
    pub shared: bool,
}

/// Keeps a few small secrets (each under 2,560 bytes of UTF-8), by slot.
///
/// A slot is a short ASCII name. A store never writes a secret anywhere in clear, nor to a log. Every call
/// is given five seconds; a store that takes longer counts as failed.
#[uniffi::export(rust, foreign)]
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// What is in a slot; nothing if it is empty.
    async fn load(&self, slot: String) -> Result<Option<String>, StoreError>;
    /// Fills a slot, in place of what was there. When it returns, a crash no longer loses it.
    async fn save(&self, slot: String, secret: String) -> Result<(), StoreError>;
    /// Empties a slot; also good if it is empty.
    async fn delete(&self, slot: String) -> Result<(), StoreError>;
}

/// Tries out all that a store must do, for its author's tests. Gives what it did wrong, if anything.
#[uniffi::export]
pub async fn check_secret_store(store: Arc<dyn SecretStore>) -> Result<Option<String>, HiveSyncError> {
    let store = ForeignStore { store, capabilities: StoreCapabilities { persistent: false, shared: false } };
    run(None, async move { Ok(conformance::check(&store).await.err()) }).await
}

/// Why a store failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum StoreError {
    /// The store is locked; its user can unlock it.
    #[error("the store is locked")]
    Locked,
    /// There is no such store, or it does not work.
    #[error("the store cannot be used")]
    Unavailable,
    /// What it holds cannot be read.
    #[error("what the store holds cannot be read")]
    Corrupt,
}

/// Anything else that a foreign store throws. Its text is dropped: it may hold what was to be saved.
impl From<uniffi::UnexpectedUniFFICallbackError> for StoreError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Unavailable
    }
}

impl From<StoreError> for StorageErrorKind {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Locked => Self::Locked,
            StoreError::Unavailable => Self::Unavailable,
            StoreError::Corrupt => Self::Corrupt,
        }
    }
}

/// A foreign store, as the client sees it.
pub(crate) struct ForeignStore {
    pub(crate) store: Arc<dyn SecretStore>,
    pub(crate) capabilities: StoreCapabilities,
}

#[async_trait]
impl ClientStore for ForeignStore {
    fn capabilities(&self) -> ClientCapabilities {
        ClientCapabilities { persistent: self.capabilities.persistent, shared: self.capabilities.shared }
    }

    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        let loaded = self.store.load(slot.to_owned()).await?;
        Ok(loaded.map(Secret::from))
    }

    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind> {
        Ok(self.store.save(slot.to_owned(), secret.expose().to_owned()).await?)
    }

    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind> {
        Ok(self.store.delete(slot.to_owned()).await?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{collections::HashMap, sync::Mutex};

    use super::*;

    /// A store that keeps everything, or else nothing.
    struct Slots {
        kept: Mutex<HashMap<String, String>>,
        forgetful: bool,
    }

    #[async_trait]
    impl SecretStore for Slots {
        async fn load(&self, slot: String) -> Result<Option<String>, StoreError> {
            Ok(self.kept.lock().unwrap().get(&slot).cloned())
        }

        async fn save(&self, slot: String, secret: String) -> Result<(), StoreError> {
            if !self.forgetful {
                self.kept.lock().unwrap().insert(slot, secret);
            }
            Ok(())
        }

        async fn delete(&self, slot: String) -> Result<(), StoreError> {
            self.kept.lock().unwrap().remove(&slot);
            Ok(())
        }
    }

    #[tokio::test]
    async fn tells_a_good_store_from_a_bad_one() {
        let store = |forgetful| Arc::new(Slots { kept: Mutex::default(), forgetful });
        assert_eq!(check_secret_store(store(false)).await.unwrap(), None);
        assert!(check_secret_store(store(true)).await.unwrap().is_some());
    }

    #[test]
    fn drops_the_words_of_a_store_that_throws() {
        let thrown = uniffi::UnexpectedUniFFICallbackError::new("the secret");
        assert_eq!(StoreError::from(thrown), StoreError::Unavailable);
    }
}
