//! Stopping a job.

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Reason, Result},
    },
    domain::jobs::{
        CANCELS,
        handler::JobHandlers,
        model::{Job, JobState, Timing},
        ops::settle::on_behalf_of,
        store, topic_of,
    },
};

/// Stops `job` in the open transaction, and returns it as it stands then: a queued one ends at once, a
/// leased one is `Cancelling` until its worker has confirmed, and one that has ended stays as it is. The
/// caller appends the end to the audit log, after its other writes.
pub(in crate::domain::jobs) async fn cancel(ctx: &Ctx, tx: &Tx, mut job: Job) -> Result<Job> {
    let now = ctx.clock.now();
    match store::cancel(tx, job.id, now, now + Timing::STANDARD.cancel).await? {
        Some(JobState::Cancelled) => {
            job.state = JobState::Cancelled;
            job.finished_at = Some(now);
            let handlers = ctx.ports.get::<JobHandlers>()?;
            let ctx = on_behalf_of(ctx, &job);
            handlers.of(job.kind())?.gave_up(&ctx, tx, &job, Reason::Cancelled).await?;
        }
        Some(state) => {
            job.state = state;
            tx.raise(CANCELS);
        }
        None => {}
    }
    tx.raise(topic_of(job.id));
    Ok(job)
}
