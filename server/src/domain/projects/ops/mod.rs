//! What can be done with projects.

mod cleanup;
mod create;
mod delete;
mod link;
mod read;
mod sync;

pub use cleanup::sweep;
pub(super) use create::create;
pub(super) use delete::delete;
pub(super) use link::link;
pub(super) use read::{list_commits, list_tree, read_file};
pub(super) use sync::sync;

use super::{model::Project, store};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Result},
        ids::{ProjectId, TeamId},
        page::{Page, PageRequest},
    },
    domain::access::{self, Grant, Permission},
};

/// Requires that the caller has `permission` in the team of a project.
///
/// # Errors
/// `NOT_FOUND` if there is no such project or the caller is not in its team, `PERMISSION_DENIED` for a
/// member whose role does not suffice.
pub async fn require(
    ctx: &Ctx,
    tx: &Tx,
    project: ProjectId,
    permission: Permission,
) -> Result<(Project, Grant)> {
    let project = store::find(tx, project).await?.ok_or_else(Error::not_found)?;
    let grant = access::require(ctx, tx, project.team, permission).await?;
    Ok((project, grant))
}

/// A project.
pub(super) async fn get(ctx: &Ctx, project: ProjectId) -> Result<Project> {
    let (project, _) = require(ctx, &ctx.read(), project, Permission::ReadProject).await?;
    Ok(project)
}

/// The projects of a team, oldest first.
pub(super) async fn list(ctx: &Ctx, team: TeamId, page: PageRequest) -> Result<Page<Project>> {
    let tx = ctx.read();
    access::require(ctx, &tx, team, Permission::ReadProject).await?;
    let scope = format!("projects:{team}");
    let after = page.after(ctx, &scope)?.and_then(|key| Some(uuid::Uuid::from_slice(&key).ok()?.into()));
    let projects = store::list(&tx, team, after, page.size.saturating_add(1)).await?;
    Page::cut(ctx, &scope, &page, projects, |last| last.id.0.into_bytes().to_vec())
}
