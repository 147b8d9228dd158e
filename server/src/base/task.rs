//! Background tasks: named, supervised, and ended with the server. The only place that spawns.
#![allow(clippy::disallowed_methods, reason = "this is the place that spawns")]

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{clock, error::Result, status};

/// The pause before a failed task is started again: doubled at each failure, from this on.
const RESTART_PAUSE: Duration = Duration::from_millis(200);
/// The longest such pause.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The tasks of one server. They end in two steps: first the connections are drained, while everything in
/// the background goes on; then the rest is stopped.
#[derive(Clone, Default)]
pub struct Tasks {
    connections: TaskTracker,
    draining: CancellationToken,
    background: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Is cancelled when the server begins to stop: listeners close, streams end, new work is refused.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Runs a listener or a connection, which ends by itself once [`Tasks::stopping`] is cancelled.
    pub fn connection(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        self.connections.spawn(async move {
            if AssertUnwindSafe(work).catch_unwind().await.is_err() {
                tracing::error!(event = "task.panicked", task = name);
            }
        });
    }

    /// Runs `work` until it ends or the server stops. A panic ends the task alone.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.background.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                outcome = AssertUnwindSafe(work).catch_unwind() => if outcome.is_err() {
                    tracing::error!(event = "task.panicked", task = name);
                },
            }
        });
    }

    /// Runs `work`, and starts it again whenever it fails or panics, until the server stops.
    pub fn supervise<F, Fut>(&self, name: &'static str, work: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let restarts = async move {
            let mut pause = RESTART_PAUSE;
            loop {
                match AssertUnwindSafe(work()).catch_unwind().await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => {
                        tracing::warn!(event = "task.failed", task = name);
                        status::log(&error);
                    }
                    Err(_) => tracing::error!(event = "task.panicked", task = name),
                }
                clock::sleep(pause).await;
                pause = (pause * 2).min(RESTART_PAUSE_MAX);
            }
        };
        self.spawn(name, restarts);
    }

    /// Runs `work` every `period` until the server stops.
    pub fn every<F, Fut>(&self, name: &'static str, period: Duration, work: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<()>> + Send + 'static,
    {
        let rounds = async move {
            loop {
                match AssertUnwindSafe(work()).catch_unwind().await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => status::log(&error),
                    Err(_) => tracing::error!(event = "task.panicked", task = name),
                }
                clock::sleep(period).await;
            }
        };
        self.spawn(name, rounds);
    }

    /// Runs `work`, which blocks or computes for long, on a thread of its own kind.
    ///
    /// # Errors
    /// `INTERNAL` if it panics.
    pub async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        tokio::task::spawn_blocking(work).await.map_err(super::error::Error::internal)
    }

    /// Lets every connection end what it is at, at most for `longest`; whether all have ended.
    pub async fn drain(&self, longest: Duration) -> bool {
        self.draining.cancel();
        self.connections.close();
        tokio::time::timeout(longest, self.connections.wait()).await.is_ok()
    }

    /// Stops everything in the background and waits for it, at most `longest`; whether all has ended.
    pub async fn stop(&self, longest: Duration) -> bool {
        self.draining.cancel();
        self.stop.cancel();
        self.background.close();
        tokio::time::timeout(longest, self.background.wait()).await.is_ok()
    }
}
