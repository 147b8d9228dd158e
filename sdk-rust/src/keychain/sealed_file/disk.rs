//! A file that only its owner can read, replaced whole or not at all, by one process at a time.

use std::{
    ffi::{OsStr, OsString},
    fs::{DirBuilder, File, TryLockError},
    io::{self, Read as _, Write as _},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{AtFlags, Mode, OFlags},
    process::geteuid,
};

use crate::keychain::StorageErrorKind;

/// The largest file that is read or written: many times what a few small secrets take.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// How often, and how often again, the lock is asked for: for four seconds, which is within the time that a
/// store has.
const LOCK_POLL_EVERY: Duration = Duration::from_millis(10);
const LOCK_POLLS_MAX: u32 = 400;

/// Where the file is. Everything happens in its directory, by names of that directory alone, so that no link
/// in place of a file leads elsewhere.
pub(super) struct Place {
    directory: PathBuf,
    name: OsString,
}

/// Keeps other processes from changing the file until it is dropped.
pub(super) struct Lock {
    directory: OwnedFd,
    /// Closing it, also by the death of the process, lets go of the lock.
    _file: File,
}

impl Place {
    /// `None` if the path names no file.
    pub(super) fn new(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        Some(Self { directory: directory.unwrap_or(Path::new(".")).to_owned(), name })
    }

    /// What the file holds; `None` if there is none.
    ///
    /// # Errors
    ///
    /// `File` if it is a link, no file, not this user's or open to others; `Corrupt` if it is too large.
    pub(super) fn read(&self) -> Result<Option<Vec<u8>>, StorageErrorKind> {
        let opened = self
            .open_directory()
            .and_then(|directory| open_private(&directory, &self.name, OFlags::RDONLY | OFlags::NONBLOCK));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(StorageErrorKind::File),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|_| StorageErrorKind::File)?;
        if bytes.len() as u64 > FILE_BYTES_MAX { Err(StorageErrorKind::Corrupt) } else { Ok(Some(bytes)) }
    }

    /// Waits for the turn of this process, but not for long. Makes the directory if there is none.
    #[allow(
        clippy::disallowed_methods,
        reason = "flock(2) has no time limit; this is no thread of the runtime"
    )]
    pub(super) fn lock(&self) -> Result<Lock, StorageErrorKind> {
        let (directory, file) = self.open_lock().map_err(|_| StorageErrorKind::File)?;
        for _ in 0..LOCK_POLLS_MAX {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { directory, _file: file }),
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL_EVERY),
                Err(TryLockError::Error(_)) => return Err(StorageErrorKind::File),
            }
        }
        Err(StorageErrorKind::Unavailable)
    }

    /// Puts `bytes` in place of what the file holds. When it returns, a power cut no longer undoes it; before,
    /// the file is as it was.
    pub(super) fn replace(&self, lock: &Lock, bytes: &[u8]) -> Result<(), StorageErrorKind> {
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(StorageErrorKind::File);
        }
        self.write(&lock.directory, bytes).map_err(|_| StorageErrorKind::File)
    }

    fn write(&self, directory: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
        let new = self.beside("new");
        // A process that died on the way may have left one; whoever holds the lock may remove it.
        match rustix::fs::unlinkat(directory, &new, AtFlags::empty()) {
            Err(error) if error != rustix::io::Errno::NOENT => return Err(error.into()),
            _ => {}
        }
        let mut file = open_private(directory, &new, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rustix::fs::renameat(directory, &new, directory, &self.name)?;
        Ok(rustix::fs::fsync(directory)?)
    }

    fn open_lock(&self) -> io::Result<(OwnedFd, File)> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let directory = self.open_directory()?;
        let file = open_private(&directory, &self.beside("lock"), OFlags::RDWR | OFlags::CREATE)?;
        Ok((directory, file))
    }

    fn open_directory(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(rustix::fs::open(&self.directory, flags, Mode::empty())?)
    }

    /// The name of a file that belongs to this one.
    fn beside(&self, purpose: &str) -> OsString {
        [OsStr::new("."), &self.name, OsStr::new("."), OsStr::new(purpose)].into_iter().collect()
    }
}

/// Opens or makes a plain file of this user that nobody else has access to, by no link of either sort.
fn open_private(directory: &OwnedFd, name: &OsStr, flags: OFlags) -> io::Result<File> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(directory, name, flags, Mode::RUSR | Mode::WUSR)?);
    let metadata = file.metadata()?;
    let is_private = metadata.is_file()
        && metadata.uid() == geteuid().as_raw()
        && metadata.mode() & 0o077 == 0
        && metadata.nlink() == 1;
    if is_private { Ok(file) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}
