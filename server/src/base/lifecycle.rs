//! The end of a process: a signal, then a drain with a deadline.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::error::{Error, Result};

/// How long background tasks may take to end once the connections are drained.
pub const BACKGROUND_STOP: Duration = Duration::from_secs(5);

/// From this call on, SIGTERM and Ctrl-C no longer end the process; what is returned ends with the first of them.
///
/// # Errors
/// `INTERNAL` if the system does not let this process listen for signals.
pub fn told_to_stop() -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::internal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::internal)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
