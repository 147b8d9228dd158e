//! `hivesync.v1.ProjectService`.

use futures::{StreamExt as _, stream};
use hivesync_proto::{
    path::RepositoryPath,
    repository_url::{RepositoryScheme, RepositoryUrl, UrlPolicy},
    v1::{self as pb, read_file_response::Part},
};
use tonic::{Request, Response, Status};

use super::{
    mirror::Mirrors,
    model::{
        Commit, CommitId, CommitPage, CreateProject, EntryKind, FileHeader, ListCommits, ListTree,
        MirrorState, Project, ReadFile, TreeEntry, TreePage,
    },
    ops,
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        ids::{IdempotencyKey, ProjectId, TeamId},
        page::PageRequest,
        rpc::{Responses, serve, serve_stream},
    },
    domain::users::Name,
};

/// Entries of a tree on a page if the caller does not say, and at most.
const TREE_PAGE_SIZES: (u32, u32) = (200, 1_000);

/// The service.
#[derive(Clone)]
pub struct Rpc {
    mirrors: Mirrors,
}

impl Rpc {
    /// The service, reading `mirrors`.
    #[must_use]
    pub const fn new(mirrors: Mirrors) -> Self {
        Self { mirrors }
    }
}

#[tonic::async_trait]
impl pb::project_service_server::ProjectService for Rpc {
    async fn create_project(
        &self,
        request: Request<pb::CreateProjectRequest>,
    ) -> Result<Response<pb::Project>, Status> {
        serve(request, |ctx, message| async move {
            let command = CreateProject {
                team: TeamId::parse("team_id", &message.team_id)?,
                name: Name::parse("name", &message.name)?,
                repository: match message.repository_url.as_str() {
                    "" => None,
                    url => Some(parse_url(&ctx, url)?),
                },
                idempotency_key: IdempotencyKey::parse("idempotency_key", &message.idempotency_key)?,
            };
            Ok(ops::create(&ctx, command).await?.into())
        })
        .await
    }

    async fn get_project(
        &self,
        request: Request<pb::GetProjectRequest>,
    ) -> Result<Response<pb::Project>, Status> {
        serve(request, |ctx, message| async move {
            Ok(ops::get(&ctx, parse_project(&message.project_id)?).await?.into())
        })
        .await
    }

    async fn list_projects(
        &self,
        request: Request<pb::ListProjectsRequest>,
    ) -> Result<Response<pb::ListProjectsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            let page = PageRequest::new(message.page_size, message.page_token);
            let page = ops::list(&ctx, team, page).await?;
            Ok(pb::ListProjectsResponse {
                projects: page.items.into_iter().map(Into::into).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }

    async fn link_repository(
        &self,
        request: Request<pb::LinkRepositoryRequest>,
    ) -> Result<Response<pb::Project>, Status> {
        serve(request, |ctx, message| async move {
            let project = parse_project(&message.project_id)?;
            let repository = parse_url(&ctx, &message.repository_url)?;
            Ok(ops::link(&ctx, project, &repository).await?.into())
        })
        .await
    }

    async fn delete_project(
        &self,
        request: Request<pb::DeleteProjectRequest>,
    ) -> Result<Response<pb::DeleteProjectResponse>, Status> {
        serve(request, |ctx, message| async move {
            ops::delete(&ctx, parse_project(&message.project_id)?).await?;
            Ok(pb::DeleteProjectResponse {})
        })
        .await
    }

    async fn sync_repository(
        &self,
        request: Request<pb::SyncRepositoryRequest>,
    ) -> Result<Response<pb::Job>, Status> {
        serve(request, |ctx, message| async move {
            let project = parse_project(&message.project_id)?;
            Ok(ops::sync(&ctx, project, IdempotencyKey::parse("idempotency_key", &message.idempotency_key)?)
                .await?
                .into())
        })
        .await
    }

    async fn list_tree(
        &self,
        request: Request<pb::ListTreeRequest>,
    ) -> Result<Response<pb::ListTreeResponse>, Status> {
        serve(request, |ctx, message| async move {
            let (size_default, size_max) = TREE_PAGE_SIZES;
            let query = ListTree {
                project: parse_project(&message.project_id)?,
                commit: parse_commit(&message.commit)?,
                directory: match message.path.as_str() {
                    "" => None,
                    path => Some(parse_path(path)?),
                },
                recursive: message.recursive,
                page: PageRequest::with_sizes(message.page_size, message.page_token, size_default, size_max),
            };
            Ok(ops::list_tree(&ctx, &self.mirrors, query).await?.into())
        })
        .await
    }

    type ReadFileStream = Responses<pb::ReadFileResponse>;

    async fn read_file(
        &self,
        request: Request<pb::ReadFileRequest>,
    ) -> Result<Response<Self::ReadFileStream>, Status> {
        serve_stream(request, |ctx, message| async move {
            let query = ReadFile {
                project: parse_project(&message.project_id)?,
                commit: parse_commit(&message.commit)?,
                path: parse_path(&message.path)?,
                offset: message.offset,
                length: message.length,
            };
            let (header, chunks) = ops::read_file(&ctx, &self.mirrors, query).await?;
            let header = stream::iter([Ok(render(Part::Header(header.into())))]);
            Ok(header.chain(chunks.map(|chunk| Ok(render(Part::Chunk(chunk?.into()))))))
        })
        .await
    }

    async fn list_commits(
        &self,
        request: Request<pb::ListCommitsRequest>,
    ) -> Result<Response<pb::ListCommitsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let query = ListCommits {
                project: parse_project(&message.project_id)?,
                commit: parse_commit(&message.commit)?,
                page: PageRequest::new(message.page_size, message.page_token),
            };
            Ok(ops::list_commits(&ctx, &self.mirrors, query).await?.into())
        })
        .await
    }
}

