//! HiveSync workers: one stream to the server, leases, jobs in sandboxed subprocesses.

pub mod git;
pub mod kinds;
pub mod lease;
pub mod sandbox;
mod task;
