//! The entries of a directory, page by page.

use gix::hash::{ObjectId, oid};
use hivesync_proto::path::RepositoryPath;

use super::{
    Listing,
    objects::{Objects, first_entry, kind_of, unsound},
};
use crate::{
    base::error::{Error, Reason, Result},
    domain::projects::model::{CommitId, EntryKind, TreeEntry},
};

/// Entries that one page looks at, listed or left out.
const EXAMINED_MAX: usize = 20_000;

/// Bytes of trees that a walk holds at the same time.
const HELD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Where a page ended: at each level of the walk, the byte of the tree at which the entry begins that is on
/// the way; at the last, the one that comes next. A commit never changes, so that the same cursor always
/// means the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Vec<u32>);

impl Cursor {
    /// The bytes of the cursor: 4 for each level, of which there are at most 32.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|offset| offset.to_be_bytes()).collect()
    }

    /// Reads what [`Cursor::to_bytes`] wrote.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let levels = bytes.chunks(4).map(|level| level.try_into().map(u32::from_be_bytes));
        let levels = levels.collect::<std::result::Result<Vec<_>, _>>();
        levels.map(Self).map_err(|_| Error::new(Reason::InvalidPageToken))
    }
}

/// A page of entries.
#[derive(Clone, Debug)]
pub struct Entries {
    /// In the order of git.
    pub listed: Vec<TreeEntry>,
    /// Entries that were left out because their paths break the path rules.
    pub left_out: u32,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
}

/// Lists a directory of `commit`.
pub fn list(objects: &Objects, commit: CommitId, listing: &Listing) -> Result<Entries> {
    let root = objects.descend(objects.root_of(commit)?, &listing.directory)?;
    let mut walk = Walk::begin(objects, &root, listing)?;
    let mut page = Entries { listed: Vec::new(), left_out: 0, next: None };
    for _ in 0..EXAMINED_MAX {
        if page.listed.len() >= listing.wanted {
            break;
        }
        match walk.step()? {
            Step::Listed(entry) => page.listed.push(entry),
            Step::LeftOut => page.left_out = page.left_out.saturating_add(1),
            Step::Entered => {}
            Step::Ended => return Ok(page),
        }
    }
    page.next = walk.cursor();
    Ok(page)
}

/// What was found at the next place.
enum Step {
    Listed(TreeEntry),
    LeftOut,
    Entered,
    Ended,
}

struct Walk<'a> {
    objects: &'a Objects,
    recursive: bool,
    levels: Vec<Level>,
}

/// A tree on the way down.
struct Level {
    /// Its path, with a slash at the end; empty for the root of the repository.
    prefix: String,
    data: Vec<u8>,
    /// Where the entry begins that was looked at last.
    current: usize,
    /// Where the entry begins that is looked at next.
    next: usize,
}

struct Found {
    kind: EntryKind,
    name: Vec<u8>,
    id: ObjectId,
}

impl Level {
    /// Looks at the next entry.
    fn advance(&mut self) -> Result<Option<Found>> {
        let rest = self.data.get(self.next..).unwrap_or_default();
        let Some((entry, length)) = first_entry(rest)? else { return Ok(None) };
        let found = Found { kind: kind_of(&entry), name: entry.filename.to_vec(), id: entry.oid.to_owned() };
        self.current = self.next;
        self.next = self.next.saturating_add(length);
        Ok(Some(found))
    }

    fn is_behind(&self) -> bool {
        self.next >= self.data.len()
    }
}

impl<'a> Walk<'a> {
    fn begin(objects: &'a Objects, root: &oid, listing: &Listing) -> Result<Self> {
        let mut walk = Self { objects, recursive: listing.recursive, levels: Vec::new() };
        let prefix = listing.directory.iter().flat_map(|name| [name.as_str(), "/"]).collect();
        walk.enter(root, prefix)?;
        let offsets = listing.cursor.iter().flat_map(|cursor| &cursor.0);
        for (depth, offset) in offsets.enumerate() {
            if depth > 0 {
                walk.enter_again()?;
            }
            if let Some(level) = walk.levels.last_mut() {
                level.next = usize::try_from(*offset).unwrap_or(usize::MAX);
            }
        }
        Ok(walk)
    }

    fn step(&mut self) -> Result<Step> {
        let Some(level) = self.levels.last_mut() else { return Ok(Step::Ended) };
        let Some(Found { kind, name, id }) = level.advance()? else {
            self.levels.pop();
            return Ok(Step::Entered);
        };
        let Some(path) = path_of(&level.prefix, &name) else { return Ok(Step::LeftOut) };
        if self.recursive && kind == EntryKind::Directory {
            self.enter(&id, format!("{}/", path.as_str()))?;
            return Ok(Step::Entered);
        }
        let size = match kind {
            EntryKind::Directory | EntryKind::Submodule => 0,
            EntryKind::File | EntryKind::Executable | EntryKind::Symlink => self.objects.blob_size(&id)?,
        };
        Ok(Step::Listed(TreeEntry { path, kind, size, object: id.to_string() }))
    }

    fn enter(&mut self, tree: &oid, prefix: String) -> Result<()> {
        let data = self.objects.tree(tree)?;
        let held: usize = self.levels.iter().map(|level| level.data.len()).sum();
        if held.saturating_add(data.len()) > HELD_BYTES_MAX {
            return Err(unsound("directories are too large together"));
        }
        self.levels.push(Level { prefix, data, current: 0, next: 0 });
        Ok(())
    }

    /// Enters the directory that the cursor passed through.
    fn enter_again(&mut self) -> Result<()> {
        let invalid = || Error::new(Reason::InvalidPageToken);
        let level = self.levels.last_mut().ok_or_else(invalid)?;
        let found = level.advance()?.filter(|found| found.kind == EntryKind::Directory);
        let Found { name, id, .. } = found.ok_or_else(invalid)?;
        let path = path_of(&level.prefix, &name).ok_or_else(invalid)?;
        self.enter(&id, format!("{}/", path.as_str()))
    }

    /// Where the walk stands, unless nothing is left.
    fn cursor(mut self) -> Option<Cursor> {
        while self.levels.last().is_some_and(Level::is_behind) {
            self.levels.pop();
        }
        let (last, passed) = self.levels.split_last()?;
        let offsets = passed.iter().map(|level| level.current).chain([last.next]);
        Some(Cursor(offsets.map(|offset| u32::try_from(offset).unwrap_or(u32::MAX)).collect()))
    }
}

/// The path of an entry, if it keeps the path rules. Its name has no slash: one would make it look like
/// something else.
fn path_of(prefix: &str, name: &[u8]) -> Option<RepositoryPath> {
    if name.contains(&b'/') {
        return None;
    }
    RepositoryPath::from_bytes(&[prefix.as_bytes(), name].concat()).ok()
}
