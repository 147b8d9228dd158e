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
        jobs::OnConflict,
        projects::{
            model::ProjectDeleted,
            ops::cleanup::{CLEANUP_AGAIN_AFTER, queue_cleanup},
            store,
        },
    },
};

/// Deletes a project. Its mirror and its previews follow. Deleting it again changes nothing.
pub async fn delete(ctx: &Ctx, project: ProjectId) -> Result<()> {
    let tx = ctx.begin().await?;
    let team = store::team_of(&tx, project).await?.ok_or_else(Error::not_found)?;
    let grant = access::require(ctx, &tx, team, Permission::DeleteProject).await?;
    if store::find(&tx, project).await?.is_none() {
        return Ok(());
    }
    // A sync that runs would bring back what is removed. Its job comes before its project, as it does where a sync
    // ends: neither waits for the other while that one waits for it.
    queue_cleanup(ctx, &tx, (project, team), OnConflict::CancelInProgress, grant.user()).await?;
    let now = ctx.clock.now();
    if !store::delete(&tx, &grant, project, now, now + CLEANUP_AGAIN_AFTER).await? {
        return Ok(());
    }
    outbox::emit(ctx, &tx, &ProjectDeleted { project, team }).await?;
    audit::append(ctx, &tx, Entry::new("project.deleted").team(team).project(project));
    tx.commit().await
}
