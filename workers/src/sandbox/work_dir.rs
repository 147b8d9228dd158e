//! The private directory of one job.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A fresh directory under `DATA_DIR/tmp` which only this user can enter; removed with the value.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes the directory.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(data_dir: &Path) -> io::Result<Self> {
        let parent = data_dir.join("tmp");
        DirBuilder::new().recursive(true).mode(0o700).create(&parent)?;
        let path = parent.join(Uuid::new_v4().to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an earlier process left behind. Only one worker may use a data directory's `tmp`, so
    /// this runs before the first job.
    ///
    /// # Errors
    /// If an entry cannot be removed.
    pub fn sweep(data_dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(data_dir.join("tmp")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Does not follow links: the standard library unlinks them.
impl Drop for WorkDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(kind = %error.kind(), "a work directory could not be removed");
        }
    }
}
