//! Leases: every statement here names the token that it holds under.

use sea_orm::{ActiveEnum as _, DbBackend, FromQueryResult, Value};
use uuid::Uuid;

use super::{
    execute, placeholders,
    read::{COLUMNS, JobRow},
    rows,
};
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Result},
        ids::JobId,
    },
    domain::jobs::model::{Failure, FailureClass, Job, JobState, LeaseId, LeaseToken, Settled},
};

/// A leased job.
pub(in crate::domain::jobs) struct Leased {
    pub job: Job,
    /// Whether the worker has accepted the lease.
    pub accepted: bool,
    pub worker_id: String,
    pub incarnation_id: Uuid,
    pub lease_until: Timestamp,
    pub time_limit_at: Option<Timestamp>,
    pub cancel_until: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct LeasedRow {
    #[sea_orm(nested)]
    job: JobRow,
    accepted: bool,
    worker_id: String,
    incarnation_id: Uuid,
    lease_until: Timestamp,
    time_limit_at: Option<Timestamp>,
    cancel_until: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct LeaseIdRow {
    id: JobId,
    lease_token: Vec<u8>,
}

impl TryFrom<LeaseIdRow> for LeaseId {
    type Error = Error;

    fn try_from(row: LeaseIdRow) -> Result<Self> {
        let token = LeaseToken::read(&row.lease_token);
        let token = token.ok_or_else(|| Error::internal("a lease token of the wrong length is stored"))?;
        Ok(Self { job: row.id, token })
    }
}

/// The fence: the job, locked until the transaction ends, if the lease still holds.
pub(in crate::domain::jobs) async fn fenced(tx: &Tx, lease: LeaseId) -> Result<Option<Leased>> {
    let lock = if tx.backend() == DbBackend::Postgres { "FOR UPDATE OF j" } else { "" };
    let sql = format!(
        "SELECT {COLUMNS}, j.accepted, j.worker_id, j.incarnation_id, j.lease_until, j.time_limit_at, \
         j.cancel_until FROM jobs j JOIN job_payloads p ON p.job_id = j.id \
         WHERE j.id = $1 AND j.lease_token = $2 AND j.state IN (2, 3) {lock}"
    );
    let values = vec![lease.job.into(), lease.token.0.to_vec().into()];
    let Some(row) = rows::<LeasedRow>(tx, sql, values).await?.pop() else { return Ok(None) };
    Ok(Some(Leased {
        job: row.job.try_into()?,
        accepted: row.accepted,
        worker_id: row.worker_id,
        incarnation_id: row.incarnation_id,
        lease_until: row.lease_until,
        time_limit_at: row.time_limit_at,
        cancel_until: row.cancel_until,
    }))
}

/// The epoch of a lease, if it still holds.
pub(in crate::domain::jobs) async fn epoch(tx: &Tx, lease: LeaseId) -> Result<Option<u64>> {
    #[derive(FromQueryResult)]
    struct Row {
        lease_epoch: i64,
    }
    let sql = "SELECT lease_epoch FROM jobs WHERE id = $1 AND lease_token = $2 AND state IN (2, 3)";
    let values = vec![lease.job.into(), lease.token.0.to_vec().into()];
    let row = rows::<Row>(tx, sql, values).await?.pop();
    row.map(|row| u64::try_from(row.lease_epoch).map_err(Error::internal)).transpose()
}

/// Takes note that a worker has accepted a lease; whether it still held and was not accepted before.
pub(in crate::domain::jobs) async fn accept(
    tx: &Tx,
    lease: LeaseId,
    now: Timestamp,
    lease_until: Timestamp,
    time_limit_at: Timestamp,
) -> Result<bool> {
    let sql = "UPDATE jobs SET accepted = true, attempts = attempts + 1, started_at = $3, lease_until = $4, \
               time_limit_at = $5 \
               WHERE id = $1 AND lease_token = $2 AND state IN (2, 3) AND NOT accepted";
    let values = vec![
        lease.job.into(),
        lease.token.0.to_vec().into(),
        now.into(),
        lease_until.into(),
        time_limit_at.into(),
    ];
    if execute(tx, sql, values).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let sql = "INSERT INTO job_attempts (job_id, lease_epoch, worker_id, incarnation_id, started_at) \
               SELECT id, lease_epoch, worker_id, incarnation_id, $2 FROM jobs WHERE id = $1";
    execute(tx, sql, vec![lease.job.into(), now.into()]).await?;
    Ok(true)
}

/// Renews leases; those that still hold, each with its job's state.
pub(in crate::domain::jobs) async fn renew(
    tx: &Tx,
    leases: &[LeaseId],
    lease_until: Timestamp,
) -> Result<Vec<(LeaseToken, JobState)>> {
    #[derive(FromQueryResult)]
    struct Row {
        lease_token: Vec<u8>,
        state: JobState,
    }
    let (ids, tokens) = (placeholders(2, leases.len()), placeholders(2 + leases.len(), leases.len()));
    let sql = format!(
        "UPDATE jobs SET lease_until = $1 WHERE id IN ({ids}) AND lease_token IN ({tokens}) \
         AND state IN (2, 3) RETURNING lease_token, state"
    );
    let values = std::iter::once(Value::from(lease_until))
        .chain(leases.iter().map(|lease| lease.job.into()))
        .chain(leases.iter().map(|lease| lease.token.0.to_vec().into()))
        .collect();
    let renewed = rows::<Row>(tx, sql, values).await?;
    Ok(renewed.into_iter().filter_map(|row| Some((LeaseToken::read(&row.lease_token)?, row.state))).collect())
}

/// The leases of a worker: those of `incarnation` if `same`, or else of every other incarnation.
pub(in crate::domain::jobs) async fn held_by(
    tx: &Tx,
    worker_id: &str,
    incarnation: Uuid,
    same: bool,
) -> Result<Vec<LeaseId>> {
    let operator = if same { "=" } else { "<>" };
    let sql = format!(
        "SELECT id, lease_token FROM jobs \
         WHERE state IN (2, 3) AND worker_id = $1 AND incarnation_id {operator} $2"
    );
    let held: Vec<LeaseIdRow> = rows(tx, sql, vec![worker_id.into(), incarnation.into()]).await?;
    held.into_iter().map(LeaseId::try_from).collect()
}

/// The leases of a worker's process whose jobs are being cancelled.
pub(in crate::domain::jobs) async fn cancelling(
    tx: &Tx,
    worker_id: &str,
    incarnation: Uuid,
) -> Result<Vec<LeaseId>> {
    let sql = "SELECT id, lease_token FROM jobs \
               WHERE state IN (2, 3) AND state = 3 AND worker_id = $1 AND incarnation_id = $2";
    let held: Vec<LeaseIdRow> = rows(tx, sql, vec![worker_id.into(), incarnation.into()]).await?;
    held.into_iter().map(LeaseId::try_from).collect()
}

/// Leases that are over by the clock: not renewed, beyond the time limit, or not stopped when asked.
pub(in crate::domain::jobs) async fn overdue(tx: &Tx, now: Timestamp, limit: u64) -> Result<Vec<LeaseId>> {
    let sql = "SELECT id, lease_token FROM jobs WHERE state IN (2, 3) \
               AND (lease_until < $1 OR time_limit_at < $1 OR cancel_until < $1) LIMIT $2";
    let overdue: Vec<LeaseIdRow> = rows(tx, sql, vec![now.into(), limit.into()]).await?;
    overdue.into_iter().map(LeaseId::try_from).collect()
}

/// When the next lease will be overdue.
pub(in crate::domain::jobs) async fn next_overdue(tx: &Tx) -> Result<Option<Timestamp>> {
    #[derive(FromQueryResult)]
    struct Row {
        lease_until: Option<Timestamp>,
        time_limit_at: Option<Timestamp>,
        cancel_until: Option<Timestamp>,
    }
    let sql = "SELECT min(lease_until) AS lease_until, min(time_limit_at) AS time_limit_at, \
               min(cancel_until) AS cancel_until FROM jobs WHERE state IN (2, 3)";
    let next = rows::<Row>(tx, sql, Vec::new()).await?.pop();
    Ok(next
        .and_then(|row| [row.lease_until, row.time_limit_at, row.cancel_until].into_iter().flatten().min()))
}

/// Ends the lease of a job that is locked by [`fenced`]: from now on its token opens nothing.
pub(in crate::domain::jobs) async fn end(tx: &Tx, job: &Job, settled: Settled, now: Timestamp) -> Result<()> {
    let sql = "UPDATE jobs SET state = $2, attempts = $3, infra_failures = $4, failure = $5, due_at = $6, \
               started_at = $7, finished_at = $8, accepted = false, lease_token = NULL, lease_until = NULL, \
               worker_id = NULL, incarnation_id = NULL, time_limit_at = NULL, cancel_until = NULL \
               WHERE id = $1";
    let due_at = if let Settled::Queued(pause) = settled { now + pause } else { now };
    let count = |count: u32| Value::from(i32::try_from(count).unwrap_or(i32::MAX));
    let values = vec![
        job.id.into(),
        job.state.to_value().into(),
        count(job.tally.attempts),
        count(job.tally.infra_failures),
        job.failure.map(i32::from).into(),
        due_at.into(),
        job.started_at.into(),
        job.finished_at.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// How an attempt ended.
pub(in crate::domain::jobs) struct EndedAttempt<'a> {
    pub leased: &'a Leased,
    pub now: Timestamp,
    pub failure: Option<&'a Failure>,
    /// The commit that ended it, and what it was answered.
    pub commit: Option<(Uuid, JobState)>,
}

/// Writes down how an attempt ended.
pub(in crate::domain::jobs) async fn end_attempt(tx: &Tx, ended: EndedAttempt<'_>) -> Result<()> {
    let sql = "INSERT INTO job_attempts (job_id, lease_epoch, worker_id, incarnation_id, started_at, ended_at, \
               class, reason, detail, commit_id, answer) VALUES ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10) \
               ON CONFLICT (job_id, lease_epoch) DO UPDATE SET ended_at = excluded.ended_at, \
               class = excluded.class, reason = excluded.reason, detail = excluded.detail, \
               commit_id = excluded.commit_id, answer = excluded.answer";
    let leased = ended.leased;
    let values = vec![
        leased.job.id.into(),
        i64::try_from(leased.job.lease_epoch).map_err(Error::internal)?.into(),
        leased.worker_id.as_str().into(),
        leased.incarnation_id.into(),
        ended.now.into(),
        ended.failure.map(|failure| FailureClass::to_value(&failure.class)).into(),
        ended.failure.map(|failure| i32::from(failure.reason)).into(),
        ended.failure.map(|failure| failure.detail.clone()).into(),
        ended.commit.map(|(id, _)| id).into(),
        ended.commit.map(|(_, answer)| answer.to_value()).into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// What a commit was answered before.
pub(in crate::domain::jobs) async fn answer(tx: &Tx, job: JobId, commit: Uuid) -> Result<Option<JobState>> {
    #[derive(FromQueryResult)]
    struct Row {
        answer: JobState,
    }
    let sql = "SELECT answer FROM job_attempts WHERE job_id = $1 AND commit_id = $2 AND answer IS NOT NULL";
    Ok(rows::<Row>(tx, sql, vec![job.into(), commit.into()]).await?.pop().map(|row| row.answer))
}
