//! Projects: their names, their repository, how their mirror stands, and what is found in it.

mod commit;

use std::fmt;

use hivesync_proto::{path::RepositoryPath, repository_url::RepositoryUrl};
use serde::{Deserialize, Serialize};

pub use commit::{Commit, CommitPage, ListCommits, PARENTS_MAX, WrittenCommit, shown};

use crate::{
    base::{
        clock::Timestamp,
        error::{Error, Reason, Result},
        ids::{IdempotencyKey, JobId, ProjectId, TeamId, UserId},
        outbox::Event,
        page::PageRequest,
    },
    domain::users::Name,
};

/// Projects that a team may have.
pub const PROJECTS_MAX: u64 = 200;

/// A commit, by its SHA-1 object name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CommitId([u8; 20]);

impl CommitId {
    /// The commit with this object name.
    #[must_use]
    pub const fn new(name: [u8; 20]) -> Self {
        Self(name)
    }

    /// Reads 40 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 20];
        if text.len() != 40 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The bytes of the object name.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// How a mirror stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorState {
    /// No repository is linked.
    Unlinked,
    /// Linked and never synced.
    Pending,
    /// The last sync succeeded.
    Ready,
    /// The last sync failed; what an earlier one fetched can still be read.
    Failed,
}

impl MirrorState {
    const ALL: [Self; 4] = [Self::Unlinked, Self::Pending, Self::Ready, Self::Failed];

    /// How the state is written in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unlinked => "unlinked",
            Self::Pending => "pending",
            Self::Ready => "ready",
            Self::Failed => "failed",
        }
    }

    /// Reads what [`MirrorState::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A repository that a project is linked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where the repository is, as [`RepositoryUrl`] writes it. Never holds a credential.
    pub url: String,
    /// Counts the links of the project, so that a sync that began before the last one is found out.
    pub number: i32,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Identifies the project.
    pub id: ProjectId,
    /// The team it belongs to.
    pub team: TeamId,
    /// What it is called; unique in its team.
    pub name: String,
    /// The repository, if one is linked.
    pub link: Option<Link>,
    /// How its mirror stands.
    pub state: MirrorState,
    /// The commit at the head of the default branch; none before the first sync.
    pub head: Option<CommitId>,
    /// The default branch; empty before the first sync.
    pub default_branch: String,
    /// Bytes that the mirror takes on disk.
    pub mirror_bytes: u64,
    /// When the mirror was last synced.
    pub synced_at: Option<Timestamp>,
    /// When the project was made.
    pub created_at: Timestamp,
}

impl Project {
    /// A project that is new.
    #[must_use]
    pub fn new(id: ProjectId, command: &CreateProject, now: Timestamp) -> Self {
        let link = command.repository.as_ref().map(|url| Link { url: url.to_string(), number: 1 });
        Self {
            id,
            team: command.team,
            name: command.name.as_str().to_owned(),
            state: if link.is_some() { MirrorState::Pending } else { MirrorState::Unlinked },
            link,
            head: None,
            default_branch: String::new(),
            mirror_bytes: 0,
            synced_at: None,
            created_at: now,
        }
    }

    /// Links another repository. The mirror of the former is no longer read, and dropped at the next
    /// sync; whether anything changed.
    pub fn relink(&mut self, repository: &RepositoryUrl) -> bool {
        let url = repository.to_string();
        if self.link.as_ref().is_some_and(|link| link.url == url) {
            return false;
        }
        let number = self.link.as_ref().map_or(1, |link| link.number.saturating_add(1));
        self.link = Some(Link { url, number });
        self.state = MirrorState::Pending;
        self.head = None;
        self.default_branch.clear();
        self.synced_at = None;
        true
    }

    /// The commit to read: `wanted`, or else the head of the default branch.
    ///
    /// # Errors
    /// `REPOSITORY_NOT_READY` if nothing was synced from the repository that is linked now.
    pub fn commit_to_read(&self, wanted: Option<CommitId>) -> Result<CommitId> {
        match self.synced_at {
            Some(_) => wanted.or(self.head).ok_or_else(|| Error::new(Reason::RepositoryNotReady)),
            None => Err(Error::new(Reason::RepositoryNotReady)),
        }
    }
}

/// One attempt to bring a mirror up to date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The job.
    pub job: JobId,
    /// The claim of the job, so that a lease that is over cannot write.
    pub epoch: u64,
}

/// What a sync made of a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncedMirror {
    /// The default branch, short, as it is shown; empty if the repository has no branch.
    pub default_branch: String,
    /// The commit at its head; none if the repository has no branch.
    pub head: Option<CommitId>,
    /// Bytes that the mirror takes on disk.
    pub mirror_bytes: u64,
}

/// The wish for a project.
#[derive(Clone, Debug)]
pub struct CreateProject {
    /// The team it is to belong to.
    pub team: TeamId,
    /// What it is to be called.
    pub name: Name,
    /// The repository to link.
    pub repository: Option<RepositoryUrl>,
    /// Makes a repeat harmless.
    pub idempotency_key: IdempotencyKey,
}

/// The wish to see the entries of a directory.
#[derive(Clone, Debug)]
pub struct ListTree {
    /// The project.
    pub project: ProjectId,
    /// The commit to read at; none for the head of the default branch.
    pub commit: Option<CommitId>,
    /// The directory; none for the root.
    pub directory: Option<RepositoryPath>,
    /// Whether to list everything below that is not a directory.
    pub recursive: bool,
    /// The page wanted.
    pub page: PageRequest,
}

