//! Secrets in one file, sealed under a passphrase: for machines without a key store, if their user chooses it.

mod disk;
mod envelope;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use zeroize::Zeroizing;

use self::{
    disk::Place,
    envelope::{Key, Recipe},
};
use super::{SecretStore, StorageErrorKind, StoreCapabilities};
use crate::{
    error::{Error, Result},
    secret::Secret,
    task,
};

/// A file that holds secrets under a passphrase, and never in clear.
///
/// The key is made by Argon2id (64 MiB, 3 passes) and seals all slots together with XChaCha20-Poly1305, so
/// that none can be changed, moved or left out unnoticed. The file and the lock beside it are this user's
/// alone; a link, or a file that others can read, is refused. It is replaced whole, by one process at a time.
/// What it cannot notice is that the whole file was put back to an earlier state.
///
/// Fails with `Locked` if the passphrase is another one, `Corrupt` if the file is damaged or asks for a weaker
/// key than was ever made, and `File` if it cannot be used safely.
pub struct SealedFile(Arc<Shared>);

struct Shared {
    place: Place,
    passphrase: Secret,
    /// The key that was made last. Held while the file is changed, so that changes happen in their order.
    key: Mutex<Option<Key>>,
}

type Slots = BTreeMap<String, Secret>;

impl SealedFile {
    /// The store in the file at `path`, which is made when something is saved; its directory too. Nothing is
    /// read or written yet.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` if the path names no file, or the passphrase is empty.
    pub fn new(path: impl AsRef<Path>, passphrase: Secret) -> Result<Self> {
        let place = Place::new(path.as_ref())
            .ok_or_else(|| Error::invalid("sealed_file", "The path of the sealed file must name a file."))?;
        if passphrase.expose().is_empty() {
            return Err(Error::invalid("passphrase", "The passphrase of the sealed file must not be empty."));
        }
        Ok(Self(Arc::new(Shared { place, passphrase, key: Mutex::default() })))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&Shared) -> Result<T, StorageErrorKind> + Send + 'static,
    ) -> Result<T, StorageErrorKind> {
        let shared = self.0.clone();
        task::blocking(move || operation(&shared)).await.unwrap_or(Err(StorageErrorKind::Unavailable))
    }
}

#[async_trait]
impl SecretStore for SealedFile {
    fn capabilities(&self) -> StoreCapabilities {
        StoreCapabilities { persistent: true, shared: true }
    }

    async fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        let slot = slot.to_owned();
        self.blocking(move |shared| shared.load(&slot)).await
    }

    async fn save(&self, slot: &str, secret: &Secret) -> Result<(), StorageErrorKind> {
        let (slot, secret) = (slot.to_owned(), secret.clone());
        self.blocking(move |shared| {
            shared.change(|slots| {
                slots.insert(slot, secret);
                true
            })
        })
        .await
    }

    async fn delete(&self, slot: &str) -> Result<(), StorageErrorKind> {
        let slot = slot.to_owned();
        self.blocking(move |shared| shared.change(|slots| slots.remove(&slot).is_some())).await
    }
}

impl Shared {
    fn load(&self, slot: &str) -> Result<Option<Secret>, StorageErrorKind> {
        Ok(self.read(&mut self.key())?.remove(slot))
    }

    /// Writes the slots again if `edit` says that it changed them.
    fn change(&self, edit: impl FnOnce(&mut Slots) -> bool) -> Result<(), StorageErrorKind> {
        let mut key = self.key();
        // Making the key takes longest: nobody waits for the lock meanwhile.
        self.read(&mut key)?;
        let lock = self.place.lock()?;
        let mut slots = self.read(&mut key)?;
        if !edit(&mut slots) {
            return Ok(());
        }
        let key = match &mut *key {
            Some(key) => key,
            none => none.insert(Key::derive(Recipe::new()?, &self.passphrase)?),
        };
        self.place.replace(&lock, &key.seal(&write(&slots)?)?)
    }

    /// All slots; none without a file. Makes the key of the file unless it is the one at hand.
    fn read(&self, key: &mut Option<Key>) -> Result<Slots, StorageErrorKind> {
        let Some(file) = self.place.read()? else { return Ok(Slots::new()) };
        let recipe = Recipe::of(&file)?;
        let key = match key {
            Some(key) if key.recipe() == recipe => key,
            other => other.insert(Key::derive(recipe, &self.passphrase)?),
        };
        let text = key.open(&file)?;
        let slots: BTreeMap<String, String> =
            serde_json::from_slice(&text).map_err(|_| StorageErrorKind::Corrupt)?;
        Ok(slots.into_iter().map(|(slot, secret)| (slot, Secret::new(secret))).collect())
    }

    fn key(&self) -> MutexGuard<'_, Option<Key>> {
        self.key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slots as one text, in memory that is wiped.
fn write(slots: &Slots) -> Result<Zeroizing<Vec<u8>>, StorageErrorKind> {
    let slots: BTreeMap<&str, &str> =
        slots.iter().map(|(slot, secret)| (slot.as_str(), secret.expose())).collect();
    serde_json::to_vec(&slots).map(Zeroizing::new).map_err(|_| StorageErrorKind::Unavailable)
}
