//! Secrets that are gone when the process ends.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use super::{SecretStore, StorageErrorKind, StoreCapabilities};
use crate::secret::Secret;

/// A store in memory.
#[derive(Default)]
pub struct MemoryStore(Mutex<HashMap<String, Secret>>);

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl SecretStore for MemoryStore {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities { persistent: false, shared: false }
    }

    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        Ok(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(slot).cloned())
    }

    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(slot.to_owned(), secret.clone());
        Ok(())
    }

    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(slot);
        Ok(())
    }
}
