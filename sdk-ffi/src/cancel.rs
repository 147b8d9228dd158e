//! How a call is stopped by a language that cannot drop it.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Stops the calls that it was given to: they fail with `Cancelled`. Calls that are given to a handle that
/// was used already do not begin.
#[derive(Default, uniffi::Object)]
pub struct CancelHandle(CancellationToken);

#[uniffi::export]
impl CancelHandle {
    /// A handle that has stopped nothing yet.
    #[uniffi::constructor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the calls, from any thread. Never waits.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether it was used.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// What stops a call: the handle that came with it, or nothing.
pub(crate) fn token(handle: Option<Arc<CancelHandle>>) -> CancellationToken {
    handle.map(|handle| handle.0.clone()).unwrap_or_default()
}
