//! Why a worker cannot run.

use std::io;

use thiserror::Error;

use crate::git::version::GitError;

/// Why a worker cannot run.
#[derive(Debug, Error)]
pub enum WorkerError {
    /// The server's address is none.
    #[error("the server's address must be like http://host:port or https://host:port")]
    ServerUrl,
    /// The certificate cannot be used.
    #[error("the certificate to trust is not a usable PEM certificate")]
    TlsRoot,
    /// The secret is too short.
    #[error("the shared secret must have at least 32 bytes")]
    SharedSecret,
    /// The name cannot be used.
    #[error("the worker's name must be 1 to 64 of a-z 0-9 . _ - and begin with a letter or digit")]
    WorkerId,
    /// The number of slots cannot be used.
    #[error("there must be 1 to 256 slots and at least one kind of job")]
    Slots,
    /// Downloads cannot be made.
    #[error("the HTTP client cannot be made")]
    Http(#[source] reqwest::Error),
    /// Mirrors cannot be made.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The data directory cannot be used.
    #[error("the data directory cannot be used: {0}")]
    DataDir(#[from] io::Error),
}