fn render(part: Part) -> pb::ReadFileResponse {
    pb::ReadFileResponse { part: Some(part) }
}

fn parse_project(id: &str) -> Result<ProjectId> {
    ProjectId::parse("project_id", id)
}

fn parse_url(ctx: &Ctx, url: &str) -> Result<RepositoryUrl> {
    let refused = |why: String| Error::new(Reason::InvalidRepositoryUrl).at("repository_url", why);
    let policy = UrlPolicy {
        allow_file: ctx.config.environment.is_local(),
        allowed_ports: ctx.config.repository_ports.clone(),
    };
    let url = RepositoryUrl::parse(url, &policy).map_err(|error| refused(error.to_string()))?;
    if url.scheme() == RepositoryScheme::Ssh {
        // Workers could not fetch it, and the user would hear of it minutes later.
        return Err(refused(
            "ssh needs a deploy key, and projects have none: link the https address".to_owned(),
        ));
    }
    Ok(url)
}

fn parse_path(path: &str) -> Result<RepositoryPath> {
    RepositoryPath::parse(path).map_err(|error| Error::new(Reason::InvalidPath).at("path", error.to_string()))
}

fn parse_commit(commit: &str) -> Result<Option<CommitId>> {
    match commit {
        "" => Ok(None),
        text => match CommitId::parse(text) {
            Some(commit) => Ok(Some(commit)),
            None => Err(Error::invalid("commit", "must be 40 hexadecimal digits")),
        },
    }
}

impl From<Project> for pb::Project {
    fn from(project: Project) -> Self {
        Self {
            id: project.id.to_string(),
            team_id: project.team.to_string(),
            name: project.name,
            repository_url: project.link.map(|link| link.url).unwrap_or_default(),
            mirror_state: pb::MirrorState::from(project.state).into(),
            head_commit: project.head.map(|head| head.to_string()).unwrap_or_default(),
            default_branch: project.default_branch,
            mirror_bytes: project.mirror_bytes,
            synced_at: project.synced_at.map(Into::into),
            created_at: Some(project.created_at.into()),
        }
    }
}

impl From<MirrorState> for pb::MirrorState {
    fn from(state: MirrorState) -> Self {
        match state {
            MirrorState::Unlinked => Self::Unlinked,
            MirrorState::Pending => Self::Pending,
            MirrorState::Ready => Self::Ready,
            MirrorState::Failed => Self::Failed,
        }
    }
}

impl From<EntryKind> for pb::TreeEntryKind {
    fn from(kind: EntryKind) -> Self {
        match kind {
            EntryKind::File => Self::File,
            EntryKind::Executable => Self::Executable,
            EntryKind::Directory => Self::Directory,
            EntryKind::Symlink => Self::Symlink,
            EntryKind::Submodule => Self::Submodule,
        }
    }
}

impl From<TreePage> for pb::ListTreeResponse {
    fn from(page: TreePage) -> Self {
        Self {
            entries: page.entries.into_iter().map(Into::into).collect(),
            next_page_token: page.next,
            commit: page.commit.to_string(),
            left_out: page.left_out,
        }
    }
}

impl From<TreeEntry> for pb::TreeEntry {
    fn from(entry: TreeEntry) -> Self {
        Self {
            path: entry.path.as_str().to_owned(),
            kind: pb::TreeEntryKind::from(entry.kind).into(),
            size: entry.size,
            object_id: entry.object,
        }
    }
}

impl From<CommitPage> for pb::ListCommitsResponse {
    fn from(page: CommitPage) -> Self {
        Self {
            commits: page.commits.into_iter().map(Into::into).collect(),
            next_page_token: page.next,
            commit: page.commit.to_string(),
            truncated: page.truncated,
        }
    }
}

impl From<Commit> for pb::Commit {
    fn from(commit: Commit) -> Self {
        Self {
            id: commit.id.to_string(),
            parent_ids: commit.parents.iter().map(CommitId::to_string).collect(),
            author_name: commit.author_name,
            authored_at: commit.authored_at.map(Into::into),
            committed_at: commit.committed_at.map(Into::into),
            subject: commit.subject,
            body: commit.body,
            shortened: commit.shortened,
        }
    }
}

impl From<FileHeader> for pb::FileHeader {
    fn from(header: FileHeader) -> Self {
        Self {
            size: header.size,
            object_id: header.object,
            binary: header.binary,
            kind: pb::TreeEntryKind::from(header.kind).into(),
            commit: header.commit.to_string(),
        }
    }
}
