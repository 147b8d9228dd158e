//! What every secret store must do, checked against a live one.

use std::future::Future;

use super::{SecretStore, StorageErrorKind, in_time};
use crate::{entropy, secret::Secret};

/// The largest secret that every store must take, in bytes: what Windows allows.
const SECRET_BYTES_MAX: usize = 2_560;

/// Runs a store through all it must do, in slots of its own, which it leaves empty.
///
/// # Errors
///
/// What the store did wrong, in words for its author.
pub async fn check(store: &dyn SecretStore) -> Result<(), String> {
    let first = format!("conformance/{}", entropy::id());
    let second = format!("conformance/{}", entropy::id());
    let outcome = exercise(store, &first, &second).await;
    let emptied = [
        answered("deleting an empty slot", store.delete(&first)).await,
        answered("deleting an empty slot", store.delete(&second)).await,
    ];
    outcome?;
    emptied.into_iter().collect()
}

async fn exercise(store: &dyn SecretStore, first: &str, second: &str) -> Result<(), String> {
    expect(store, first, None, "a slot that was never filled").await?;

    let text = Secret::new("a secret with ümlauts, \"quotes\" and\na line break");
    answered("saving", store.save(first, &text)).await?;
    expect(store, first, Some(&text), "what was saved").await?;
    expect(store, second, None, "another slot").await?;

    let longest = Secret::new("x".repeat(SECRET_BYTES_MAX));
    answered("saving the longest secret", store.save(first, &longest)).await?;
    answered("saving a second slot", store.save(second, &text)).await?;
    expect(store, first, Some(&longest), "what replaced it").await?;
    expect(store, second, Some(&text), "the second slot").await?;

    let both = async { tokio::try_join!(store.save(first, &text), store.save(second, &longest)) };
    answered("saving two slots at once", both).await?;
    expect(store, first, Some(&text), "the one of two slots that were saved at once").await?;
    expect(store, second, Some(&longest), "the other of two slots that were saved at once").await?;

    answered("deleting", store.delete(first)).await?;
    expect(store, first, None, "a slot that was deleted").await?;
    expect(store, second, Some(&longest), "the slot that was not deleted").await
}

async fn expect(
    store: &dyn SecretStore,
    slot: &str,
    wanted: Option<&Secret>,
    what: &str,
) -> Result<(), String> {
    let found = answered("loading", store.load(slot)).await?;
    if found.as_ref() == wanted { Ok(()) } else { Err(format!("{what} does not read as it must")) }
}

async fn answered<T>(
    what: &str,
    operation: impl Future<Output = Result<T, StorageErrorKind>>,
) -> Result<T, String> {
    in_time(operation).await.map_err(|kind| format!("{what} failed: {kind:?}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use async_trait::async_trait;

    use super::{super::*, check};

    #[tokio::test]
    async fn memory_conforms() {
        check(&MemoryStore::new()).await.unwrap();
    }

    #[tokio::test]
    async fn the_default_store_conforms() {
        check(default_store().await.as_ref()).await.unwrap();
    }

    #[cfg(all(feature = "sealed-file", unix))]
    #[tokio::test]
    async fn a_sealed_file_conforms() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("made/when/needed/sealed");
        check(&SealedFile::new(path, "correct horse".into()).unwrap()).await.unwrap();
    }

    struct Forgetful;

    #[async_trait]
    impl SecretStore for Forgetful {
        fn capabilities(&self) -> StoreCapabilities {
            StoreCapabilities { persistent: true, shared: true }
        }
        async fn load(&self, _: &str) -> Result<Option<Secret>, StorageErrorKind> {
            Ok(None)
        }
        async fn save(&self, _: &str, _: &Secret) -> Result<(), StorageErrorKind> {
            Ok(())
        }
        async fn delete(&self, _: &str) -> Result<(), StorageErrorKind> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_store_that_keeps_nothing_is_found_out() {
        assert!(check(&Forgetful).await.is_err());
    }

    struct Stuck;

    #[async_trait]
    impl SecretStore for Stuck {
        fn capabilities(&self) -> StoreCapabilities {
            StoreCapabilities { persistent: true, shared: true }
        }
        async fn load(&self, _: &str) -> Result<Option<Secret>, StorageErrorKind> {
            std::future::pending().await
        }
        async fn save(&self, _: &str, _: &Secret) -> Result<(), StorageErrorKind> {
            std::future::pending().await
        }
        async fn delete(&self, _: &str) -> Result<(), StorageErrorKind> {
            std::future::pending().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_never_answers_is_found_out() {
        let complaint = check(&Stuck).await.unwrap_err();
        assert!(complaint.contains("Unavailable"), "{complaint}");
        let bounded = BoundedStore::new(Arc::new(Stuck));
        assert!(bounded.load("slot").await.is_err());
        assert!(bounded.save("slot", &Secret::new("x")).await.is_err());
        assert!(bounded.delete("slot").await.is_err());
    }
}
