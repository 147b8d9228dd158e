//! What a subprocess may put on the disk in all. The system limits each file only (`RLIMIT_FSIZE`), and a
//! subprocess can write any number of them.

use std::{
    collections::HashSet,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use crate::task;

/// How long nobody looks. What arrives in between comes on top of the limit.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// What everything below a directory may come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLimit {
    /// The directory.
    pub directory: PathBuf,
    /// Bytes of all files, of one with several names once.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}

impl DiskLimit {
    /// Waits until the limit is passed.
    ///
    /// # Errors
    /// If the disk fails.
    pub(super) async fn passed(&self) -> io::Result<()> {
        loop {
            let limit = self.clone();
            if task::blocking(move || limit.is_passed()).await?? {
                return Ok(());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Links are not followed, and no more is looked at than it takes to know.
    fn is_passed(&self) -> io::Result<bool> {
        let mut room = Room { bytes: self.bytes, entries: self.entries, seen: HashSet::new() };
        let mut directories = vec![self.directory.clone()];
        while let Some(directory) = directories.pop() {
            if !unless_gone(room.take(&directory, &mut directories))?.unwrap_or(true) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// What is left of a limit.
struct Room {
    bytes: u64,
    entries: u64,
    /// The files that were counted. One that is being renamed or linked can be met twice.
    seen: HashSet<u64>,
}

impl Room {
    /// Counts one directory, and remembers those in it; whether it fits.
    fn take(&mut self, directory: &Path, directories: &mut Vec<PathBuf>) -> io::Result<bool> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let Some(metadata) = unless_gone(entry.metadata())? else { continue };
            if metadata.is_dir() {
                directories.push(entry.path());
            }
            let is_counted = !metadata.is_dir() && self.seen.insert(metadata.ino());
            let bytes = if is_counted { metadata.len() } else { 0 };
            let left = self.bytes.checked_sub(bytes).zip(self.entries.checked_sub(1));
            let Some((bytes, entries)) = left else { return Ok(false) };
            self.bytes = bytes;
            self.entries = entries;
        }
        Ok(true)
    }
}

/// The subprocess renames and removes while it is watched, and puts a file where a directory was.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        other => other.map(Some),
    }
}
