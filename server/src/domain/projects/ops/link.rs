//! Links a repository to a project.

use hivesync_proto::repository_url::RepositoryUrl;

use super::require;
use crate::{
    base::{ctx::Ctx, error::Result, ids::ProjectId},
    domain::{
        access::Permission,
        audit::{self, Entry},
        projects::{model::Project, store},
    },
};

/// Links `repository`. Linking what is linked already changes nothing.
pub async fn link(ctx: &Ctx, project: ProjectId, repository: &RepositoryUrl) -> Result<Project> {
    let tx = ctx.begin().await?;
    let (mut project, grant) = require(ctx, &tx, project, Permission::WriteProject).await?;
    if project.relink(repository) {
        store::relink(&tx, &grant, &project).await?;
        audit::append(ctx, &tx, Entry::new("repository.linked").team(project.team).project(project.id));
        tx.commit().await?;
    }
    Ok(project)
}
