//! The library can be shut down, at any time and again. By itself in its process, whose calls it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    future::{Future, pending},
    sync::{Arc, mpsc},
    thread,
};

use async_trait::async_trait;
use hivesync_ffi::{
    ClientOptions, HiveSync, HiveSyncError, Platform, SecretStore, StoreCapabilities, StoreError, shut_down,
};

fn options() -> ClientOptions {
    ClientOptions {
        server_url: "http://127.0.0.1:1".to_owned(),
        device_name: "test".to_owned(),
        platform: Platform::Desktop,
        account: "default".to_owned(),
        root_certificates: None,
    }
}

/// Waits for a call as another language does: on a thread that knows nothing of the library's runtime.
fn outcome<T>(call: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(call)
}

/// What a call fails with, if it was made at all.
fn failure() -> HiveSyncError {
    outcome(async { HiveSync::in_memory(options()).await.unwrap().account().await.unwrap_err() })
}

/// A store that does not answer, but says that it was asked.
struct Stuck(mpsc::Sender<()>);

#[async_trait]
impl SecretStore for Stuck {
    async fn load(&self, _: String) -> Result<Option<String>, StoreError> {
        self.0.send(()).unwrap();
        pending().await
    }
    async fn save(&self, _: String, _: String) -> Result<(), StoreError> {
        pending().await
    }
    async fn delete(&self, _: String) -> Result<(), StoreError> {
        pending().await
    }
}

#[test]
fn ends_the_calls_that_run_and_starts_again() {
    shut_down();
    assert!(matches!(failure(), HiveSyncError::SignedOut { .. }));

    let (asks, asked) = mpsc::channel();
    let capabilities = StoreCapabilities { persistent: false, shared: false };
    let client = HiveSync::with_store(options(), Arc::new(Stuck(asks)), capabilities);
    let client = outcome(client).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            asked.recv().unwrap();
            shut_down();
        });
        let call = outcome(client.account());
        assert!(matches!(call, Err(HiveSyncError::Cancelled { .. })), "{call:?}");
    });

    shut_down();
    assert!(matches!(failure(), HiveSyncError::SignedOut { .. }));
}
