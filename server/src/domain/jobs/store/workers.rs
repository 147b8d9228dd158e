//! The connected workers.

use sea_orm::{FromQueryResult, Value};
use uuid::Uuid;

use super::{execute, rows};
use crate::{
    base::{clock::Timestamp, db::Tx, error::Result},
    domain::jobs::model::{Connected, JobKind, Worker},
};

#[derive(FromQueryResult)]
struct WorkerRow {
    worker_id: String,
    build: String,
    kinds: String,
    slots: i32,
    running: i64,
    connected_at: Timestamp,
    seen_at: Timestamp,
    draining: bool,
}

impl From<WorkerRow> for Worker {
    fn from(row: WorkerRow) -> Self {
        Self {
            worker_id: row.worker_id,
            build: row.build,
            kinds: JobKind::ALL
                .into_iter()
                .filter(|kind| row.kinds.split(',').any(|name| name == kind.as_str()))
                .collect(),
            slots: u32::try_from(row.slots).unwrap_or(0),
            running: u64::try_from(row.running).unwrap_or(0),
            connected_at: row.connected_at,
            seen_at: row.seen_at,
            draining: row.draining,
        }
    }
}

/// Enters a worker, in the place of an earlier stream of the same name.
pub(in crate::domain::jobs) async fn connect(tx: &Tx, worker: &Connected<'_>) -> Result<()> {
    let sql = "INSERT INTO workers (worker_id, incarnation_id, session_id, build, kinds, slots, sandbox_tier, \
               draining, connected_at, seen_at) VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8, $8) \
               ON CONFLICT (worker_id) DO UPDATE SET incarnation_id = excluded.incarnation_id, \
               session_id = excluded.session_id, build = excluded.build, kinds = excluded.kinds, \
               slots = excluded.slots, sandbox_tier = excluded.sandbox_tier, draining = false, \
               connected_at = excluded.connected_at, seen_at = excluded.seen_at";
    let kinds: Vec<_> = worker.kinds.iter().map(|kind| kind.as_str()).collect();
    let values = vec![
        worker.worker_id.into(),
        worker.incarnation_id.into(),
        worker.session_id.into(),
        worker.build.into(),
        kinds.join(",").into(),
        Value::from(i32::try_from(worker.slots).unwrap_or(i32::MAX)),
        Value::from(i32::try_from(worker.sandbox_tier).unwrap_or(i32::MAX)),
        worker.now.into(),
    ];
    execute(tx, sql, values).await?;
    Ok(())
}

/// Takes note that a worker was heard of.
pub(in crate::domain::jobs) async fn touch(
    tx: &Tx,
    session: Uuid,
    draining: bool,
    now: Timestamp,
) -> Result<()> {
    let sql = "UPDATE workers SET seen_at = $2, draining = $3 WHERE session_id = $1";
    execute(tx, sql, vec![session.into(), now.into(), draining.into()]).await?;
    Ok(())
}

/// Removes a worker whose stream has ended, unless it has opened another; whether it did.
pub(in crate::domain::jobs) async fn disconnect(tx: &Tx, session: Uuid) -> Result<bool> {
    let removed = execute(tx, "DELETE FROM workers WHERE session_id = $1", vec![session.into()]).await?;
    Ok(removed.rows_affected() > 0)
}

/// Removes workers that were not heard of since `before`: those of a server that is gone.
pub(in crate::domain::jobs) async fn forget_silent(tx: &Tx, before: Timestamp) -> Result<()> {
    execute(tx, "DELETE FROM workers WHERE seen_at < $1", vec![before.into()]).await?;
    Ok(())
}

/// The workers whose names come after `after`, by name, with the jobs that each runs.
pub(in crate::domain::jobs) async fn list(tx: &Tx, after: &str, limit: u64) -> Result<Vec<Worker>> {
    let sql = "SELECT w.worker_id, w.build, w.kinds, w.slots, w.connected_at, w.seen_at, w.draining, \
               (SELECT count(*) FROM jobs j WHERE j.state IN (2, 3) AND j.worker_id = w.worker_id) AS running \
               FROM workers w WHERE w.worker_id > $1 ORDER BY w.worker_id LIMIT $2";
    Ok(rows::<WorkerRow>(tx, sql, vec![after.into(), limit.into()])
        .await?
        .into_iter()
        .map(Worker::from)
        .collect())
}
