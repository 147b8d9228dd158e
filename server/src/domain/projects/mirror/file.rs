//! One file of a mirror.

use bytes::Bytes;
use gix::hash::ObjectId;

use super::{FILE_BYTES_MAX, objects::Objects};
use crate::{
    base::error::{Error, Reason, Result},
    domain::projects::model::{CommitId, EntryKind, FileHeader},
};

/// Where git looks for a NUL byte to tell whether a file is binary.
const BINARY_PROBE_BYTES: usize = 8_000;

/// Where a file is.
pub struct Place {
    pub size: u64,
    kind: EntryKind,
    blob: ObjectId,
    commit: CommitId,
}

/// A file.
#[derive(Clone, Debug)]
pub struct FileContent {
    /// What it is.
    pub header: FileHeader,
    /// All its bytes; of a symbolic link, its target.
    pub bytes: Bytes,
}

impl FileContent {
    /// `length` bytes from `offset` on, or all from there on if `length` is 0; fewer, or none, where the
    /// file ends.
    #[must_use]
    pub fn range(&self, offset: u64, length: u64) -> Bytes {
        let end = self.bytes.len();
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(end);
        let stop = match length {
            0 => end,
            length => start.saturating_add(usize::try_from(length).unwrap_or(usize::MAX)).min(end),
        };
        self.bytes.slice(start..stop)
    }
}

/// Looks for a file.
pub fn find(objects: &Objects, commit: CommitId, path: &[String]) -> Result<Place> {
    let (name, directories) = path.split_last().ok_or_else(Error::not_found)?;
    let parent = objects.descend(objects.root_of(commit)?, directories)?;
    let (kind, blob) = objects.child(&parent, name)?.ok_or_else(Error::not_found)?;
    if matches!(kind, EntryKind::Directory | EntryKind::Submodule) {
        return Err(Error::new(Reason::InvalidPath).at("path", "does not name a file"));
    }
    let size = objects.blob_size(&blob)?;
    if size > FILE_BYTES_MAX {
        return Err(Error::new(Reason::InvalidPath).at("path", "names a file of more than 50 MiB"));
    }
    Ok(Place { size, kind, blob, commit })
}

/// Reads the file that [`find`] found.
pub fn load(objects: &Objects, place: Place) -> Result<FileContent> {
    let bytes = Bytes::from(objects.blob(&place.blob)?);
    let header = FileHeader {
        size: place.size,
        object: place.blob.to_string(),
        binary: bytes.iter().take(BINARY_PROBE_BYTES).any(|byte| *byte == 0),
        kind: place.kind,
        commit: place.commit,
    };
    Ok(FileContent { header, bytes })
}