/// The wish to see a file.
#[derive(Clone, Debug)]
pub struct ReadFile {
    /// The project.
    pub project: ProjectId,
    /// The commit to read at; none for the head of the default branch.
    pub commit: Option<CommitId>,
    /// The file.
    pub path: RepositoryPath,
    /// The first byte wanted.
    pub offset: u64,
    /// Bytes wanted; 0 means to the end.
    pub length: u64,
}

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file.
    File,
    /// A file to run.
    Executable,
    /// A directory.
    Directory,
    /// A symbolic link: shown as such, never followed.
    Symlink,
    /// A commit of another repository: never fetched.
    Submodule,
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Its path from the root of the repository.
    pub path: RepositoryPath,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes, of files and symbolic links.
    pub size: u64,
    /// The object it names, hexadecimal.
    pub object: String,
}

/// A page of a tree.
#[derive(Clone, Debug)]
pub struct TreePage {
    /// In the order of git.
    pub entries: Vec<TreeEntry>,
    /// Continues the list; empty at its end.
    pub next: String,
    /// The commit that was read.
    pub commit: CommitId,
    /// Entries of this page that were left out because their paths break the path rules.
    pub left_out: u32,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Bytes of the whole file.
    pub size: u64,
    /// The blob, hexadecimal.
    pub object: String,
    /// Whether git would call it binary.
    pub binary: bool,
    /// What the entry is.
    pub kind: EntryKind,
    /// The commit that was read.
    pub commit: CommitId,
}

/// A project was deleted: its previews end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectDeleted {
    /// The project.
    pub project: ProjectId,
    /// The team it belonged to.
    pub team: TeamId,
}

impl Event for ProjectDeleted {
    const KIND: &'static str = "project.deleted";
}

/// A mirror was brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySynced {
    /// The project.
    pub project: ProjectId,
    /// The team it belongs to.
    pub team: TeamId,
    /// What the project is called.
    pub name: String,
    /// The job that did it.
    pub job: JobId,
    /// Who asked for it, if anybody did.
    pub requester: Option<UserId>,
}

impl Event for RepositorySynced {
    const KIND: &'static str = "repository.synced";
}

/// A mirror could not be brought up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositorySyncFailed {
    /// The project.
    pub project: ProjectId,
    /// The team it belongs to.
    pub team: TeamId,
    /// What the project is called.
    pub name: String,
    /// The job that failed.
    pub job: JobId,
    /// Who asked for it, if anybody did.
    pub requester: Option<UserId>,
    /// Whether the repository itself was refused, so that trying again does not help.
    pub rejected: bool,
}

impl Event for RepositorySyncFailed {
    const KIND: &'static str = "repository.sync_failed";
}

#[cfg(test)]
mod tests {
    use hivesync_proto::repository_url::UrlPolicy;
    use uuid::Uuid;

    use super::*;

    fn url(text: &str) -> RepositoryUrl {
        RepositoryUrl::parse(text, &UrlPolicy::default()).unwrap()
    }

    fn project(repository: Option<&str>) -> Project {
        let command = CreateProject {
            team: TeamId(Uuid::from_u128(1)),
            name: Name::parse("name", "Website").unwrap(),
            repository: repository.map(url),
            idempotency_key: IdempotencyKey(Uuid::from_u128(2)),
        };
        Project::new(ProjectId(Uuid::from_u128(3)), &command, Timestamp::from_secs(1))
    }

    #[test]
    fn a_commit_is_forty_hexadecimal_digits() {
        let text = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(CommitId::parse(text).unwrap().to_string(), text);
        assert_eq!(CommitId::parse(&text.to_uppercase()).unwrap().to_string(), text);
        for refused in ["", "0123", &text.replace('0', "g"), &text.replace("01", "+1"), &format!("{text}0")] {
            assert!(CommitId::parse(refused).is_none(), "{refused}");
        }
    }

    #[test]
    fn states_are_read_as_they_are_written() {
        for state in MirrorState::ALL {
            assert_eq!(MirrorState::parse(state.as_str()), Some(state));
        }
        assert_eq!(MirrorState::parse("READY"), None);
    }

    #[test]
    fn a_project_is_read_only_after_a_sync_of_what_is_linked_now() {
        let head = CommitId([7; 20]);
        let mut project = project(Some("https://example.org/one.git"));
        assert_eq!(project.commit_to_read(Some(head)).unwrap_err().reason(), Reason::RepositoryNotReady);
        project.synced_at = Some(Timestamp::from_secs(2));
        assert_eq!(project.commit_to_read(None).unwrap_err().reason(), Reason::RepositoryNotReady);
        project.head = Some(head);
        assert_eq!(project.commit_to_read(None).unwrap(), head);
        assert_eq!(project.commit_to_read(Some(CommitId([8; 20]))).unwrap(), CommitId([8; 20]));

        assert!(!project.relink(&url("https://example.org/one.git")));
        assert_eq!(project.commit_to_read(None).unwrap(), head);
        assert!(project.relink(&url("https://example.org/two.git")));
        assert_eq!(project.link.as_ref().unwrap().number, 2);
        assert_eq!(project.state, MirrorState::Pending);
        assert_eq!(project.commit_to_read(Some(head)).unwrap_err().reason(), Reason::RepositoryNotReady);
    }

    #[test]
    fn a_project_without_a_repository_says_so() {
        let mut project = project(None);
        assert_eq!((project.state, project.link.clone()), (MirrorState::Unlinked, None));
        assert!(project.relink(&url("ssh://git@example.org/one.git")));
        assert_eq!(project.link.unwrap().number, 1);
    }
}
