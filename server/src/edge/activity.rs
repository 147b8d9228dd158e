//! What goes on on one connection, so that one on which nothing does can be closed.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::SetOnce;
use tonic::{Status, body::Body};

use crate::base::clock;

/// The calls of one connection; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Activity(Arc<Calls>);

#[derive(Debug, Default)]
struct Calls {
    first: SetOnce<()>,
    /// How many calls are under way, in the lower half, and in the upper how often that has changed: one number, since
    /// processors that count on the same line wait for each other.
    count: AtomicU64,
}

/// What a call adds when it begins, and when it ends.
const BEGUN: u64 = (1 << 32) + 1;
const ENDED: u64 = (1 << 32) - 1;

impl Activity {
    /// A call begins. It is under way as long as this value lives.
    pub(super) fn begin(&self) -> UnderWay {
        let _ = self.0.first.set(());
        self.0.count.fetch_add(BEGUN, Ordering::AcqRel);
        UnderWay(self.clone())
    }

    /// Waits for the first call.
    pub(super) async fn begun(&self) {
        self.0.first.wait().await;
    }

    /// Waits until the first call has not come for `first_call_max`, or none has been under way for
    /// `look_every`, and at most for twice as long.
    pub(super) async fn idle(&self, first_call_max: Duration, look_every: Duration) {
        if tokio::time::timeout(first_call_max, self.begun()).await.is_ok() {
            self.quiet(look_every).await;
        }
    }

    /// Waits until no call has been under way for `look_every`, and at most for twice as long.
    pub(super) async fn quiet(&self, look_every: Duration) {
        let mut seen = self.0.count.load(Ordering::Acquire);
        loop {
            clock::sleep(look_every).await;
            let count = self.0.count.load(Ordering::Acquire);
            if count == seen && count & u64::from(u32::MAX) == 0 {
                return;
            }
            seen = count;
        }
    }
}

/// A call that is under way.
#[derive(Debug)]
pub(super) struct UnderWay(Activity);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.0.count.fetch_add(ENDED, Ordering::AcqRel);
    }
}

/// The body of an answer, whose call is under way until it has been sent.
pub(super) struct Answering {
    body: Body,
    _call: UnderWay,
}

impl Answering {
    pub(super) fn new(body: Body, call: UnderWay) -> Self {
        Self { body, _call: call }
    }
}

impl http_body::Body for Answering {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
