//! What workers hand in.

use std::time::Duration;

use uuid::Uuid;

use super::{
    read::keep_progress,
    settle::{end, end_if_held, superseded},
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
    },
    domain::jobs::{
        model::{Ending, Failure, FailureClass, JobState, LeaseId},
        store,
    },
};

/// Ends a leased job with its result, and returns where it stands then. The answer is stored with
/// `commit`, and given again to a repeat.
///
/// # Errors
/// `SUPERSEDED` if the lease is over, `INVALID_REQUEST` if the result is of another kind of job.
pub(in crate::domain::jobs) async fn commit(
    ctx: &Ctx,
    lease: LeaseId,
    commit: Uuid,
    ending: Ending,
) -> Result<JobState> {
    match try_commit(ctx, lease, commit, ending).await {
        // The handler does not accept the result, and would not if it came again.
        Err(error) if is_verdict(error.reason()) => {
            tracing::info!(event = "job.result_refused", job = %lease.job, reason = error.reason().as_str_name());
            let failure = Failure::new(FailureClass::NonRetryable, error.reason());
            try_commit(ctx, lease, commit, Ending::Failed(failure)).await
        }
        answer => answer,
    }
}

/// Whether a handler's error says something about the result, and not about the call or the server.
fn is_verdict(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Internal
            | Reason::Unspecified
            | Reason::Unavailable
            | Reason::Conflict
            | Reason::Superseded
            | Reason::InvalidRequest
    )
}

async fn try_commit(ctx: &Ctx, lease: LeaseId, commit: Uuid, ending: Ending) -> Result<JobState> {
    keep_figures(ctx, lease, &ending).await?;
    let tx = ctx.begin().await?;
    let Some(leased) = store::fenced(&tx, lease).await? else {
        return store::answer(&tx, lease.job, commit).await?.ok_or_else(superseded);
    };
    if let Ending::Done(outcome) = &ending
        && outcome.kind() != leased.job.kind()
    {
        return Err(Error::invalid("outcome", "must be of the job's kind"));
    }
    let state = end(ctx, &tx, leased, ending, Some(commit)).await?;
    tx.commit().await?;
    Ok(state)
}

/// Keeps the figures of a result before the end is visible, so that whoever watches for it sees both; and before the
/// transaction begins, which does not wait for the key store. Only a figure is lost if that does not answer.
async fn keep_figures(ctx: &Ctx, lease: LeaseId, ending: &Ending) -> Result<()> {
    let Some(reached) = ending.reached() else { return Ok(()) };
    if let Some(epoch) = store::epoch(&ctx.read(), lease).await? {
        let _ = keep_progress(ctx, lease.job, epoch, reached).await;
    }
    Ok(())
}

/// Gives a leased job back without a result.
///
/// # Errors
/// `SUPERSEDED` if the lease is over.
pub(in crate::domain::jobs) async fn release(ctx: &Ctx, lease: LeaseId) -> Result<()> {
    end_if_held(ctx, lease, Ending::Returned(Duration::ZERO)).await?.map(drop).ok_or_else(superseded)
}
