//! Streams whose reader asks for each item, so that nothing piles up on the way.

use std::{future::Future, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream::BoxStream, stream::Fuse};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{error::HiveSyncError, runtime::run};

/// A stream that ends with its first error, or when it is stopped.
pub(crate) struct Pull<T> {
    stream: Arc<Mutex<Fuse<BoxStream<'static, hivesync::Result<T>>>>>,
    stopped: CancellationToken,
}

impl<T: Send + 'static> Pull<T> {
    pub(crate) fn new(stream: impl futures::Stream<Item = hivesync::Result<T>> + Send + 'static) -> Self {
        Self { stream: Arc::new(Mutex::new(stream.boxed().fuse())), stopped: CancellationToken::new() }
    }

    /// Waits for the next item; `None` at the end.
    pub(crate) async fn next(&self) -> Result<Option<T>, HiveSyncError> {
        let stream = self.stream.clone();
        let next = run(None, async move { stream.lock().await.try_next().await });
        until(&self.stopped, next).await.unwrap_or(Ok(None))
    }

    /// Ends the stream, also for a reader that waits.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
    }
}

/// What `wait` gives, unless `stopped` comes first.
async fn until<T>(stopped: &CancellationToken, wait: impl Future<Output = T>) -> Option<T> {
    stopped.run_until_cancelled(wait).await
}
