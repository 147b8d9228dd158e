//! Creates a project.

use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        idempotency,
        ids::ProjectId,
    },
    domain::{
        access::{self, Permission},
        audit::{self, Entry},
        projects::{
            model::{CreateProject, PROJECTS_MAX, Project},
            store,
        },
        teams,
    },
};

/// Creates a project, or returns the one that an earlier call with the same key created.
pub async fn create(ctx: &Ctx, command: CreateProject) -> Result<Project> {
    let now = ctx.clock.now();
    let project = Project::new(ProjectId(ctx.entropy.uuid(now)?), &command, now);
    let url = project.link.as_ref().map(|link| link.url.as_str()).unwrap_or_default();
    let request = [&project.team.to_string(), project.name.as_str(), url];

    let tx = ctx.begin().await?;
    let grant = access::require(ctx, &tx, command.team, Permission::WriteProject).await?;
    let earlier = idempotency::claim(ctx, &tx, command.idempotency_key, &request, project.id.0).await?;
    if let Some(earlier) = earlier {
        return store::find(&tx, earlier.into()).await?.ok_or_else(Error::not_found);
    }
    teams::lock(&tx, command.team).await?;
    if store::count(&tx, command.team).await? >= PROJECTS_MAX {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    store::insert(&tx, &grant, &project).await?;
    audit::append(ctx, &tx, Entry::new("project.created").team(project.team).project(project.id));
    tx.commit().await?;
    Ok(project)
}
