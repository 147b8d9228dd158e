//! A directory that appears when it is complete.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use uuid::Uuid;

use crate::{
    entropy,
    error::{Error, ErrorKind, Result},
    task,
};

/// Ends the name of a directory that is not complete yet.
const SUFFIX: &str = ".partial";
/// How often a directory is made anew that another process took for abandoned before it was locked.
const TRIES_MAX: u32 = 10;

/// A directory beside the target that becomes the target when it is complete. Made anew and entered by its
/// owner only, it holds no link that somebody else put there.
pub(super) struct Staging {
    path: PathBuf,
    parent: PathBuf,
    target: PathBuf,
    /// Holds the lock by which others see that the directory is in use.
    _in_use: Option<File>,
}

impl Staging {
    /// Makes the directory, and removes what processes left that died while they made the same target.
    pub(super) fn create(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::invalid("target", "The target must be a directory with a name."))?;
        let parent =
            target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !is_vacant(target) {
            return Err(Error::invalid(
                "target",
                "The target exists already. Name a new directory, or an empty one.",
            ));
        }
        let prefix = format!(".{}.", name.to_string_lossy());
        discard_abandoned(parent, &prefix);
        for _ in 0..TRIES_MAX {
            let path = parent.join(format!("{prefix}{}{SUFFIX}", entropy::id()));
            if let Some(in_use) = make(&path).map_err(unwritable)? {
                let (parent, target) = (parent.to_owned(), target.to_owned());
                return Ok(Self { path, parent, target, _in_use: in_use });
            }
        }
        Err(Error::new(ErrorKind::Conflict))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes it the target. The files must be on the disk; what they are called is when this returns, and a
    /// power cut before shows no part of them.
    pub(super) async fn publish(self) -> Result<()> {
        let path = self.path.clone();
        task::blocking(move || sync_names(&path)).await?.map_err(unwritable)?;
        if self.target.symlink_metadata().is_ok() {
            // Succeeds only if it is still an empty directory.
            fs::remove_dir(&self.target).map_err(unwritable)?;
        }
        self.rename().map_err(unwritable)
    }

    #[cfg(unix)]
    fn rename(&self) -> io::Result<()> {
        // Opened before, so that nothing but the disk can fail once the target is there.
        let parent = File::open(&self.parent)?;
        fs::rename(&self.path, &self.target)?;
        parent.sync_all()
    }

    #[cfg(not(unix))]
    fn rename(&self) -> io::Result<()> {
        fs::rename(&self.path, &self.target)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Gone already if it became the target.
        let _ = fs::remove_dir_all(&self.path);
    }
}

pub(super) fn unwritable(_: io::Error) -> Error {
    Error::file("The files of the preview cannot be written. Check the permissions and the free space.")
}

/// Makes a directory and locks it; `None` if another process took it for abandoned between the two.
fn make(path: &Path) -> io::Result<Option<Option<File>>> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)?;
    match lock(path) {
        Ok(in_use) => Ok(path.is_dir().then_some(in_use)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::WouldBlock) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Has the disk hold what a directory and those below it list.
#[cfg(unix)]
fn sync_names(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_names(&entry.path())?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Directories cannot be synchronised here: what becomes of names is up to the file system.
#[cfg(not(unix))]
fn sync_names(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Removes directories of ours that no process holds. What cannot be looked at is in nobody's way.
fn discard_abandoned(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix(prefix).and_then(|rest| rest.strip_suffix(SUFFIX));
        let is_ours = id.is_some_and(|id| Uuid::try_parse(id).is_ok());
        if is_ours
            && entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(Some(_unused)) = lock(&entry.path())
        {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Locks a directory until the file is closed, also by the death of the process.
#[cfg(unix)]
fn lock(directory: &Path) -> io::Result<Option<File>> {
    let file = File::open(directory)?;
    file.try_lock()?;
    Ok(Some(file))
}

/// Directories cannot be locked here; what was abandoned cannot be told, and stays.
#[cfg(not(unix))]
fn lock(directory: &Path) -> io::Result<Option<File>> {
    if directory.is_dir() { Ok(None) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// Whether nothing is at `path`, or an empty directory.
fn is_vacant(path: &Path) -> bool {
    match path.symlink_metadata() {
        Err(error) => error.kind() == io::ErrorKind::NotFound,
        Ok(metadata) => {
            metadata.is_dir() && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn names(directory: &Path) -> usize {
        fs::read_dir(directory).unwrap().count()
    }

    #[tokio::test]
    async fn a_target_appears_whole_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let parent = directory.path();
        let target = parent.join("preview");
        drop(Staging::create(&target).unwrap());
        assert_eq!(names(parent), 0);

        let staging = Staging::create(&target).unwrap();
        fs::write(staging.path().join("a.txt"), "x").unwrap();
        staging.publish().await.unwrap();
        assert_eq!(fs::read_to_string(target.join("a.txt")).unwrap(), "x");
        assert!(Staging::create(&target).is_err());
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(parent, parent.join("link")).unwrap();
            assert!(Staging::create(&parent.join("link")).is_err());
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn what_a_process_left_that_died_is_removed_by_the_next_and_what_is_in_use_stays() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("preview");
        let abandoned = directory.path().join(format!(".preview.{}.partial", entropy::id()));
        fs::create_dir_all(abandoned.join("app")).unwrap();
        let bystander = directory.path().join(".preview.notes.partial");
        fs::create_dir(&bystander).unwrap();

        let first = Staging::create(&target).unwrap();
        let second = Staging::create(&target).unwrap();
        assert!(!abandoned.exists());
        assert!(bystander.exists() && first.path().exists() && second.path().exists());
        first.publish().await.unwrap();
        assert!(second.publish().await.is_ok(), "an empty directory may be replaced");
        assert_eq!(names(directory.path()), 2);
    }

    #[cfg(unix)]
    #[test]
    fn who_makes_the_same_target_at_once_takes_nothing_from_others() {
        const THREADS: u32 = 4;
        const ROUNDS: u32 = 100;
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("preview");
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        let staging = Staging::create(&target).unwrap();
                        fs::write(staging.path().join("a.txt"), "x").unwrap();
                    }
                });
            }
        });
        assert_eq!(names(directory.path()), 0);
    }
}
