//! Putting a job into the queue.

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::JobId,
    },
    domain::{
        audit,
        jobs::{
            TOPIC,
            model::{Job, JobState, NewJob, OnConflict},
            ops::cancel::cancel,
            store,
        },
    },
};

/// The most jobs of one team that wait at a time.
const QUEUED_PER_TEAM_MAX: u64 = 2_000;
/// The longest concurrency key, in bytes.
const KEY_BYTES_MAX: usize = 200;

/// A job that waits.
#[derive(Clone, Debug)]
pub struct Queued {
    /// The job.
    pub job: Job,
    /// Whether an earlier request had queued it.
    pub joined: bool,
}

/// Queues a job in the caller's open transaction: it exists if that is committed, and starts then.
///
/// # Errors
/// `QUOTA_EXCEEDED` if 2,000 jobs of the team wait already; `CONFLICT` as [`OnConflict::Reject`] says.
pub async fn enqueue(ctx: &Ctx, tx: &Tx, new: NewJob) -> Result<Queued> {
    if let Some(key) = &new.concurrency_key {
        if key.len() > KEY_BYTES_MAX {
            return Err(Error::internal("the concurrency key is too long"));
        }
        if let Some(earlier) = settle_conflict(ctx, tx, &new, key).await? {
            return Ok(Queued { job: earlier, joined: true });
        }
    }
    Ok(Queued { job: insert(ctx, tx, new).await?, joined: false })
}

/// Deals with earlier jobs of `key`; the one that does for the new one too, if there is one.
async fn settle_conflict(ctx: &Ctx, tx: &Tx, new: &NewJob, key: &str) -> Result<Option<Job>> {
    if new.on_conflict == OnConflict::Queue {
        return Ok(None);
    }
    store::lock_key(tx, key).await?;
    let active = store::active_with_key(tx, key).await?;
    match new.on_conflict {
        OnConflict::Queue => {}
        OnConflict::Coalesce => {
            if let Some(queued) = active.into_iter().find(|job| job.state == JobState::Queued) {
                store::raise_priority(tx, queued.id, new.priority).await?;
                return Ok(Some(queued));
            }
        }
        OnConflict::CancelInProgress => {
            for job in active {
                cancel(ctx, tx, job).await?;
            }
        }
        OnConflict::Reject if active.is_empty() => {}
        OnConflict::Reject => return Err(Error::new(Reason::Conflict)),
    }
    Ok(None)
}

async fn insert(ctx: &Ctx, tx: &Tx, new: NewJob) -> Result<Job> {
    let now = ctx.clock.now();
    let id = JobId(ctx.entropy.uuid(now)?);
    let row = store::QueuedJob {
        id,
        work: &new.work,
        team: new.team,
        project: new.project,
        priority: new.priority,
        concurrency_key: new.concurrency_key.as_deref(),
        requested_by: new.requested_by,
        correlation: ctx.call.correlation.as_str(),
        created_at: now,
    };
    store::lock_team(tx, new.team).await?;
    if !store::insert(tx, &row, QUEUED_PER_TEAM_MAX).await? {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    let mut entry = audit::Entry::new("job.created").team(new.team).subject(id.0);
    if let Some(project) = new.project {
        entry = entry.project(project);
    }
    audit::append(ctx, tx, entry);
    tx.raise(TOPIC);
    metrics::counter!("hivesync_jobs_enqueued_total", "kind" => new.work.kind().as_str()).increment(1);
    Ok(Job {
        id,
        work: new.work,
        state: JobState::Queued,
        team: new.team,
        project: new.project,
        requested_by: new.requested_by,
        correlation: ctx.call.correlation.as_str().to_owned(),
        lease_epoch: 0,
        tally: Default::default(),
        failure: None,
        created_at: now,
        started_at: None,
        finished_at: None,
    })
}
