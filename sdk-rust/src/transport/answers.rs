//! The answers of a server-streaming call, which end in time.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, TryStreamExt as _};
use tokio::time::{Sleep, sleep};
use tonic::{Status, Streaming};

use super::local;

/// What the server has beyond the life of a stream, to end it by itself.
const GRACE: Duration = Duration::from_secs(10);

/// A stream of answers. The server was told how long it may live, but a server that is stuck, or a proxy before it,
/// would keep it open for ever.
pub(crate) struct Answers<T> {
    stream: Streaming<T>,
    end: Pin<Box<Sleep>>,
}

impl<T> Answers<T> {
    pub(super) fn new(stream: Streaming<T>, life: Duration) -> Self {
        Self { stream, end: Box::pin(sleep(life + GRACE)) }
    }

    /// The next answer; `None` at the end.
    pub(crate) async fn message(&mut self) -> Result<Option<T>, Status> {
        self.try_next().await
    }
}

impl<T> Stream for Answers<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = Pin::new(&mut self.stream).poll_next(context) {
            return Poll::Ready(next);
        }
        self.end.as_mut().poll(context).map(|()| Some(Err(local::expired())))
    }
}
