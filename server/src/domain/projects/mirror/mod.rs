//! Reads mirrors: what strangers committed, fetched by a worker.
//!
//! Only the object database of a mirror is opened. Its refs, configuration, hooks, replacements and
//! alternates are never looked at: which commit is read comes from the project's row. The path of a
//! mirror is made of the project's identifier alone, and a name inside a tree is compared with what was
//! asked for, never given to the file system.

mod directory;
mod file;
mod log;
mod memory;
mod objects;
mod standing;
#[cfg(test)]
mod tests;
mod tree;

use std::{path::PathBuf, sync::Arc};

pub use file::FileContent;
pub use log::{Commits, Passed};
use memory::Budget;
pub use memory::Memory;
use objects::{Effort, Objects};
pub use standing::standing;
pub use tree::{Cursor, Entries};

use super::model::CommitId;
use crate::base::{
    error::Result,
    ids::{ProjectId, UserId},
    task::Tasks,
};

/// The largest file that is shown.
pub const FILE_BYTES_MAX: u64 = 50 * 1024 * 1024;
/// Memory that files may take at a time, and those of one reader, in KiB. A file is held until its reader has it.
const FILES_KIB_MAX: u32 = 256 * 1024;
const OWN_FILES_KIB_MAX: u32 = 64 * 1024;
/// Memory that walks may take at a time, and those of one reader, in KiB.
const WALKS_KIB_MAX: u32 = 96 * 1024;
const OWN_WALKS_KIB_MAX: u32 = 48 * 1024;
/// Memory that is set aside for walking trees, in KiB.
const WALK_KIB: u32 = 12 * 1024;
/// Memory that is set aside for walking a history, in KiB.
const LOG_KIB: u32 = 24 * 1024;

/// The mirrors of this server.
#[derive(Clone)]
pub struct Mirrors {
    repos: PathBuf,
    tasks: Tasks,
    files: Arc<Budget>,
    walks: Arc<Budget>,
}

impl Mirrors {
    /// The mirrors below the directory `repos`.
    #[must_use]
    pub fn new(repos: PathBuf, tasks: Tasks) -> Self {
        let files = Arc::new(Budget::new(FILES_KIB_MAX, OWN_FILES_KIB_MAX));
        let walks = Arc::new(Budget::new(WALKS_KIB_MAX, OWN_WALKS_KIB_MAX));
        Self { repos, tasks, files, walks }
    }

    /// The entries of a directory of `commit`; at most `wanted`, after `cursor`.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such commit or directory, `REPOSITORY_REJECTED` if the objects are not
    /// sound, `OVERLOADED` if too much is being read, by `reader` or by all, `DEADLINE_EXCEEDED` if they take too long to read.
    pub async fn list(
        &self,
        reader: UserId,
        project: ProjectId,
        commit: CommitId,
        listing: Listing,
    ) -> Result<Entries> {
        let memory = self.walks.reserve(reader, WALK_KIB).await?;
        self.read(project, Effort::STRUCTURE, move |objects| {
            let entries = tree::list(objects, commit, &listing);
            drop(memory);
            entries
        })
        .await
    }

    /// At most `wanted` commits of the log of `start`, newest first, after those that were `passed`.
    ///
    /// # Errors
    /// As [`Mirrors::list`].
    pub async fn log(
        &self,
        reader: UserId,
        project: ProjectId,
        start: CommitId,
        wanted: usize,
        passed: Option<Passed>,
    ) -> Result<Commits> {
        let memory = self.walks.reserve(reader, LOG_KIB).await?;
        self.read(project, Effort::STRUCTURE, move |objects| {
            let commits = log::list(objects, start, wanted, passed, log::Bounds::STANDARD);
            drop(memory);
            commits
        })
        .await
    }

    /// The file `path` of `commit`.
    ///
    /// # Errors
    /// As [`Mirrors::list`]; `INVALID_PATH` if it is a directory, a submodule, or larger than
    /// [`FILE_BYTES_MAX`].
    pub async fn file(
        &self,
        reader: UserId,
        project: ProjectId,
        commit: CommitId,
        path: Vec<String>,
    ) -> Result<(FileContent, Memory)> {
        let walk = self.walks.reserve(reader, WALK_KIB).await?;
        let place = self
            .read(project, Effort::STRUCTURE, move |objects| {
                let place = file::find(objects, commit, &path);
                drop(walk);
                place
            })
            .await?;
        let kib = u32::try_from(place.size / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let memory = self.files.reserve(reader, kib).await?;
        // Held by the thread that loads it, which goes on when nobody waits for it any more.
        self.read(project, Effort::FILE, move |objects| Ok((file::load(objects, place)?, memory))).await
    }

    async fn read<T: Send + 'static>(
        &self,
        project: ProjectId,
        effort: Effort,
        read: impl FnOnce(&Objects) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let repos = self.repos.clone();
        self.tasks
            .blocking(move || read(&Objects::open(&directory::objects_of(&repos, project)?, effort)?))
            .await?
    }
}

/// Which entries are wanted.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The names along the path of the directory; none for the root.
    pub directory: Vec<String>,
    /// Whether to list everything below that is not a directory.
    pub recursive: bool,
    /// The most entries wanted.
    pub wanted: usize,
    /// Where the previous page ended.
    pub cursor: Option<Cursor>,
}
