//! The objects of a mirror.

use std::{path::Path, time::Duration};

use gix::{
    hash::{Kind as Hash, ObjectId, oid},
    objs::{CommitRefIter, Find as _, Kind, TreeRefIter, tree::EntryRef},
    odb::{self, Header as _},
};

use crate::{
    base::{
        clock::TimeLimit,
        error::{Error, Reason, Result},
    },
    domain::projects::model::{CommitId, EntryKind},
};

/// The largest tree or commit that is read: a directory of some 100,000 entries.
const STRUCTURE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// What one read may cost. Objects are deltas of others, which their size does not tell: a few bytes can stand
/// on thousands of large ones, and each is made anew.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// The largest allocation for one object, with those that it is a delta of.
    pub allocation_bytes_max: usize,
    /// How long the read may go on; looked at before each object.
    pub time_max: Duration,
}

impl Effort {
    /// For trees and commits.
    pub const STRUCTURE: Self =
        Self { allocation_bytes_max: 8 * 1024 * 1024, time_max: Duration::from_secs(5) };
    /// For a file.
    pub const FILE: Self = Self { allocation_bytes_max: 64 * 1024 * 1024, ..Self::STRUCTURE };
}

/// An open object database.
pub struct Objects {
    handle: odb::Handle,
    time: TimeLimit,
}

impl Objects {
    /// Opens the object directory of a repository for one read. Everything that is asked of it fails with
    /// `DEADLINE_EXCEEDED` once the time is over.
    ///
    /// # Errors
    /// `INTERNAL` if it cannot be read.
    pub fn open(directory: &Path, effort: Effort) -> Result<Self> {
        let options = odb::store::init::Options {
            alloc_limit_bytes: Some(effort.allocation_bytes_max),
            ..odb::store::init::Options::default()
        };
        let mut handle = odb::at_opts(directory, Hash::Sha1, None, options)
            .map_err(|error| Error::internal(format!("a mirror cannot be opened: {}", error.kind())))?;
        handle.ignore_replacements = true;
        Ok(Self { handle, time: TimeLimit::of(effort.time_max) })
    }

    /// The tree of `commit`.
    ///
    /// # Errors
    /// `NOT_FOUND` if the mirror does not hold such a commit, `REPOSITORY_REJECTED` if it is not sound.
    pub fn root_of(&self, commit: CommitId) -> Result<ObjectId> {
        let data = self.commit(&ObjectId::from(*commit.as_bytes()))?;
        CommitRefIter::from_bytes(&data, Hash::Sha1).tree_id().map_err(|_| unsound("a commit has no tree"))
    }

    /// The bytes of a commit.
    ///
    /// # Errors
    /// `NOT_FOUND` if the mirror does not hold such a commit, `REPOSITORY_REJECTED` if it is too large.
    pub fn commit(&self, id: &oid) -> Result<Vec<u8>> {
        match self.kind_and_size(id)? {
            Some((Kind::Commit, size)) if size <= STRUCTURE_BYTES_MAX => self.data(id, Kind::Commit),
            Some((Kind::Commit, _)) => Err(unsound("a commit is too large")),
            _ => Err(Error::not_found()),
        }
    }

    /// The bytes of a tree.
    ///
    /// # Errors
    /// `REPOSITORY_REJECTED` if there is no such tree, or it is too large.
    pub fn tree(&self, id: &oid) -> Result<Vec<u8>> {
        match self.kind_and_size(id)? {
            Some((Kind::Tree, size)) if size <= STRUCTURE_BYTES_MAX => self.data(id, Kind::Tree),
            Some((Kind::Tree, _)) => Err(unsound("a directory has too many entries")),
            _ => Err(unsound("a tree is missing")),
        }
    }

    /// The tree at the end of a path of directories.
    ///
    /// # Errors
    /// `NOT_FOUND` if one of them is not there or not a directory.
    pub fn descend(&self, root: ObjectId, directories: &[String]) -> Result<ObjectId> {
        let mut id = root;
        for name in directories {
            let (kind, child) = self.child(&id, name)?.ok_or_else(Error::not_found)?;
            if kind != EntryKind::Directory {
                return Err(Error::not_found());
            }
            id = child;
        }
        Ok(id)
    }

    /// The entry `name` of a tree.
    ///
    /// # Errors
    /// As [`Objects::tree`].
    pub fn child(&self, tree: &oid, name: &str) -> Result<Option<(EntryKind, ObjectId)>> {
        let data = self.tree(tree)?;
        let mut rest = data.as_slice();
        while let Some((entry, length)) = first_entry(rest)? {
            if entry.filename == name.as_bytes() {
                return Ok(Some((kind_of(&entry), entry.oid.to_owned())));
            }
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(None)
    }

    /// The size of a blob, without reading it.
    ///
    /// # Errors
    /// `REPOSITORY_REJECTED` if there is no such blob.
    pub fn blob_size(&self, id: &oid) -> Result<u64> {
        match self.kind_and_size(id)? {
            Some((Kind::Blob, size)) => Ok(size),
            _ => Err(unsound("a blob is missing")),
        }
    }

    /// The bytes of a blob whose size was looked at before.
    ///
    /// # Errors
    /// `REPOSITORY_REJECTED` if it cannot be read.
    pub fn blob(&self, id: &oid) -> Result<Vec<u8>> {
        self.data(id, Kind::Blob)
    }

    fn kind_and_size(&self, id: &oid) -> Result<Option<(Kind, u64)>> {
        if self.time.is_over() {
            return Err(Error::new(Reason::DeadlineExceeded).because("a mirror takes too long to read"));
        }
        let header = self.handle.try_header(id).map_err(|_| unsound("an object's header cannot be read"))?;
        Ok(header.map(|header| (header.kind(), header.size())))
    }

    fn data(&self, id: &oid, kind: Kind) -> Result<Vec<u8>> {
        let mut buffer = Vec::new();
        // The library's errors may name files; what they mean is said instead.
        let found = self.handle.try_find(id, &mut buffer).map_err(|_| unsound("an object cannot be read"))?;
        match found {
            Some(object) if object.kind == kind => Ok(buffer),
            _ => Err(unsound("an object is missing")),
        }
    }
}

/// The first entry of what is left of a tree, and the bytes it takes.
pub fn first_entry(rest: &[u8]) -> Result<Option<(EntryRef<'_>, usize)>> {
    let mut entries = TreeRefIter::from_bytes(rest, Hash::Sha1);
    let Some(entry) = entries.next() else { return Ok(None) };
    let entry = entry.map_err(|_| unsound("a tree is malformed"))?;
    Ok(Some((entry, entries.offset_to_next_entry(rest))))
}

/// What an entry is.
pub fn kind_of(entry: &EntryRef<'_>) -> EntryKind {
    use gix::objs::tree::EntryKind as Git;
    match entry.mode.kind() {
        Git::Tree => EntryKind::Directory,
        Git::Blob => EntryKind::File,
        Git::BlobExecutable => EntryKind::Executable,
        Git::Link => EntryKind::Symlink,
        Git::Commit => EntryKind::Submodule,
    }
}

/// The objects are not as git makes them.
pub fn unsound(what: &'static str) -> Error {
    Error::new(Reason::RepositoryRejected).because(what)
}
