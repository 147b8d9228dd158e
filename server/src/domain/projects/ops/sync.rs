//! Queues a sync of a mirror.

use super::require;
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        idempotency,
        ids::{IdempotencyKey, ProjectId},
    },
    domain::{
        access::Permission,
        audit::{self, Entry},
        jobs::{self, NewJob, OnConflict, Priority, Queued, Work},
    },
};

/// At most one job at a time works on a mirror.
pub fn concurrency_key(project: ProjectId) -> String {
    format!("mirror:{project}")
}

/// Queues a sync, or joins the one that waits already.
pub async fn sync(ctx: &Ctx, project: ProjectId, idempotency_key: IdempotencyKey) -> Result<Queued> {
    let tx = ctx.begin().await?;
    let (project, grant) = require(ctx, &tx, project, Permission::SyncRepository).await?;
    if project.link.is_none() {
        return Err(Error::new(Reason::RepositoryNotReady));
    }
    let job = NewJob {
        work: Work::RepoSync { project: project.id },
        team: project.team,
        project: Some(project.id),
        priority: Priority::Interactive,
        concurrency_key: Some(concurrency_key(project.id)),
        on_conflict: OnConflict::Coalesce,
        requested_by: grant.user(),
    };
    let queued = jobs::enqueue(ctx, &tx, job).await?;
    let request = [project.id.to_string()];
    let earlier = idempotency::claim(ctx, &tx, idempotency_key, &[&request[0]], queued.job.id.0).await?;
    if let Some(earlier) = earlier {
        let job = jobs::find(&tx, earlier.into()).await?.ok_or_else(Error::not_found)?;
        // Whether the first try queued it or joined it is not kept.
        return Ok(Queued { job, joined: true });
    }
    let entry = Entry::new("repository.sync_requested").team(project.team).project(project.id);
    audit::append(ctx, &tx, entry.subject(queued.job.id.0));
    tx.commit().await?;
    Ok(queued)
}
