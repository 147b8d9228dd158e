//! HiveSync workers: one stream to the server, leases, jobs in sandboxed subprocesses.
//!
//! [`Worker`] is the whole; the modules that are public beside it are its parts which stand by themselves.

mod backoff;
mod clock;
mod connection;
mod entropy;
mod error;
mod executor;
pub mod git;
mod identity;
pub mod kinds;
pub mod lease;
mod report;
pub mod sandbox;
mod session;
mod task;
mod worker;

pub use error::WorkerError;
pub use worker::{Worker, WorkerConfig};
