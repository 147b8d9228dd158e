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

/// The tasks of one server.
#[derive(Clone, Default)]
pub struct Tasks {
    tracker: TaskTracker,
    stop: CancellationToken,
}

impl Tasks {
    /// Is cancelled when the server stops.
    #[must_use]
    pub fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs `work` until it ends or the server stops. A panic ends the task alone.
    pub fn spawn(&self, name: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tracker.spawn(async move {
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

    /// Tells every task to stop and waits for them, at most `longest`; whether all have ended.
    pub async fn stop(&self, longest: Duration) -> bool {
        self.stop.cancel();
        self.tracker.close();
        tokio::time::timeout(longest, self.tracker.wait()).await.is_ok()
    }
}
