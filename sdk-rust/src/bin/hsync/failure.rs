//! Why a command failed, what to do next, and the exit status for it.

use std::{io, process::ExitCode};

use hivesync::{Error, ErrorKind, ErrorReason, SignedOutReason};

use crate::{connection, interrupt::Signal};

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What the client says.
    #[error("{0}")]
    Client(#[from] Error),
    /// What the client says, in the words of the command that asked.
    #[error("{message}")]
    Told {
        /// What the client says.
        error: Error,
        /// What it means here.
        message: String,
        /// What to type next.
        next: String,
    },
    /// Nothing that the user may see has this name.
    #[error("There is no {noun} {name}.")]
    Missing {
        /// What was looked for.
        noun: &'static str,
        /// The name that it does not have.
        name: String,
        /// The command that lists what there is.
        list: &'static str,
    },
    /// The command line or the configuration asks for what cannot be. Says what to do instead.
    #[error("{0}")]
    Usage(String),
    /// Somebody pressed Ctrl-C, or the process was asked to end. With what became of the server's work.
    #[error("Interrupted.{}", .undone.as_deref().map(|undone| format!(" {undone}")).unwrap_or_default())]
    Interrupted {
        /// How it was told.
        signal: Signal,
        /// What became of the work that this run had started on the server.
        undone: Option<String>,
    },
    /// Whoever reads the output has had enough, which is no failure.
    #[error("The reader of the output is gone.")]
    ReaderGone,
    /// The terminal, or what stands in its place.
    #[error("Input or output failed: {0}.")]
    Io(#[from] io::Error),
}

impl Failure {
    /// What scripts go by; documented in `--help`.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Client(error) | Self::Told { error, .. } => match error.kind() {
                ErrorKind::SignedOut { .. } => 3,
                ErrorKind::Forbidden => 4,
                ErrorKind::InvalidRequest { .. } => 5,
                ErrorKind::Conflict => 6,
                ErrorKind::LimitReached { .. } | ErrorKind::RateLimited { .. } => 7,
                ErrorKind::Offline | ErrorKind::Timeout | ErrorKind::Unavailable => 8,
                ErrorKind::Cancelled => 9,
                ErrorKind::Storage { .. } => 10,
                ErrorKind::UpgradeRequired => 11,
                _ => 1,
            },
            Self::Missing { .. } => 4,
            Self::Usage(_) => 2,
            Self::Interrupted { signal, .. } => signal.exit_status(),
            Self::ReaderGone => 0,
            Self::Io(_) => 1,
        })
    }

    /// A stable name for `--json`.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Client(error) | Self::Told { error, .. } => error.code(),
            Self::Missing { .. } => "forbidden",
            Self::Usage(_) => "usage",
            Self::Interrupted { .. } => "interrupted",
            Self::ReaderGone => "reader_gone",
            Self::Io(_) => "io",
        }
    }

    /// The server's reason, by the name that the contract gives it.
    pub(crate) fn reason(&self) -> Option<&'static str> {
        let reason = match self {
            // By name or by id, it is not there for the same reason.
            Self::Missing { .. } => ErrorReason::NotFound,
            failure => failure.client_error()?.reason()?,
        };
        Some(reason.as_str_name().trim_start_matches("ERROR_REASON_"))
    }

    /// What to type next, where the failure itself does not say it.
    pub(crate) fn advice(&self) -> Option<String> {
        match self {
            Self::Told { next, .. } => Some(next.clone()),
            Self::Missing { list, .. } => Some(format!("Run `{list}` to see what there is.")),
            Self::Client(error) => match error.job_id() {
                Some(job) => Some(format!("Run `hsync job show {job}`.")),
                None => advice(error).map(str::to_owned),
            },
            _ => None,
        }
    }

    /// The failure in the words of the command, if it is for `reason`.
    pub(crate) fn told(
        self,
        reason: ErrorReason,
        message: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        match self {
            Self::Client(error) if error.reason() == Some(reason) => {
                Self::Told { error, message: message.into(), next: next.into() }
            }
            failure => failure,
        }
    }

    /// What the client knows beside the kind.
    pub(crate) fn client_error(&self) -> Option<&Error> {
        match self {
            Self::Client(error) | Self::Told { error, .. } => Some(error),
            _ => None,
        }
    }
}

fn advice(error: &Error) -> Option<&'static str> {
    Some(match (error.kind(), error.reason()) {
        (_, Some(ErrorReason::RepositoryNotReady)) => {
            "Run `hsync repo sync PROJECT`; without a repository, `hsync repo link PROJECT URL` first."
        }
        (_, Some(ErrorReason::InvalidPreviewToken)) => {
            "Run `hsync preview publish` again, or ask whoever did to."
        }
        (_, Some(ErrorReason::InvalidRepositoryUrl)) => {
            "Give an address like https://git.example/site.git; a local server takes file:///absolute/path, too."
        }
        (ErrorKind::SignedOut { reason: SignedOutReason::NotSignedIn }, _) => {
            "Run `hsync login`; where there is no key store, set HSYNC_SEALED_FILE first, or HSYNC_EMAIL and \
             HSYNC_PASSWORD instead."
        }
        (ErrorKind::SignedOut { .. }, _) => "Run `hsync login`.",
        (ErrorKind::RateLimited { .. }, _) if connection::signs_in_each_run() => {
            "Wait. A script that runs hsync often stays signed in by HSYNC_SEALED_FILE: with HSYNC_EMAIL, \
             each run is a sign-in."
        }
        (ErrorKind::Offline, _) => {
            "Run `hsync config list` to see which server is meant, and where that is set."
        }
        (ErrorKind::Internal { .. }, _) => {
            "Send the number to whoever runs the server: they find the call by it."
        }
        (ErrorKind::Unavailable | ErrorKind::Timeout, _) if error.correlation_id().is_some() => {
            "If it stays so, send the correlation ID to whoever runs the server."
        }
        _ => return None,
    })
}
