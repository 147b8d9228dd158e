//! Deletes a project.

use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Result},
        ids::ProjectId,
        outbox,
    },
    domain::{
        access::{self, Permission},
        audit::{self, Entry},
        jobs::{self, NewJob, OnConflict, Priority, Work},
        projects::{model::ProjectDeleted, store},
    },
};

/// Deletes a project. Its mirror and its previews follow. Deleting it again changes nothing.
pub async fn delete(ctx: &Ctx, project: ProjectId) -> Result<()> {
    let tx = ctx.begin().await?;
    let team = store::team_of(&tx, project).await?.ok_or_else(Error::not_found)?;
    let grant = access::require(ctx, &tx, team, Permission::WriteProject).await?;
    if !store::delete(&tx, &grant, project, ctx.clock.now()).await? {
        return Ok(());
    }
    let cleanup = NewJob {
        work: Work::Cleanup { projects: vec![project] },
        team,
        project: Some(project),
        priority: Priority::Background,
        concurrency_key: Some(super::sync::concurrency_key(project)),
        // A sync that runs would bring back what is removed.
        on_conflict: OnConflict::CancelInProgress,
        requested_by: grant.user(),
    };
    outbox::emit(ctx, &tx, &ProjectDeleted { project, team }).await?;
    jobs::enqueue(ctx, &tx, cleanup).await?;
    audit::append(ctx, &tx, Entry::new("project.deleted").team(team).project(project)).await?;
    tx.commit().await
}
