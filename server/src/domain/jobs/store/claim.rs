//! Claiming queued jobs.

use sea_orm::{DbBackend, FromQueryResult, Value};
use uuid::Uuid;

use super::{placeholders, read::JobRow, rows};
use crate::{
    base::{
        clock::Timestamp,
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::jobs::model::{Claimed, JobKind, LeaseToken},
};

/// Jobs of one team that run at a time.
const RUNNING_PER_TEAM_MAX: u32 = 4;

/// What [`ClaimedRow`] reads. The payload comes along, because each statement delays the start of a job.
const RETURNED: &str = "jobs.id, jobs.state, jobs.team_id, jobs.project_id, jobs.attempts, \
     jobs.infra_failures, jobs.lease_epoch, jobs.failure, jobs.created_at, jobs.started_at, \
     jobs.finished_at, jobs.lease_token, \
     (SELECT p.work FROM job_payloads p WHERE p.job_id = jobs.id) AS work, \
     (SELECT p.correlation_id FROM job_payloads p WHERE p.job_id = jobs.id) AS correlation_id, \
     (SELECT p.requested_by FROM job_payloads p WHERE p.job_id = jobs.id) AS requested_by";

/// A claim of jobs for one worker.
pub(in crate::domain::jobs) struct Claim<'a> {
    pub worker_id: &'a str,
    pub incarnation_id: Uuid,
    pub kinds: &'a [JobKind],
    /// One for each job that is wanted.
    pub tokens: &'a [LeaseToken],
    pub now: Timestamp,
    pub lease_until: Timestamp,
}

/// Leases due jobs to a worker: those of the teams that run the fewest first, then by priority, then by
/// age. A team runs at most four at a time and a concurrency key one; two servers that claim at the same
/// moment may each count the team's jobs without the other's.
///
/// # Errors
/// `CONFLICT` if another server started a job of the same key at the same moment.
pub(in crate::domain::jobs) async fn claim(tx: &Tx, claim: &Claim<'_>) -> Result<Vec<Claimed>> {
    let tokens: Vec<u8> = claim.tokens.iter().flat_map(|token| token.0).collect();
    let mut values: Vec<Value> = vec![
        claim.now.into(),
        claim.lease_until.into(),
        claim.worker_id.into(),
        claim.incarnation_id.into(),
        tokens.into(),
        Value::from(claim.tokens.len() as u64),
    ];
    values.extend(claim.kinds.iter().map(|kind| Value::from(*kind as i16)));
    let claimed: Vec<ClaimedRow> = rows(tx, claim_statement(tx.backend(), claim.kinds.len()), values)
        .await
        .map_err(|error| error.on_unique("jobs_leased_key", Reason::Conflict))?;
    let mut claimed = claimed.into_iter().map(Claimed::try_from).collect::<Result<Vec<_>>>()?;
    claimed.sort_by_key(|claimed| claimed.job.id);
    Ok(claimed)
}

/// The epochs of a key grow over all its jobs, so that what jobs of that key work on can tell an old lease
/// from a new one, whichever job it was of.
///
/// `running` counts the leased jobs of each team, `free` ranks the queued jobs of each key that is free,
/// `ready` has the teams take turns, and `picked` locks what nobody else is about to change. Each job gets
/// its own piece of `$5` as its token.
fn claim_statement(backend: DbBackend, kinds: usize) -> String {
    let kinds = placeholders(7, kinds);
    let lock = if backend == DbBackend::Postgres { "FOR UPDATE SKIP LOCKED" } else { "" };
    format!(
        "WITH running AS (
           SELECT team_id, count(*) AS jobs FROM jobs WHERE state IN (2, 3) GROUP BY team_id
         ), free AS (
           SELECT id, team_id, priority, concurrency_key,
             row_number() OVER (PARTITION BY concurrency_key ORDER BY priority DESC, id) AS key_turn
           FROM jobs q
           WHERE state = 1 AND due_at <= $1 AND kind IN ({kinds}) AND NOT EXISTS (
             SELECT 1 FROM jobs k WHERE k.state IN (2, 3) AND k.concurrency_key = q.concurrency_key)
         ), ready AS (
           SELECT f.id, f.priority, coalesce(r.jobs, 0)
             + row_number() OVER (PARTITION BY f.team_id ORDER BY f.priority DESC, f.id) AS team_turn
           FROM free f LEFT JOIN running r ON r.team_id = f.team_id
           WHERE f.concurrency_key IS NULL OR f.key_turn = 1
         ), picked AS (
           SELECT id FROM jobs WHERE state = 1 AND id IN (
             SELECT id FROM ready WHERE team_turn <= {RUNNING_PER_TEAM_MAX}
             ORDER BY team_turn, priority DESC, id LIMIT $6) {lock}
         ), numbered AS (
           SELECT id, CAST(row_number() OVER (ORDER BY id) AS integer) AS place FROM picked
         )
         UPDATE jobs SET state = 2, accepted = false, lease_until = $2,
           lease_epoch = 1 + coalesce(
             (SELECT max(k.lease_epoch) FROM jobs k WHERE k.concurrency_key = jobs.concurrency_key), lease_epoch),
           worker_id = $3, incarnation_id = $4, lease_token = substr($5, (numbered.place - 1) * 16 + 1, 16)
         FROM numbered WHERE jobs.id = numbered.id RETURNING {RETURNED}"
    )
}

#[derive(FromQueryResult)]
struct ClaimedRow {
    #[sea_orm(nested)]
    job: JobRow,
    lease_token: Vec<u8>,
}

impl TryFrom<ClaimedRow> for Claimed {
    type Error = Error;

    fn try_from(row: ClaimedRow) -> Result<Self> {
        let token = LeaseToken::read(&row.lease_token);
        let token = token.ok_or_else(|| Error::internal("a lease token of the wrong length is stored"))?;
        Ok(Self { job: row.job.try_into()?, token })
    }
}

/// When the next job that waits for its time may be claimed.
pub(in crate::domain::jobs) async fn next_due(tx: &Tx, now: Timestamp) -> Result<Option<Timestamp>> {
    #[derive(FromQueryResult)]
    struct Row {
        due_at: Option<Timestamp>,
    }
    let sql = "SELECT min(due_at) AS due_at FROM jobs WHERE state = 1 AND due_at > $1";
    Ok(rows::<Row>(tx, sql, vec![now.into()]).await?.pop().and_then(|row| row.due_at))
}
