//! Ctrl-C, and what else asks a process to end.

use std::io;

/// How the process was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// The system, or a supervisor.
    Terminate,
}

impl Signal {
    /// 128 and the signal's number, as shells have it.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }

    /// Waits for the next.
    ///
    /// # Errors
    ///
    /// If the system does not let it be waited for.
    #[cfg(unix)]
    pub(crate) async fn next() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted.map(|()| Self::Interrupt),
            _ = terminate.recv() => Ok(Self::Terminate),
        }
    }

    /// Waits for the next.
    ///
    /// # Errors
    ///
    /// If the system does not let it be waited for.
    #[cfg(not(unix))]
    pub(crate) async fn next() -> io::Result<Self> {
        tokio::signal::ctrl_c().await.map(|()| Self::Interrupt)
    }
}
