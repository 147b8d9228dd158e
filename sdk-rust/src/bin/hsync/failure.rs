//! Why a command failed, and the exit status for it.

use std::{io, process::ExitCode};

use hivesync::{Error, ErrorKind};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the client says.
    #[error("{0}")]
    Client(#[from] Error),
    /// The command line asks for what cannot be.
    #[error("{0}")]
    Usage(String),
    /// Somebody pressed Ctrl-C.
    #[error("Interrupted.")]
    Interrupted,
    /// The terminal, or what stands in its place.
    #[error("Input or output failed: {0}.")]
    Io(#[from] io::Error),
}

impl Failure {
    /// What scripts go by; documented in `--help`.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Client(error) => match error.kind() {
                ErrorKind::SignedOut { .. } => 3,
                ErrorKind::Forbidden => 4,
                ErrorKind::InvalidRequest { .. } => 5,
                ErrorKind::Conflict => 6,
                ErrorKind::LimitReached { .. } | ErrorKind::RateLimited { .. } => 7,
                ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Unavailable => 8,
                _ => 1,
            },
            Self::Usage(_) => 2,
            Self::Interrupted => 130,
            Self::Io(_) => 1,
        })
    }

    /// A stable name for `--json`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Client(error) => error.code(),
            Self::Usage(_) => "usage",
            Self::Interrupted => "interrupted",
            Self::Io(_) => "io",
        }
    }

    /// What the client knows beside the kind.
    pub(crate) fn client_error(&self) -> Option<&Error> {
        match self {
            Self::Client(error) => Some(error),
            _ => None,
        }
    }
}
