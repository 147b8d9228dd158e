//! Work that goes on beside its caller, who can watch it, stop it, and have its outcome.

use std::future::Future;

use futures::{
    FutureExt as _,
    future::{BoxFuture, Shared},
};
use tokio::{
    sync::{Mutex, watch},
    task::{AbortHandle, JoinError},
};

use crate::{
    error::{Error, Result},
    task,
};

/// Work in progress. Dropping it stops the work.
pub struct Operation<P, T> {
    progress: Mutex<watch::Receiver<Option<P>>>,
    outcome: Shared<BoxFuture<'static, Result<T>>>,
    work: AbortHandle,
}

/// Where work says how far it is. Only the newest word waits for the one who watches.
pub(crate) struct Reporter<P>(watch::Sender<Option<P>>);

impl<P> Reporter<P> {
    pub(crate) fn report(&self, progress: P) {
        self.0.send_replace(Some(progress));
    }
}

impl<P, T> Operation<P, T>
where
    P: Clone + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Starts `work`, which drops its reporter when it ends.
    pub(crate) fn start<W>(work: impl FnOnce(Reporter<P>) -> W) -> Self
    where
        W: Future<Output = Result<T>> + Send + 'static,
    {
        let (reports, progress) = watch::channel(None);
        let task = task::spawn(work(Reporter(reports)));
        let work = task.abort_handle();
        let outcome = task.map(|joined| joined.unwrap_or_else(|error| Err(unfinished(&error))));
        Self { progress: Mutex::new(progress), outcome: outcome.boxed().shared(), work }
    }

    /// Waits until the work is further than it was said to be before, and says how far. What came between
    /// is left out. `None` when the work has ended.
    pub async fn progress(&self) -> Option<P> {
        let mut progress = self.progress.lock().await;
        progress.changed().await.ok()?;
        progress.borrow_and_update().clone()
    }

    /// Waits for the end of the work; the same to everyone who asks.
    ///
    /// # Errors
    ///
    /// What the work fails with; `Cancelled` if it was stopped.
    pub async fn outcome(&self) -> Result<T> {
        self.outcome.clone().await
    }
}

impl<P, T> Operation<P, T> {
    /// Stops the work. What the server does for it already, it may finish.
    pub fn cancel(&self) {
        self.work.abort();
    }
}

impl<P, T> Drop for Operation<P, T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

fn unfinished(error: &JoinError) -> Error {
    if error.is_cancelled() { Error::cancelled() } else { Error::internal() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn tells_the_newest_progress_and_then_the_outcome() {
        let operation = Operation::start(|reporter| async move {
            (1..=1_000).for_each(|step| reporter.report(step));
            Ok("done")
        });
        assert_eq!(operation.outcome().await.unwrap(), "done");
        assert_eq!(operation.progress().await, Some(1_000));
        assert_eq!(operation.progress().await, None);
        assert_eq!(operation.outcome().await.unwrap(), "done");
    }

    #[tokio::test]
    async fn stops_the_work_when_asked_or_dropped() {
        let endless = || {
            let (dropped, was_dropped) = oneshot::channel::<()>();
            let operation = Operation::<u32, ()>::start(|reporter| async move {
                let _held = (reporter, dropped);
                pending().await
            });
            (operation, was_dropped)
        };
        let (operation, was_dropped) = endless();
        operation.cancel();
        assert_eq!(operation.outcome().await.unwrap_err().kind(), &ErrorKind::Cancelled);
        assert_eq!(operation.progress().await, None);
        assert!(was_dropped.await.is_err());

        let (operation, was_dropped) = endless();
        drop(operation);
        assert!(was_dropped.await.is_err());
    }

    #[tokio::test]
    async fn makes_an_internal_error_of_a_panic() {
        let operation = Operation::<u32, ()>::start(|_| async { panic!("canary") });
        let error = operation.outcome().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Internal { .. }) && !error.to_string().contains("canary"));
    }
}
