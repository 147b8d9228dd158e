//! A commit and what it descends from, newest first.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
};

use gix::{
    hash::{Kind as Hash, ObjectId, oid},
    objs::{CommitRefIter, commit::ref_iter::Token},
};

use super::objects::{Objects, unsound};
use crate::{
    base::error::{Error, Reason, Result},
    domain::projects::model::{Commit, CommitId, PARENTS_MAX, WrittenCommit},
};

/// What a log looks at. Each page begins anew at the first commit, so that a log needs no memory between its
/// pages and is the same for everybody.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Commits in all.
    pub commits: usize,
    /// Bytes of commits in all.
    pub bytes: usize,
    /// Bytes of the commits on one page, before their texts are shortened.
    pub page_bytes: usize,
}

impl Bounds {
    /// Those that every log has.
    pub const STANDARD: Self =
        Self { commits: 10_000, bytes: 64 * 1024 * 1024, page_bytes: 16 * 1024 * 1024 };
}

/// Where a page ended: after so many commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed(u32);

impl Passed {
    /// The bytes of the number.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0.to_be_bytes()
    }

    /// Reads what [`Passed::to_bytes`] wrote.
    ///
    /// # Errors
    /// `INVALID_PAGE_TOKEN` if it is something else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let bytes = bytes.try_into().map_err(|_| Error::new(Reason::InvalidPageToken))?;
        Ok(Self(u32::from_be_bytes(bytes)))
    }
}

/// A page of commits.
#[derive(Clone, Debug)]
pub struct Commits {
    /// Newest first.
    pub listed: Vec<Commit>,
    /// Where the next page begins, if there is one.
    pub next: Option<Passed>,
    /// Whether the log ends although there is more.
    pub truncated: bool,
}

/// Lists at most `wanted` commits of the log of `start`, after those that were `passed`.
pub fn list(
    objects: &Objects,
    start: CommitId,
    wanted: usize,
    passed: Option<Passed>,
    bounds: Bounds,
) -> Result<Commits> {
    let mut walk = Walk::begin(objects, start, bounds)?;
    let passed = passed.map_or(0, |passed| passed.0);
    for _ in 0..passed {
        if walk.next()?.is_none() {
            break;
        }
    }
    let mut page = Commits { listed: Vec::new(), next: None, truncated: false };
    let mut page_bytes = 0_usize;
    while page.listed.len() < wanted && page_bytes < bounds.page_bytes {
        let Some(id) = walk.next()? else { break };
        let data = objects.commit(&id)?;
        page_bytes = page_bytes.saturating_add(data.len());
        page.listed.push(Raw::parse(&data)?.shown(&id)?);
    }
    if walk.waiting.is_empty() {
        page.truncated = walk.truncated;
    } else {
        let listed = u32::try_from(page.listed.len()).unwrap_or(u32::MAX);
        page.next = Some(Passed(passed.saturating_add(listed)));
    }
    Ok(page)
}

/// The commits in the order of a log: of those that are known, the newest comes next and makes its parents
/// known.
struct Walk<'a> {
    objects: &'a Objects,
    bounds: Bounds,
    waiting: BinaryHeap<Waiting>,
    known: HashSet<ObjectId>,
    read_bytes: usize,
    truncated: bool,
}

/// Ordered by age, and at the same age by when it became known.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    committed_secs: i64,
    known_as: Reverse<usize>,
    id: ObjectId,
    parents: Vec<ObjectId>,
}

impl<'a> Walk<'a> {
    fn begin(objects: &'a Objects, start: CommitId, bounds: Bounds) -> Result<Self> {
        let mut walk = Self {
            objects,
            bounds,
            waiting: BinaryHeap::new(),
            known: HashSet::new(),
            read_bytes: 0,
            truncated: false,
        };
        walk.learn(ObjectId::from(*start.as_bytes()))?;
        Ok(walk)
    }

    fn next(&mut self) -> Result<Option<ObjectId>> {
        let Some(next) = self.waiting.pop() else { return Ok(None) };
        for parent in next.parents {
            match self.learn(parent) {
                // The commit that was asked for is known to be there; its history must be, too.
                Err(error) if error.reason() == Reason::NotFound => {
                    return Err(unsound("a parent is missing"));
                }
                outcome => outcome?,
            }
        }
        Ok(Some(next.id))
    }

    fn learn(&mut self, id: ObjectId) -> Result<()> {
        if self.known.contains(&id) {
            return Ok(());
        }
        if self.known.len() >= self.bounds.commits || self.read_bytes >= self.bounds.bytes {
            self.truncated = true;
            return Ok(());
        }
        let data = self.objects.commit(&id)?;
        self.read_bytes = self.read_bytes.saturating_add(data.len());
        let Raw { mut parents, committed_secs, .. } = Raw::parse(&data)?;
        self.truncated |= parents.len() > PARENTS_MAX;
        parents.truncate(PARENTS_MAX);
        parents.shrink_to_fit();
        let known_as = Reverse(self.known.len());
        self.waiting.push(Waiting { committed_secs: committed_secs.unwrap_or(0), known_as, id, parents });
        self.known.insert(id);
        Ok(())
    }
}

/// What is in the bytes of a commit.
#[derive(Default)]
struct Raw<'a> {
    parents: Vec<ObjectId>,
    author_name: &'a [u8],
    authored_secs: Option<i64>,
    committed_secs: Option<i64>,
    message: &'a [u8],
}

impl<'a> Raw<'a> {
    fn parse(data: &'a [u8]) -> Result<Self> {
        let (mut raw, mut complete) = (Self::default(), false);
        for token in CommitRefIter::from_bytes(data, Hash::Sha1) {
            match token.map_err(|_| unsound("a commit is malformed"))? {
                Token::Parent { id } => raw.parents.push(id),
                Token::Author { signature } => {
                    raw.author_name = signature.name;
                    raw.authored_secs = secs_of(signature.time);
                }
                Token::Committer { signature } => {
                    raw.committed_secs = secs_of(signature.time);
                    complete = true;
                }
                Token::Message(message) => raw.message = message,
                Token::Tree { .. } | Token::Encoding(_) | Token::ExtraHeader(_) => {}
            }
        }
        if complete { Ok(raw) } else { Err(unsound("a commit has no committer")) }
    }

    fn shown(&self, id: &oid) -> Result<Commit> {
        let parents = self.parents.iter().map(|id| commit_id(id)).collect::<Result<Vec<_>>>()?;
        let written = WrittenCommit {
            parents: &parents,
            author_name: self.author_name,
            authored_secs: self.authored_secs,
            committed_secs: self.committed_secs,
            message: self.message,
        };
        Ok(Commit::new(commit_id(id)?, written))
    }
}

/// The seconds since 1970 of a time as git writes it: a number, then a time zone, which makes no difference.
fn secs_of(time: &str) -> Option<i64> {
    time.split_ascii_whitespace().next()?.parse().ok()
}

fn commit_id(id: &oid) -> Result<CommitId> {
    id.as_bytes().try_into().map(CommitId::new).map_err(|_| unsound("a commit has another kind of name"))
}
