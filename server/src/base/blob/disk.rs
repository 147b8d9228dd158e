//! Objects in a local directory: `objects/<2 digits>/<30 digits>`, and `incoming/<server>/` for what is not
//! complete yet.

use std::{
    fs::{self, DirBuilder, TryLockError},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest;
use axum::body::Body;
use http_body_util::BodyExt as _;
use object_store::{ObjectStore, local::LocalFileSystem};
use tempfile::TempDir;
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{ObjectKey, Result, transfer_max};
use crate::base::places::Places;

/// Uploads at work at the same time, and how many of them may be of one object: an address that is signed for it must
/// not fill all places, but two people may send the same file, and one whose connection was lost may send it again.
const UPLOADS_MAX: usize = 256;
const OBJECT_UPLOADS_MAX: usize = 4;
/// How long one upload may take, whatever its size; a signed address does not live longer either.
const UPLOAD_MAX: Duration = Duration::from_secs(300);

/// Why an upload was not taken.
#[derive(Debug)]
pub(super) enum Rejection {
    /// The bytes are not those that the address was signed for.
    OtherBytes,
    /// The object exists.
    Exists,
    /// Too many uploads are at work, of all objects or of this one.
    Busy,
    /// It took too long, or the client went away.
    Interrupted,
    /// The disk failed.
    Failed(io::Error),
}

impl From<io::Error> for Rejection {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) struct Disk {
    objects: PathBuf,
    /// This server's own; removed with it.
    incoming: TempDir,
    /// Holds the lock by which others see that `incoming` is in use.
    _in_use: fs::File,
    uploads: Places<ObjectKey>,
}

impl Disk {
    /// Makes the directory if need be, and discards what a crash left incomplete. What another server is
    /// receiving, as one that drains while its successor starts, stays.
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let (objects, incoming) = (dir.join("objects"), dir.join("incoming"));
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(&incoming)?;
        for first in 0..=u8::MAX {
            builder.create(objects.join(format!("{first:02x}")))?;
        }
        fs::File::open(&objects)?.sync_all()?;
        let (incoming, in_use) = claim_incoming(&incoming)?;
        Ok(Self { objects, incoming, _in_use: in_use, uploads: Places::new(UPLOADS_MAX, OBJECT_UPLOADS_MAX) })
    }

    pub(super) fn store(&self) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(LocalFileSystem::new_with_prefix(&self.objects)?.with_fsync(true)))
    }

    /// Takes an upload: durably and completely, or not at all; only these bytes, and only once.
    pub(super) async fn receive(
        &self,
        key: &ObjectKey,
        sha256: &[u8; 32],
        size: u64,
        body: Body,
    ) -> Result<(), Rejection> {
        let _place = self.uploads.take(*key).ok_or(Rejection::Busy)?;
        let (file, incoming) = tempfile::NamedTempFile::new_in(self.incoming.path())?.into_parts();
        let mut file = File::from_std(file);
        let copied =
            tokio::time::timeout(transfer_max(size).min(UPLOAD_MAX), copy(body, &mut file, size)).await;
        let found = copied.map_err(|_| Rejection::Interrupted)??;
        if found.as_ref() != sha256 {
            return Err(Rejection::OtherBytes);
        }
        file.sync_all().await?;
        self.publish(&incoming, key).await
    }

    /// A hard link appears at once and never replaces a file.
    async fn publish(&self, incoming: &Path, key: &ObjectKey) -> Result<(), Rejection> {
        let (folder, file) = key.parts();
        let folder = self.objects.join(folder);
        match tokio::fs::hard_link(incoming, folder.join(file)).await {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Rejection::Exists),
            outcome => outcome?,
        }
        File::open(folder).await?.sync_all().await?;
        Ok(())
    }
}

/// Makes a directory that is locked for as long as the file that comes with it is open, and removes those of
/// servers that are gone. One server at a time does so, and meets none that is made but not locked yet.
fn claim_incoming(parent: &Path) -> io::Result<(TempDir, fs::File)> {
    let turn = fs::File::open(parent)?;
    turn.lock()?;
    for entry in fs::read_dir(parent)? {
        match remove_unless_locked(&entry?.path()) {
            // Its server has left meanwhile, and taken it along.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            outcome => outcome?,
        }
    }
    let incoming = TempDir::new_in(parent)?;
    let in_use = fs::File::open(incoming.path())?;
    in_use.lock()?;
    Ok((incoming, in_use))
}

fn remove_unless_locked(path: &Path) -> io::Result<()> {
    match fs::File::open(path)?.try_lock() {
        Err(TryLockError::WouldBlock) => Ok(()),
        Err(TryLockError::Error(error)) => Err(error),
        Ok(()) if path.is_dir() => fs::remove_dir_all(path),
        Ok(()) => fs::remove_file(path),
    }
}

/// Writes exactly `size` bytes and returns their digest.
async fn copy(mut body: Body, file: &mut File, size: u64) -> Result<digest::Digest, Rejection> {
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut left = size;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Rejection::Interrupted)?.into_data() else { continue };
        left = left.checked_sub(data.len() as u64).ok_or(Rejection::OtherBytes)?;
        hash.update(&data);
        file.write_all(&data).await?;
    }
    if left > 0 {
        return Err(Rejection::OtherBytes);
    }
    file.flush().await?;
    Ok(hash.finish())
}
