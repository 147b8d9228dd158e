//! Projects: a Git repository that a team linked, and the mirror that HiveSync keeps of it.
//!
//! A project belongs to one team for ever. Its mirror is written by workers alone and read here, and only
//! what was synced from the repository that is linked now. A name, an address or a path of a stranger
//! never becomes a path of this machine.

mod cleanup_job;
mod mirror;
mod model;
mod ops;
mod repo_sync_job;
mod rpc;
mod store;
#[cfg(test)]
mod tests;

pub use cleanup_job::CleanupJob;
pub use mirror::Mirrors;
pub use model::{Project, ProjectDeleted, RepositorySyncFailed, RepositorySynced};
pub use ops::{require, sweep};
pub use repo_sync_job::RepoSyncJob;
pub use rpc::Rpc;
