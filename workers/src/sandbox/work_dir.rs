//! The private directory of one job.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::entropy;

/// A fresh directory under a worker's own part of `DATA_DIR/tmp` which only this user can enter; removed with the value.
#[derive(Debug)]
pub struct WorkDir {
    path: PathBuf,
}

impl WorkDir {
    /// Makes the directory.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn create(tmp_dir: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(tmp_dir)?;
        let path = tmp_dir.join(entropy::uuid().to_string());
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes what an earlier process of the same worker left behind; to be done before the first job.
    ///
    /// # Errors
    /// If an entry cannot be removed.
    pub fn sweep(tmp_dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(tmp_dir) {
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
