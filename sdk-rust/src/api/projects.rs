//! Projects: a Git repository that a team linked, and the mirror HiveSync keeps of it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt as _};
use hivesync_proto::v1::{self as pb, read_file_response::Part};
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{jobs::Job, rpc};
use crate::{
    core::Core,
    entropy,
    error::{Error, Result},
    page::{self, Page, PageRequest},
    transport::answers::Answers,
    wire::{self, wire_enum},
};

wire_enum! {
    /// How the mirror stands.
    MirrorState = MirrorState {
        /// No repository is linked.
        Unlinked,
        /// Linked and never synced.
        Pending,
        /// The last sync succeeded.
        Ready,
        /// The last sync failed; what an earlier one fetched can still be read.
        Failed,
    }
}

wire_enum! {
    /// What an entry of a tree is.
    TreeEntryKind = TreeEntryKind {
        /// A file.
        File,
        /// A file that can be run.
        Executable,
        /// A directory.
        Directory,
        /// A symbolic link: shown as such, never followed.
        Symlink,
        /// A commit of another repository: never fetched.
        Submodule,
    }
}

/// A project.
#[derive(Clone, Debug, Serialize)]
pub struct Project {
    /// Identifies the project.
    pub id: Uuid,
    /// The team it belongs to.
    pub team_id: Uuid,
    /// What it is called; unique in its team.
    pub name: String,
    /// Where its repository is, if one is linked.
    pub repository_url: Option<String>,
    /// How its mirror stands.
    pub mirror_state: MirrorState,
    /// The commit at the head of the default branch (hexadecimal), once synced.
    pub head_commit: Option<String>,
    /// The default branch, once synced.
    pub default_branch: Option<String>,
    /// Bytes that the mirror takes on disk.
    pub mirror_bytes: u64,
    /// When the mirror was last synced.
    #[serde(with = "time::serde::rfc3339::option")]
    pub synced_at: Option<OffsetDateTime>,
    /// When the project was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// What part of a mirror to list.
#[derive(Clone, Debug, Default)]
pub struct TreeQuery {
    /// The commit (40 hexadecimal digits); `None` for the head of the default branch.
    pub commit: Option<String>,
    /// The directory; empty for the root.
    pub path: String,
    /// Whether to list everything below it; only what is not a directory is listed then.
    pub recursive: bool,
}

/// An entry of a tree.
#[derive(Clone, Debug, Serialize)]
pub struct TreeEntry {
    /// Its path from the root of the repository.
    pub path: String,
    /// What it is.
    pub kind: TreeEntryKind,
    /// Bytes, of files.
    pub size: u64,
    /// The object it names (hexadecimal).
    pub object_id: String,
}

/// A page of a tree.
#[derive(Clone, Debug, Serialize)]
pub struct TreePage {
    /// The entries, in the order of git.
    #[serde(flatten)]
    pub page: Page<TreeEntry>,
    /// The commit that was read (hexadecimal).
    pub commit: String,
    /// Entries of this page that were left out because their paths break the path rules.
    pub left_out: u32,
}

/// What part of a file to read.
#[derive(Clone, Debug, Default)]
pub struct FileQuery {
    /// The commit (40 hexadecimal digits); `None` for the head of the default branch.
    pub commit: Option<String>,
    /// The first byte wanted.
    pub offset: u64,
    /// Bytes wanted; 0 means to the end.
    pub length: u64,
}

/// What a file is.
#[derive(Clone, Debug, Serialize)]
pub struct FileHeader {
    /// Bytes of the whole file.
    pub size: u64,
    /// The blob (hexadecimal).
    pub object_id: String,
    /// Whether it is binary, as git tells.
    pub binary: bool,
    /// What the entry is; of a symbolic link, the bytes are its target.
    pub kind: TreeEntryKind,
    /// The commit that was read (hexadecimal).
    pub commit: String,
}

/// A commit. Its texts are what somebody wrote into it.
#[derive(Clone, Debug, Serialize)]
pub struct Commit {
    /// The commit (hexadecimal).
    pub id: String,
    /// What it directly descends from (hexadecimal), in the order of git; at most 64.
    pub parent_ids: Vec<String>,
    /// The name of its author, by the author's own account.
    pub author_name: String,
    /// When it was written, by the author's clock, if that shows a time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub authored_at: Option<OffsetDateTime>,
    /// When it was made, by the committer's clock, if that shows a time.
    #[serde(with = "time::serde::rfc3339::option")]
    pub committed_at: Option<OffsetDateTime>,
    /// The first line of its message.
    pub subject: String,
    /// The rest of its message.
    pub body: String,
    /// Whether any of this was shortened.
    pub shortened: bool,
}

/// A page of commits.
#[derive(Clone, Debug, Serialize)]
pub struct CommitPage {
    /// The commits, newest first.
    #[serde(flatten)]
    pub page: Page<Commit>,
    /// The commit that the list begins with (hexadecimal).
    pub commit: String,
    /// Whether the list ends here although there is more; the parents of the last commit begin what follows.
    pub truncated: bool,
}

/// Calls about projects.
#[derive(Clone)]
pub struct Projects(pub(crate) Core);

impl Projects {
    /// Creates a project in a team, with or without a repository. Its name has 1 to 100 characters and is
    /// unique in the team.
    pub async fn create(&self, team_id: Uuid, name: &str, repository_url: Option<&str>) -> Result<Project> {
        let request = pb::CreateProjectRequest {
            team_id: team_id.to_string(),
            name: name.to_owned(),
            repository_url: repository_url.unwrap_or_default().to_owned(),
            idempotency_key: entropy::id().to_string(),
        };
        self.0.unary::<rpc::CreateProject>(request).await.and_then(Project::from_wire)
    }

