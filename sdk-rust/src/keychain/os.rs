//! The operating system's key store: on Linux, the Secret Service.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use keyring_core::{CredentialStore, Entry, Error as KeyringError};
use tokio::time::timeout;
use zbus_secret_service_keyring_store::Store;

use super::{STORE_DEADLINE, SecretStore, StorageErrorKind, StoreCapabilities};
use crate::{entropy, secret::Secret, task};

/// What entries are filed under in the key store.
const SERVICE: &str = "dev.hivesync";

/// The Secret Service.
pub(super) struct OsStore {
    /// Taken out only to be dropped.
    bus: Option<Arc<CredentialStore>>,
}

impl OsStore {
    /// Opens the key store if it works. Opening alone succeeds on machines where nothing else does, so a
    /// canary is written, read and deleted first.
    pub(super) async fn open() -> Option<Self> {
        let opened = task::blocking(|| Store::new_with_configuration(&HashMap::new()));
        let store = timeout(STORE_DEADLINE, opened).await.ok()?.ok()?.ok()?;
        let store = Self { bus: Some(store) };
        let alive = timeout(STORE_DEADLINE, store.keeps_a_canary()).await.unwrap_or(false);
        alive.then_some(store)
    }

    async fn keeps_a_canary(&self) -> bool {
        let slot = format!("canary/{}", entropy::id());
        let canary = Secret::new(entropy::id().to_string());
        let saved = self.save(&slot, &canary).await;
        let loaded = self.load(&slot).await;
        let deleted = self.delete(&slot).await;
        saved.is_ok() && deleted.is_ok() && loaded.is_ok_and(|found| found.as_ref() == Some(&canary))
    }

    /// Runs one operation on a thread that may block, as the bus does.
    async fn blocking<T: Send + 'static>(
        &self,
        slot: &str,
        operation: impl FnOnce(&Entry) -> Result<T, KeyringError> + Send + 'static,
    ) -> Result<T, StorageErrorKind> {
        let (bus, slot) = (self.bus.clone().ok_or(StorageErrorKind::Unavailable)?, slot.to_owned());
        task::blocking(move || {
            bus.build(SERVICE, &slot, None).and_then(|entry| operation(&entry)).map_err(kind_of)
        })
        .await
        .unwrap_or(Err(StorageErrorKind::Unavailable))
    }
}

#[async_trait]
impl SecretStore for OsStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities { persistent: true, shared: true }
    }

    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        self.blocking(slot, |entry| match entry.get_password() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(KeyringError::NoEntry) => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind> {
        let secret = secret.clone();
        self.blocking(slot, move |entry| entry.set_password(secret.expose())).await
    }

    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind> {
        self.blocking(slot, |entry| match entry.delete_credential() {
            Ok(()) | Err(KeyringError::NoEntry) => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }
}

impl Drop for OsStore {
    fn drop(&mut self) {
        // Taking leave of the bus blocks, which a thread of the runtime must not do.
        task::dispose(self.bus.take());
    }
}

fn kind_of(error: KeyringError) -> StorageErrorKind {
    match error {
        KeyringError::NoStorageAccess(_) => StorageErrorKind::Locked,
        KeyringError::BadEncoding(_) | KeyringError::BadDataFormat(..) | KeyringError::Ambiguous(_) => {
            StorageErrorKind::Corrupt
        }
        _ => StorageErrorKind::Unavailable,
    }
}
