//! Work that goes on beside its caller.

#![allow(clippy::disallowed_methods, reason = "this is the one place that spawns")]

use std::future::Future;

use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Starts work that goes on even if nobody waits for it.
pub(crate) fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work)
}

/// Runs work that blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::internal())
}

/// Drops a value whose destructor blocks, on a thread of its own.
#[cfg(all(feature = "keychain", target_os = "linux"))]
pub(crate) fn dispose<T: Send + 'static>(value: T) {
    // Without a thread the value is dropped here: nothing better is left to do.
    drop(std::thread::Builder::new().name("hivesync-dispose".to_owned()).spawn(move || drop(value)));
}
