//! Stopping a job.

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::jobs::{
        CANCELS,
        handler::JobHandlers,
        model::{Job, JobState, Timing},
        ops::settle::{append_audit, on_behalf_of},
        store, topic_of,
    },
};

/// Stops `job` in the open transaction: a queued one ends at once, a leased one is `Cancelling` until its
/// worker has confirmed, and one that has ended stays as it is. Returns the job as it stands then.
pub(in crate::domain::jobs) async fn cancel(ctx: &Ctx, tx: &Tx, mut job: Job) -> Result<Job> {
    let now = ctx.clock.now();
    match store::cancel(tx, job.id, now, now + Timing::STANDARD.cancel).await? {
        Some(JobState::Cancelled) => {
            job.state = JobState::Cancelled;
            job.finished_at = Some(now);
            let handlers = ctx.ports.get::<JobHandlers>()?;
            let behalf = on_behalf_of(ctx, &job);
            handlers.of(job.kind())?.gave_up(&behalf, tx, &job, Reason::Cancelled).await?;
            append_audit(ctx, tx, &job);
        }
        Some(state) => {
            job.state = state;
            tx.raise(CANCELS);
        }
        // Somebody else has ended or cancelled it since it was read.
        None => job = store::find(tx, job.id).await?.ok_or_else(Error::not_found)?,
    }
    tx.raise(topic_of(job.id));
    Ok(job)
}
