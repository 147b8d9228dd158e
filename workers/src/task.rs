//! The only place that starts tasks.

#![allow(clippy::disallowed_methods, reason = "this is the module for tasks")]

use std::{future::Future, io};

use tokio::task::{JoinHandle, spawn_blocking};
use tracing::{Instrument as _, Span};

/// Runs a future beside the present one, within its tracing span.
pub(crate) fn spawn<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(future.instrument(Span::current()))
}

/// Runs what blocks where it blocks nobody.
///
/// # Errors
/// If it panics.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let span = Span::current();
    spawn_blocking(move || span.in_scope(work)).await.map_err(|_| io::Error::other("a task panicked"))
}
