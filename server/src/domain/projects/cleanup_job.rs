//! Removes the mirrors of projects that are gone, by a worker.

use async_trait::async_trait;

use super::store;
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::{
        audit::{self, Entry},
        jobs::{Job, JobHandler, JobKind, LeasedWork, Outcome, Work},
    },
};

/// The handler.
#[derive(Clone, Copy, Debug, Default)]
pub struct CleanupJob;

#[async_trait]
impl JobHandler for CleanupJob {
    fn kind(&self) -> JobKind {
        JobKind::Cleanup
    }

    async fn prepare(&self, _: &Ctx, job: &Job) -> Result<LeasedWork> {
        match &job.work {
            Work::Cleanup { projects } => Ok(LeasedWork::Cleanup { projects: projects.clone() }),
            _ => Err(Error::internal("the job is not a cleanup")),
        }
    }

    async fn committed(&self, ctx: &Ctx, tx: &Tx, job: &Job, outcome: Outcome) -> Result<()> {
        let Outcome::Cleanup(_) = outcome else {
            return Err(Error::new(Reason::InvalidRequest).because("the result is not that of a cleanup"));
        };
        if let Work::Cleanup { projects } = &job.work {
            store::mirrors_removed(tx, projects).await?;
        }
        audit::append(ctx, tx, about(job, Entry::new("project.mirror_removed")));
        Ok(())
    }

    /// The sweep queues it again.
    async fn gave_up(&self, ctx: &Ctx, tx: &Tx, job: &Job, _: Reason) -> Result<()> {
        let entry = Entry::new("project.mirror_removed").outcome(audit::Outcome::Failed);
        audit::append(ctx, tx, about(job, entry));
        Ok(())
    }
}

fn about(job: &Job, entry: Entry) -> Entry {
    let entry = entry.team(job.team).subject(job.id.0);
    match job.project {
        Some(project) => entry.project(project),
        None => entry,
    }
}
