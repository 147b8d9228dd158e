//! Streams whose reader asks for each item, so that nothing piles up on the way.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream, Peekable},
};
use tokio_util::sync::CancellationToken;

use crate::{error::HiveSyncError, runtime::run};

type Items<T> = Peekable<BoxStream<'static, hivesync::Result<T>>>;

/// A stream that ends with its first error, or when it is stopped.
pub(crate) struct Pull<T> {
    /// Locked while it is polled or replaced, never while somebody waits: a stop need not wait for a reader.
    items: Arc<Mutex<Items<T>>>,
    /// Of the reader that is next: a stream wakes only one.
    turn: Arc<tokio::sync::Mutex<()>>,
    stopped: CancellationToken,
}

impl<T: Send + 'static> Pull<T> {
    pub(crate) fn new(stream: impl futures::Stream<Item = hivesync::Result<T>> + Send + 'static) -> Self {
        Self {
            items: Arc::new(Mutex::new(stream.boxed().peekable())),
            turn: Arc::default(),
            stopped: CancellationToken::new(),
        }
    }

    /// Waits for the next item; `None` at the end. An item whose reader is gone before it is there is the next
    /// reader's.
    pub(crate) async fn next(&self) -> Result<Option<T>, HiveSyncError> {
        let (items, turn) = (self.items.clone(), self.turn.clone());
        // What the task would take goes with it if nobody asks for its outcome any more.
        let arrival = run(None, async move {
            let turn = turn.lock_owned().await;
            poll_fn(|context| Pin::new(&mut *lock(&items)).poll_peek(context).map(drop)).await;
            Ok(turn)
        });
        let Some(turn) = until(&self.stopped, arrival).await.transpose()? else { return Ok(None) };
        let item = lock(&self.items).try_next().now_or_never();
        drop(turn);
        Ok(item.transpose()?.flatten())
    }

    /// Ends the stream, also for a reader that waits, and lets go of all it holds.
    pub(crate) fn stop(&self) {
        self.stopped.cancel();
        let _stream = mem::replace(&mut *lock(&self.items), stream::empty().boxed().peekable());
    }
}

fn lock<T>(items: &Mutex<Items<T>>) -> MutexGuard<'_, Items<T>> {
    items.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `wait` gives, unless `stopped` comes first.
async fn until<T>(stopped: &CancellationToken, wait: impl Future<Output = T>) -> Option<T> {
    stopped.run_until_cancelled(wait).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use std::{
        pin::pin,
        sync::{Weak, mpsc},
        task::{Context, Poll, Wake, Waker},
    };

    use futures::channel::mpsc::channel;

    use super::*;

    /// Says that a reader was woken.
    struct Bell(mpsc::Sender<()>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.0.send(()).ok();
        }
    }

    /// A stream that stays silent, with what tells that it was polled and whether it is there.
    fn silent() -> (Pull<()>, mpsc::Receiver<()>, Weak<()>) {
        let (polls, polled) = mpsc::channel();
        let held = Arc::new(());
        let alive = Arc::downgrade(&held);
        let stream = stream::poll_fn(move |_| {
            let _held = &held;
            polls.send(()).ok();
            Poll::Pending
        });
        (Pull::new(stream), polled, alive)
    }

    #[tokio::test]
    async fn keeps_an_item_whose_reader_is_gone() {
        let (mut items, stream) = channel(2);
        let pull = Pull::new(stream);
        let (rings, rung) = mpsc::channel();
        let mut reader = Box::pin(pull.next());
        let waker = Waker::from(Arc::new(Bell(rings)));
        assert!(reader.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        items.try_send(Ok(7)).unwrap();
        rung.recv().unwrap();
        drop((reader, items));

        assert_eq!(pull.next().await.unwrap(), Some(7));
        assert_eq!(pull.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn gives_each_of_two_readers_an_item() {
        let (mut items, stream) = channel(2);
        let pull = Pull::new(stream);
        let send = async {
            items.try_send(Ok(1)).unwrap();
            items.try_send(Ok(2)).unwrap();
        };
        let (one, other, ()) = tokio::join!(pull.next(), pull.next(), send);
        let mut read = [one.unwrap(), other.unwrap()];
        read.sort_unstable();
        assert_eq!(read, [Some(1), Some(2)]);
    }

    #[tokio::test]
    async fn gives_an_error_and_ends() {
        let pull = Pull::<()>::new(stream::iter([Err(hivesync::Error::cancelled())]));
        assert!(matches!(pull.next().await, Err(HiveSyncError::Cancelled { .. })));
        assert_eq!(pull.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn lets_go_of_a_stream_that_is_stopped() {
        let (pull, _polled, alive) = silent();
        assert!(alive.upgrade().is_some());
        pull.stop();
        assert!(alive.upgrade().is_none());
        assert_eq!(pull.next().await.unwrap(), None);
    }

    #[test]
    fn lets_go_of_a_stream_that_is_stopped_under_its_reader() {
        let (pull, polled, alive) = silent();
        let mut reader = pin!(pull.next());
        let mut context = Context::from_waker(Waker::noop());
        assert!(reader.as_mut().poll(&mut context).is_pending());
        polled.recv().unwrap();
        pull.stop();
        assert!(alive.upgrade().is_none());
        assert!(matches!(reader.poll(&mut context), Poll::Ready(Ok(None))));
    }
}
