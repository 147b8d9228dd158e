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
        ops::settle::on_behalf_of,
        store, topic_of,
    },
};

/// A job that was asked to stop.
pub(in crate::domain::jobs) struct Stopped {
    /// How it stands then.
    pub job: Job,
    /// Whether that has ended it. The caller appends the end to the audit log, after its other writes.
    pub has_ended_it: bool,
}

/// Stops `job` in the open transaction: a queued one ends at once, a leased one is `Cancelling` until its
/// worker has confirmed, and one that has ended stays as it is.
pub(in crate::domain::jobs) async fn cancel(ctx: &Ctx, tx: &Tx, mut job: Job) -> Result<Stopped> {
    let now = ctx.clock.now();
    let mut has_ended_it = false;
    match store::cancel(tx, job.id, now, now + Timing::STANDARD.cancel).await? {
        Some(JobState::Cancelled) => {
            has_ended_it = true;
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
        // Somebody else has ended or cancelled it since it was read.
        None => job = store::find(tx, job.id).await?.ok_or_else(Error::not_found)?,
    }
    tx.raise(topic_of(job.id));
    Ok(Stopped { job, has_ended_it })
}
