//! The library can be shut down, at any time and again. By itself in its process, whose calls it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use hivesync_ffi::{ClientOptions, HiveSync, HiveSyncError, Platform, shut_down};

/// What a call fails with, if it was made at all.
fn failure() -> HiveSyncError {
    let options = ClientOptions {
        server_url: "http://127.0.0.1:1".to_owned(),
        device_name: "test".to_owned(),
        platform: Platform::Desktop,
        account: "default".to_owned(),
        root_certificates: None,
    };
    let caller = tokio::runtime::Builder::new_current_thread().build().unwrap();
    caller.block_on(async { HiveSync::in_memory(options).await.unwrap().account().await.unwrap_err() })
}

#[test]
fn starts_again_after_it_was_shut_down() {
    shut_down();
    assert!(matches!(failure(), HiveSyncError::SignedOut { .. }));
    shut_down();
    shut_down();
    assert!(matches!(failure(), HiveSyncError::SignedOut { .. }));
}
