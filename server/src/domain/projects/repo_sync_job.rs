//! Brings a mirror up to date, by a worker.

use async_trait::async_trait;

use super::{
    model::{CommitId, Project, RepositorySyncFailed, RepositorySynced, Sync, SyncedMirror, shown},
    store,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::ProjectId,
        outbox,
    },
    domain::{
        access::Grant,
        audit::{self, Entry},
        jobs::{Job, JobHandler, JobKind, LeasedWork, Outcome, Work},
    },
};

/// Of the name of a branch, this much is shown: as much as the contract takes.
const BRANCH_CHARS_MAX: usize = 1_024;

/// The handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct RepoSyncJob;

#[async_trait]
impl JobHandler for RepoSyncJob {
    fn kind(&self) -> JobKind {
        JobKind::RepoSync
    }

    /// What is fetched is what is linked now: the project may have been linked anew while the job waited.
    async fn prepare(&self, ctx: &Ctx, job: &Job) -> Result<LeasedWork> {
        let tx = ctx.begin().await?;
        let project = store::find(&tx, project_of(job)?).await?.ok_or_else(Error::not_found)?;
        let grant = Grant::system(&ctx.actor, project.team)?;
        let project = store::begin_sync(&tx, &grant, project.id, sync_of(job)).await?;
        tx.commit().await?;
        let link = project.link.ok_or_else(|| Error::new(Reason::RepositoryNotReady))?;
        Ok(LeasedWork::RepoSync {
            project: project.id,
            url: link.url,
            quota_bytes: ctx.config.limits.mirror_bytes_max,
        })
    }

    async fn committed(&self, ctx: &Ctx, tx: &Tx, job: &Job, outcome: Outcome) -> Result<()> {
        let Outcome::RepoSync(outcome) = outcome else {
            return Err(Error::new(Reason::InvalidRequest).because("the result is not that of a sync"));
        };
        let head = outcome.head_commit.as_deref().map(|head| {
            CommitId::parse(head)
                .ok_or_else(|| Error::invalid("head_commit", "must be 40 hexadecimal digits"))
        });
        let branch = outcome.default_branch.unwrap_or_default();
        let mirror = SyncedMirror {
            default_branch: shown(branch.as_bytes(), BRANCH_CHARS_MAX).0,
            head: head.transpose()?,
            mirror_bytes: outcome.mirror_bytes,
        };
        let Some(project) = store::find(tx, project_of(job)?).await? else { return Ok(()) };
        let grant = Grant::system(&ctx.actor, project.team)?;
        if !store::synced(tx, &grant, project.id, sync_of(job), &mirror, ctx.clock.now()).await? {
            return Ok(());
        }
        let Project { id, team, name, .. } = project;
        let event = RepositorySynced { project: id, team, name, job: job.id, requester: job.requested_by };
        outbox::emit(ctx, tx, &event).await?;
        let entry = Entry::new("repository.synced").team(team).project(id).subject(job.id.0);
        audit::append(ctx, tx, entry);
        Ok(())
    }

    async fn gave_up(&self, ctx: &Ctx, tx: &Tx, job: &Job, reason: Reason) -> Result<()> {
        // Whoever cancelled it knows; the mirror is as it was.
        if reason == Reason::Cancelled {
            return Ok(());
        }
        let Some(project) = store::find(tx, project_of(job)?).await? else { return Ok(()) };
        let grant = Grant::system(&ctx.actor, project.team)?;
        if !store::sync_failed(tx, &grant, project.id, job.id).await? {
            return Ok(());
        }
        let Project { id, team, name, .. } = project;
        let event = RepositorySyncFailed {
            project: id,
            team,
            name,
            job: job.id,
            requester: job.requested_by,
            rejected: reason == Reason::RepositoryRejected,
        };
        outbox::emit(ctx, tx, &event).await?;
        let entry = Entry::new("repository.sync_failed").outcome(audit::Outcome::Failed);
        audit::append(ctx, tx, entry.team(team).project(id).subject(job.id.0));
        Ok(())
    }
}

fn project_of(job: &Job) -> Result<ProjectId> {
    match &job.work {
        Work::RepoSync { project } => Ok(*project),
        _ => Err(Error::internal("the job is not a sync")),
    }
}

fn sync_of(job: &Job) -> Sync {
    Sync { job: job.id, epoch: job.lease_epoch }
}
