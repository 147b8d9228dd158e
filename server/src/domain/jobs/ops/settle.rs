//! Ending a lease.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::{
        actor::Actor,
        ctx::{CorrelationId, Ctx},
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::{
        audit::{self, Entry},
        jobs::{
            TOPIC,
            handler::JobHandlers,
            model::{Ending, Failure, Job, JobState, LeaseId, Settled, settle},
            store::{self, EndedAttempt, Leased},
            topic_of,
        },
    },
};

/// The context in which the handler of `job` works: the server itself, for the call that queued the job.
pub(in crate::domain::jobs) fn on_behalf_of(ctx: &Ctx, job: &Job) -> Ctx {
    let mut ctx = ctx.clone();
    ctx.actor = Actor::System;
    match CorrelationId::accept(&job.correlation) {
        Some(correlation) => ctx.caused_by(correlation),
        None => ctx,
    }
}

/// Ends a lease that [`store::fenced`] has locked, and has the job's handler act on it.
pub(super) async fn end(
    ctx: &Ctx,
    tx: &Tx,
    mut leased: Leased,
    ending: Ending,
    commit: Option<Uuid>,
) -> Result<JobState> {
    let now = ctx.clock.now();
    let ctx = on_behalf_of(ctx, &leased.job);
    // A result may overtake the note that its lease was accepted.
    if commit.is_some() && !leased.accepted {
        leased.job.tally.attempts = leased.job.tally.attempts.saturating_add(1);
        leased.job.started_at = Some(now);
        leased.accepted = true;
    }
    let random = u64::from_le_bytes(ctx.entropy.bytes()?);
    let settled = settle(leased.job.state, &mut leased.job.tally, &ending, random);
    leased.job.state = settled.state();
    leased.job.failure = if let Settled::Failed(reason) = settled { Some(reason) } else { None };
    leased.job.finished_at = settled.state().is_terminal().then_some(now);

    store::end(tx, &leased.job, settled, now).await?;
    if leased.accepted {
        let failure = if let Ending::Failed(failure) = &ending { Some(failure) } else { None };
        let commit = commit.map(|id| (id, leased.job.state));
        store::end_attempt(tx, EndedAttempt { leased: &leased, now, failure, commit }).await?;
    }
    tell_handler(&ctx, tx, &leased.job, settled, &ending).await?;
    tx.raise(TOPIC);
    tx.raise(topic_of(leased.job.id));
    count(&leased.job, settled, &ending);
    append_audit(&ctx, tx, &leased.job);
    Ok(leased.job.state)
}

async fn tell_handler(ctx: &Ctx, tx: &Tx, job: &Job, settled: Settled, ending: &Ending) -> Result<()> {
    let handlers = ctx.ports.get::<JobHandlers>()?;
    let handler = handlers.of(job.kind())?;
    match (settled, ending) {
        (Settled::Succeeded, Ending::Done(outcome)) => handler.committed(ctx, tx, job, outcome.clone()).await,
        (Settled::Failed(reason), _) => handler.gave_up(ctx, tx, job, reason).await,
        (Settled::Cancelled, _) => handler.gave_up(ctx, tx, job, Reason::Cancelled).await,
        _ => Ok(()),
    }
}

/// Records the end of `job`, if it has ended.
pub(super) fn append_audit(ctx: &Ctx, tx: &Tx, job: &Job) {
    let (event, outcome) = match job.state {
        JobState::Succeeded => ("job.finished", audit::Outcome::Ok),
        JobState::Failed => ("job.failed", audit::Outcome::Failed),
        JobState::Cancelled => ("job.cancelled", audit::Outcome::Ok),
        JobState::Queued | JobState::Running | JobState::Cancelling => return,
    };
    let mut entry = Entry::new(event).outcome(outcome).team(job.team).subject(job.id.0);
    if let Some(project) = job.project {
        entry = entry.project(project);
    }
    audit::append(ctx, tx, entry);
}

fn count(job: &Job, settled: Settled, ending: &Ending) {
    let kind = job.kind().as_str();
    let class = if let Ending::Failed(failure) = ending { failure.class.as_str() } else { "none" };
    match settled {
        Settled::Queued(_) => {
            metrics::counter!("hivesync_job_retries_total", "kind" => kind, "class" => class).increment(1);
        }
        _ => {
            let state = job.state.as_str();
            metrics::counter!("hivesync_jobs_ended_total", "kind" => kind, "state" => state, "class" => class)
                .increment(1);
        }
    }
    if let (Some(started_at), Some(finished_at)) = (job.started_at, job.finished_at) {
        let secs = finished_at.since(started_at).as_secs_f64();
        metrics::histogram!("hivesync_job_duration_seconds", "kind" => kind).record(secs);
    }
}

/// Ends a lease without a result, if it still holds.
pub(in crate::domain::jobs) async fn fail(ctx: &Ctx, lease: LeaseId, failure: Failure) -> Result<()> {
    end_if_held(ctx, lease, Ending::Failed(failure)).await.map(drop)
}

/// Gives the job of a lease back, to start again after `pause`, if the lease still holds.
pub(in crate::domain::jobs) async fn give_back(ctx: &Ctx, lease: LeaseId, pause: Duration) -> Result<()> {
    end_if_held(ctx, lease, Ending::Returned(pause)).await.map(drop)
}

/// Ends a lease, if it still holds; where that leaves the job.
pub(super) async fn end_if_held(ctx: &Ctx, lease: LeaseId, ending: Ending) -> Result<Option<JobState>> {
    let tx = ctx.begin().await?;
    let Some(leased) = store::fenced(&tx, lease).await? else { return Ok(None) };
    let state = end(ctx, &tx, leased, ending, None).await?;
    tx.commit().await?;
    Ok(Some(state))
}

/// The answer to whoever comes with a lease that is over.
pub(super) fn superseded() -> Error {
    Error::new(Reason::Superseded)
}