    /// One project.
    pub async fn get(&self, project_id: Uuid) -> Result<Project> {
        let request = pb::GetProjectRequest { project_id: project_id.to_string() };
        self.0.unary::<rpc::GetProject>(request).await.and_then(Project::from_wire)
    }

    /// A page of a team's projects, oldest first; at most 200.
    pub async fn list(&self, team_id: Uuid, page: PageRequest) -> Result<Page<Project>> {
        let request = pb::ListProjectsRequest {
            team_id: team_id.to_string(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListProjects>(request).await?;
        Page::new(response.projects, response.next_page_token, Project::from_wire)
    }

    /// All projects of a team, oldest first.
    pub fn all(&self, team_id: Uuid) -> impl Stream<Item = Result<Project>> + use<'_> {
        page::stream(move |page| self.list(team_id, page))
    }

    /// Links a repository, or another one. `https://` or `ssh://`; with a local server also `file://`.
    pub async fn link(&self, project_id: Uuid, repository_url: &str) -> Result<Project> {
        let request = pb::LinkRepositoryRequest {
            project_id: project_id.to_string(),
            repository_url: repository_url.to_owned(),
        };
        self.0.unary::<rpc::LinkRepository>(request).await.and_then(Project::from_wire)
    }

    /// Deletes a project with its mirror and its previews.
    pub async fn delete(&self, project_id: Uuid) -> Result<()> {
        let request = pb::DeleteProjectRequest { project_id: project_id.to_string() };
        self.0.unary::<rpc::DeleteProject>(request).await.map(drop)
    }

    /// Queues a sync of the mirror and returns the job to watch, which is the one that waits already if
    /// there is one.
    pub async fn sync(&self, project_id: Uuid) -> Result<Job> {
        let request = pb::SyncRepositoryRequest {
            project_id: project_id.to_string(),
            idempotency_key: entropy::id().to_string(),
        };
        self.0.unary::<rpc::SyncRepository>(request).await.and_then(Job::from_wire)
    }

    /// A page of a directory of the mirror; at most 1,000 entries.
    pub async fn tree(&self, project_id: Uuid, query: &TreeQuery, page: PageRequest) -> Result<TreePage> {
        let request = pb::ListTreeRequest {
            project_id: project_id.to_string(),
            commit: query.commit.clone().unwrap_or_default(),
            path: query.path.clone(),
            recursive: query.recursive,
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListTree>(request).await?;
        Ok(TreePage {
            page: Page::new(response.entries, response.next_page_token, TreeEntry::from_wire)?,
            commit: response.commit,
            left_out: response.left_out,
        })
    }

    /// All entries of a directory of the mirror, all of the same commit.
    pub fn all_tree(
        &self,
        project_id: Uuid,
        query: TreeQuery,
    ) -> impl Stream<Item = Result<TreeEntry>> + use<'_> {
        let commit = std::sync::Arc::new(std::sync::OnceLock::new());
        page::stream(move |page| {
            let (commit, mut query) = (commit.clone(), query.clone());
            async move {
                query.commit = query.commit.or_else(|| commit.get().cloned());
                let tree = self.tree(project_id, &query, page).await?;
                let _ = commit.set(tree.commit);
                Ok(tree.page)
            }
        })
    }

    /// A page of the log of a commit (40 hexadecimal digits), or of the head of the default branch: the
    /// commit and what it descends from, newest first; at most 200. For further pages, name the commit that
    /// the first begins with.
    pub async fn commits(
        &self,
        project_id: Uuid,
        commit: Option<&str>,
        page: PageRequest,
    ) -> Result<CommitPage> {
        let request = pb::ListCommitsRequest {
            project_id: project_id.to_string(),
            commit: commit.unwrap_or_default().to_owned(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListCommits>(request).await?;
        Ok(CommitPage {
            page: Page::new(response.commits, response.next_page_token, Commit::from_wire)?,
            commit: response.commit,
            truncated: response.truncated,
        })
    }

    /// Reads a file of the mirror. The bytes arrive as they are asked for.
    pub async fn read_file(&self, project_id: Uuid, path: &str, query: FileQuery) -> Result<FileReader> {
        let request = pb::ReadFileRequest {
            project_id: project_id.to_string(),
            commit: query.commit.unwrap_or_default(),
            path: path.to_owned(),
            offset: query.offset,
            length: query.length,
        };
        let mut stream = self.0.server_streaming::<rpc::ReadFile>(request, FILE_DEADLINE).await?;
        let first = stream.message().await.map_err(|status| Error::from_status(&status))?;
        match first.and_then(|response| response.part) {
            Some(Part::Header(header)) => Ok(FileReader { header: FileHeader::from_wire(header), stream }),
            _ => Err(wire::broken()),
        }
    }
}

/// The longest that reading a file may take.
const FILE_DEADLINE: std::time::Duration = std::time::Duration::from_secs(300);

/// A file of a mirror while it is read: a stream of its bytes.
pub struct FileReader {
    header: FileHeader,
    stream: Answers<pb::ReadFileResponse>,
}

impl FileReader {
    /// What the file is.
    pub fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The rest of the bytes, if they are at most `bytes_max`.
    pub async fn read_all(mut self, bytes_max: usize) -> Result<Bytes> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.try_next().await? {
            if all.len() + chunk.len() > bytes_max {
                return Err(Error::invalid(
                    "path",
                    format!("The file is larger than {bytes_max} bytes. Read it in parts."),
                ));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }
}

impl Stream for FileReader {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.stream).poll_next(context));
        Poll::Ready(next.map(|message| match message {
            Ok(pb::ReadFileResponse { part: Some(Part::Chunk(chunk)) }) => Ok(chunk.into()),
            Ok(_) => Err(wire::broken()),
            Err(status) => Err(Error::from_status(&status)),
        }))
    }
}

impl Project {
    fn from_wire(project: pb::Project) -> Result<Self> {
        Ok(Self {
            id: wire::id(&project.id)?,
            team_id: wire::id(&project.team_id)?,
            name: project.name,
            repository_url: wire::optional_text(project.repository_url),
            mirror_state: MirrorState::from_wire(project.mirror_state),
            head_commit: wire::optional_text(project.head_commit),
            default_branch: wire::optional_text(project.default_branch),
            mirror_bytes: project.mirror_bytes,
            synced_at: wire::optional_time(project.synced_at)?,
            created_at: wire::time(project.created_at)?,
        })
    }
}

impl TreeEntry {
    fn from_wire(entry: pb::TreeEntry) -> Result<Self> {
        let kind = TreeEntryKind::from_wire(entry.kind);
        Ok(Self { path: entry.path, kind, size: entry.size, object_id: entry.object_id })
    }
}

impl Commit {
    fn from_wire(commit: pb::Commit) -> Result<Self> {
        Ok(Self {
            id: commit.id,
            parent_ids: commit.parent_ids,
            author_name: commit.author_name,
            authored_at: wire::optional_time(commit.authored_at)?,
            committed_at: wire::optional_time(commit.committed_at)?,
            subject: commit.subject,
            body: commit.body,
            shortened: commit.shortened,
        })
    }
}

impl FileHeader {
    fn from_wire(header: pb::FileHeader) -> Self {
        Self {
            size: header.size,
            object_id: header.object_id,
            binary: header.binary,
            kind: TreeEntryKind::from_wire(header.kind),
            commit: header.commit,
        }
    }
}
