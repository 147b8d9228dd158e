//! Asking a running job to stop.

use std::time::Duration;

use tokio::sync::watch;

/// Asks a job to stop.
#[derive(Debug)]
pub struct StopSender(watch::Sender<Option<Duration>>);

/// Tells a job that it is asked to stop.
#[derive(Clone, Debug)]
pub struct StopSignal(watch::Receiver<Option<Duration>>);

/// A sender and its signal.
#[must_use]
pub fn channel() -> (StopSender, StopSignal) {
    let (sender, receiver) = watch::channel(None);
    (StopSender(sender), StopSignal(receiver))
}

impl StopSender {
    /// Asks for a stop within `grace`; of several askings the shortest grace counts.
    pub fn ask(&self, grace: Duration) {
        self.0.send_modify(|asked| *asked = Some(asked.map_or(grace, |earlier| earlier.min(grace))));
    }
}

impl StopSignal {
    /// Whether a stop was asked for.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        self.0.borrow().is_some()
    }

    /// Waits until a stop is asked for, with a grace of `at_most` or less, and returns the grace. Never
    /// ends if the sender is gone: nobody is left to ask.
    pub async fn asked_within(&mut self, at_most: Duration) -> Duration {
        let asked = self.0.wait_for(|asked| asked.is_some_and(|grace| grace <= at_most)).await;
        let Some(grace) = asked.ok().and_then(|grace| *grace) else { return std::future::pending().await };
        grace
    }

    /// Waits until a stop is asked for, and returns the grace.
    pub async fn asked(&mut self) -> Duration {
        self.asked_within(Duration::MAX).await
    }
}
