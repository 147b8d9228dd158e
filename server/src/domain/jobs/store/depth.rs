//! How much waits and runs.

use sea_orm::FromQueryResult;

use super::rows;
use crate::{
    base::{clock::Timestamp, db::Tx, error::Result},
    domain::jobs::model::{JobKind, QueueDepth},
};

#[derive(FromQueryResult)]
struct DepthRow {
    kind: JobKind,
    ready: i64,
    delayed: i64,
    running: i64,
    oldest: Option<Timestamp>,
}

#[derive(FromQueryResult)]
struct FailedRow {
    kind: JobKind,
    failed: i64,
}

/// How each kind of job stands; every kind is in the answer.
pub(in crate::domain::jobs) async fn depth(tx: &Tx, now: Timestamp) -> Result<Vec<QueueDepth>> {
    let active = "SELECT kind, \
                  sum(CASE WHEN state = 1 AND due_at <= $1 THEN 1 ELSE 0 END) AS ready, \
                  sum(CASE WHEN state = 1 AND due_at > $1 THEN 1 ELSE 0 END) AS delayed, \
                  sum(CASE WHEN state IN (2, 3) THEN 1 ELSE 0 END) AS running, \
                  min(CASE WHEN state = 1 AND due_at <= $1 THEN due_at END) AS oldest \
                  FROM jobs WHERE state = 1 OR state IN (2, 3) GROUP BY kind";
    let active: Vec<DepthRow> = rows(tx, active, vec![now.into()]).await?;
    let failed = "SELECT kind, count(*) AS failed FROM jobs WHERE state = 5 GROUP BY kind";
    let failed: Vec<FailedRow> = rows(tx, failed, Vec::new()).await?;
    let count = |count: i64| u64::try_from(count).unwrap_or(0);
    let of_kind = |kind| {
        let row = active.iter().find(|row| row.kind == kind);
        QueueDepth {
            kind,
            ready: row.map_or(0, |row| count(row.ready)),
            delayed: row.map_or(0, |row| count(row.delayed)),
            running: row.map_or(0, |row| count(row.running)),
            dead: failed.iter().find(|row| row.kind == kind).map_or(0, |row| count(row.failed)),
            oldest_age: row.and_then(|row| row.oldest).map(|oldest| now.since(oldest)).unwrap_or_default(),
        }
    };
    Ok(JobKind::ALL.into_iter().map(of_kind).collect())
}
