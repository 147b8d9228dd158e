//! Projects and what is in their mirrors.

use std::{sync::Arc, time::SystemTime};

use hivesync::projects::{FileQuery, TreeQuery};

use crate::{
    argument::id,
    cancel::CancelHandle,
    client::HiveSync,
    client_enum::client_enum,
    error::HiveSyncError,
    jobs::Job,
    page::{request, split},
    runtime::run,
};

/// The largest piece of a file that is read at once, in bytes.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

client_enum! {
    /// How a mirror stands.
    MirrorState = hivesync::projects::MirrorState {
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

client_enum! {
    /// What an entry of a tree is.
    TreeEntryKind = hivesync::projects::TreeEntryKind {
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

/// A project: a repository that a team linked, and the mirror HiveSync keeps of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Project {
    /// Identifies the project.
    pub id: String,
    /// The team it belongs to.
    pub team_id: String,
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
    pub synced_at: Option<SystemTime>,
    /// When the project was made.
    pub created_at: SystemTime,
}

/// A part of a list of projects.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ProjectPage {
    /// The projects, oldest first.
    pub items: Vec<Project>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
}

/// An entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
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

/// A part of a tree.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TreePage {
    /// The entries, in the order of git.
    pub items: Vec<TreeEntry>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
    /// The commit that was read (hexadecimal).
    pub commit: String,
    /// Entries of this page that were left out because their paths break the path rules.
    pub left_out: u32,
}

/// A file of a mirror, or a piece of it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FileContent {
    /// The bytes that were asked for; of a symbolic link, its target.
    pub bytes: Vec<u8>,
    /// Bytes of the whole file.
    pub size: u64,
    /// The blob (hexadecimal).
    pub object_id: String,
    /// Whether it is binary, as git tells.
    pub binary: bool,
    /// What the entry is.
    pub kind: TreeEntryKind,
    /// The commit that was read (hexadecimal).
    pub commit: String,
}

#[uniffi::export]
impl HiveSync {
    /// Creates a project in a team, with or without a repository. Its name has 1 to 100 characters and is
    /// unique in the team.
    #[uniffi::method(default(repository_url = None, cancel = None))]
    pub async fn create_project(
        &self,
        team_id: String,
        name: String,
        repository_url: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Project, HiveSyncError> {
        let (projects, team_id) = (self.client().projects(), id("team_id", &team_id)?);
        run(cancel, async move {
            projects.create(team_id, &name, repository_url.as_deref()).await.map(Project::from)
        })
        .await
    }

    /// One project.
    #[uniffi::method(default(cancel = None))]
    pub async fn get_project(
        &self,
        project_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Project, HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        run(cancel, async move { projects.get(project_id).await.map(Project::from) }).await
    }

    /// A page of a team's projects, oldest first; at most 200, and as many as the server likes if `size` is 0.
    #[uniffi::method(default(size = 0, token = None, cancel = None))]
    pub async fn list_projects(
        &self,
        team_id: String,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<ProjectPage, HiveSyncError> {
        let (projects, team_id) = (self.client().projects(), id("team_id", &team_id)?);
        run(cancel, async move {
            let (items, next) = split(projects.list(team_id, request(size, token)).await?);
            Ok(ProjectPage { items, next })
        })
        .await
    }

    /// Links a repository to a project, or another one.
    #[uniffi::method(default(cancel = None))]
    pub async fn link_repository(
        &self,
        project_id: String,
        repository_url: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Project, HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        run(cancel, async move { projects.link(project_id, &repository_url).await.map(Project::from) }).await
    }

    /// Deletes a project with its mirror and its previews.
    #[uniffi::method(default(cancel = None))]
    pub async fn delete_project(
        &self,
        project_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<(), HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        run(cancel, async move { projects.delete(project_id).await }).await
    }

    /// Queues a sync of a mirror. Gives the job to watch, which is the one that waits already if there is one.
    #[uniffi::method(default(cancel = None))]
    pub async fn sync_repository(
        &self,
        project_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Job, HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        run(cancel, async move { projects.sync(project_id).await.map(Job::from) }).await
    }

    /// A page of a directory of a mirror, at most 1,000 entries: the root if `path` is empty, of the head of
    /// the default branch unless a `commit` (40 hexadecimal digits) is named. `recursive` lists everything
    /// below it that is not a directory.
    #[uniffi::method(default(path = "", commit = None, recursive = false, size = 0, token = None, cancel = None))]
    #[allow(clippy::too_many_arguments, reason = "languages with default arguments name those they give")]
    pub async fn list_tree(
        &self,
        project_id: String,
        path: String,
        commit: Option<String>,
        recursive: bool,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<TreePage, HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        let query = TreeQuery { commit, path, recursive };
        run(cancel, async move {
            projects.tree(project_id, &query, request(size, token)).await.map(TreePage::from)
        })
        .await
    }

    /// Reads a file of a mirror, or `length` bytes of it from `offset` on; a length of 0 means to the end.
    /// At most 8 MiB at a time.
    #[uniffi::method(default(commit = None, offset = 0, length = 0, cancel = None))]
    pub async fn read_file(
        &self,
        project_id: String,
        path: String,
        commit: Option<String>,
        offset: u64,
        length: u64,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<FileContent, HiveSyncError> {
        let (projects, project_id) = (self.client().projects(), id("project_id", &project_id)?);
        let query = FileQuery { commit, offset, length };
        run(cancel, async move {
            let file = projects.read_file(project_id, &path, query).await?;
            let header = file.header().clone();
            let bytes = file.read_all(READ_BYTES_MAX).await?;
            Ok(FileContent {
                bytes: bytes.into(),
                size: header.size,
                object_id: header.object_id,
                binary: header.binary,
                kind: header.kind.into(),
                commit: header.commit,
            })
        })
        .await
    }
}

impl From<hivesync::projects::Project> for Project {
    fn from(project: hivesync::projects::Project) -> Self {
        Self {
            id: project.id.to_string(),
            team_id: project.team_id.to_string(),
            name: project.name,
            repository_url: project.repository_url,
            mirror_state: project.mirror_state.into(),
            head_commit: project.head_commit,
            default_branch: project.default_branch,
            mirror_bytes: project.mirror_bytes,
            synced_at: project.synced_at.map(SystemTime::from),
            created_at: project.created_at.into(),
        }
    }
}

impl From<hivesync::projects::TreeEntry> for TreeEntry {
    fn from(entry: hivesync::projects::TreeEntry) -> Self {
        Self { path: entry.path, kind: entry.kind.into(), size: entry.size, object_id: entry.object_id }
    }
}

impl From<hivesync::projects::TreePage> for TreePage {
    fn from(tree: hivesync::projects::TreePage) -> Self {
        let (items, next) = split(tree.page);
        Self { items, next, commit: tree.commit, left_out: tree.left_out }
    }
}
