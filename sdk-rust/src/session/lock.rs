//! One process at a time rotates the refresh token of an account.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use crate::error::{Error, ErrorKind, Result, StorageErrorKind};

/// Longer than a whole refresh of another process may take.
const WAIT_MAX: Duration = Duration::from_secs(60);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// An advisory lock that the operating system releases with the process, however it ends.
#[derive(Clone)]
pub(crate) struct ProcessLock(PathBuf);

/// The lock is held until this is dropped.
pub(crate) struct Guard {
    /// Closing the file releases the lock.
    _file: File,
}

impl ProcessLock {
    /// The lock of one slot. The name of the file tells nothing about the account.
    pub(crate) fn new(directory: &Path, slot: &str) -> Self {
        let digest = Sha256::digest(slot.as_bytes());
        let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Self(directory.join(format!("{name}.lock")))
    }

    /// Waits for the lock, but not for ever.
    pub(crate) async fn acquire(&self) -> Result<Guard> {
        let file = self.open().map_err(|_| Error::storage(StorageErrorKind::File))?;
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Guard { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                Err(TryLockError::WouldBlock) => return Err(Error::new(ErrorKind::Unavailable)),
                Err(TryLockError::Error(_)) => return Err(Error::storage(StorageErrorKind::File)),
            }
        }
    }

    fn open(&self) -> std::io::Result<File> {
        if let Some(directory) = self.0.parent() {
            create_private_directory(directory)?;
        }
        File::options().create(true).truncate(false).write(true).open(&self.0)
    }
}

/// Creates a directory and those above it; what is created only its owner can enter.
fn create_private_directory(path: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Where the locks of this user are by default; `None` on a machine that does not say.
#[allow(clippy::disallowed_methods, reason = "where a user's files are is told by the environment alone")]
pub(crate) fn default_directory() -> Option<PathBuf> {
    let from = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = if cfg!(windows) {
        from("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        from("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        from("XDG_STATE_HOME").or_else(|| from("HOME").map(|home| home.join(".local/state")))
    };
    data.map(|data| data.join("hivesync"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[tokio::test]
    async fn a_second_holder_waits_for_the_first() {
        let directory = tempfile::tempdir().unwrap();
        let lock = ProcessLock::new(&directory.path().join("made/when/needed"), "slot");
        let first = lock.acquire().await.unwrap();
        let file = lock.open().unwrap();
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        drop(first);
        drop(lock.acquire().await.unwrap());
    }
}
