//! Putting jobs into the queue.

use sea_orm::{ActiveEnum as _, FromQueryResult};

use super::{execute, read, rows};
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Result},
        ids::{JobId, ProjectId, TeamId, UserId},
    },
    domain::jobs::model::{Job, JobState, Priority, Work},
};

/// A job that is put into the queue.
pub(in crate::domain::jobs) struct QueuedJob<'a> {
    pub id: JobId,
    pub work: &'a Work,
    pub team: TeamId,
    pub project: Option<ProjectId>,
    pub priority: Priority,
    pub concurrency_key: Option<&'a str>,
    pub requested_by: Option<UserId>,
    pub correlation: &'a str,
    pub created_at: Timestamp,
}

/// Puts a job into the queue, unless `queued_max` jobs of its team, which is locked, are there already; whether it did.
pub(in crate::domain::jobs) async fn insert(tx: &Tx, job: &QueuedJob<'_>, queued_max: u64) -> Result<bool> {
    let sql = "INSERT INTO jobs (id, kind, state, priority, team_id, project_id, concurrency_key, attempts, \
               infra_failures, lease_epoch, accepted, due_at, created_at) \
               SELECT $1, $2, 1, $3, $4, $5, $6, 0, 0, 0, false, $7, $7 WHERE NOT EXISTS ( \
               SELECT 1 FROM jobs WHERE state = 1 AND team_id = $4 LIMIT 1 OFFSET $8)";
    let values = vec![
        job.id.into(),
        job.work.kind().to_value().into(),
        job.priority.to_value().into(),
        job.team.into(),
        job.project.into(),
        job.concurrency_key.map(str::to_owned).into(),
        job.created_at.into(),
        queued_max.saturating_sub(1).into(),
    ];
    if execute(tx, sql, values).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO job_payloads (job_id, work, correlation_id, requested_by) VALUES ($1, $2, $3, $4)";
    let work = serde_json::to_string(job.work).map_err(Error::internal)?;
    execute(tx, sql, vec![job.id.into(), work.into(), job.correlation.into(), job.requested_by.into()])
        .await?;
    Ok(true)
}

/// Makes everybody else who queues a job of this key wait until the transaction ends.
pub(in crate::domain::jobs) async fn lock_key(tx: &Tx, key: &str) -> Result<()> {
    lock(tx, &format!("jobs-key:{key}")).await
}

/// Makes everybody else who queues a job of this team wait until the transaction ends.
pub(in crate::domain::jobs) async fn lock_team(tx: &Tx, team: TeamId) -> Result<()> {
    lock(tx, &format!("jobs-team:{team}")).await
}

/// Waits until no other transaction that has locked `name` is open.
async fn lock(tx: &Tx, name: &str) -> Result<()> {
    if tx.is_shared() {
        execute(tx, "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", vec![name.into()]).await?;
    }
    Ok(())
}

/// The jobs of a key that have not ended, oldest first.
pub(in crate::domain::jobs) async fn active_with_key(tx: &Tx, key: &str) -> Result<Vec<Job>> {
    let condition = "j.concurrency_key = $1 AND (j.state = 1 OR j.state IN (2, 3)) ORDER BY j.id";
    read::select(tx, condition, vec![key.into()]).await
}

/// Has a queued job go at least as early as others of `priority`.
pub(in crate::domain::jobs) async fn raise_priority(tx: &Tx, id: JobId, priority: Priority) -> Result<()> {
    let sql = "UPDATE jobs SET priority = $2 WHERE id = $1 AND priority < $2";
    execute(tx, sql, vec![id.into(), priority.to_value().into()]).await?;
    Ok(())
}

/// Cancels a job that has not ended: the state it has then, or none if it had ended. A leased one is
/// taken from its worker at `cancel_until`, unless it ends before.
pub(in crate::domain::jobs) async fn cancel(
    tx: &Tx,
    id: JobId,
    now: Timestamp,
    cancel_until: Timestamp,
) -> Result<Option<JobState>> {
    #[derive(FromQueryResult)]
    struct Row {
        state: JobState,
    }
    let sql = "UPDATE jobs SET \
               finished_at = CASE state WHEN 1 THEN $2 END, \
               cancel_until = CASE state WHEN 1 THEN NULL WHEN 2 THEN $3 ELSE cancel_until END, \
               state = CASE state WHEN 1 THEN 6 ELSE 3 END \
               WHERE id = $1 AND state IN (1, 2, 3) RETURNING state";
    let changed: Vec<Row> = rows(tx, sql, vec![id.into(), now.into(), cancel_until.into()]).await?;
    Ok(changed.into_iter().next().map(|row| row.state))
}
