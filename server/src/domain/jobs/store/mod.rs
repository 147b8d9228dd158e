//! The rows of the queue.
//!
//! States stand in the statements as numbers, because the partial indexes are only used for constants:
//! 1 is queued, 2 running, 3 cancelling, 4 succeeded, 5 failed, 6 cancelled.

mod claim;
mod depth;
mod lease;
mod queue;
mod read;
pub(super) mod workers;

use sea_orm::{ConnectionTrait as _, ExecResult, FromQueryResult, Statement, Value};

pub(super) use claim::{Claim, claim, next_due};
pub(super) use depth::depth;
pub(super) use lease::{
    EndedAttempt, Leased, accept, answer, cancelling, end, end_attempt, epoch, fenced, held_by, next_overdue,
    overdue, renew,
};
pub(super) use queue::{QueuedJob, active_with_key, cancel, insert, lock_key, lock_team, raise_priority};
pub use read::find;
pub(super) use read::list;

use crate::base::{db::Tx, error::Result};

/// Runs a statement with `$1`, `$2`, … in the place of `values`, which both databases read.
async fn execute(tx: &Tx, sql: impl Into<String>, values: Vec<Value>) -> Result<ExecResult> {
    Ok(tx.sql().execute_raw(Statement::from_sql_and_values(tx.backend(), sql, values)).await?)
}

/// The rows of a query, or those that a statement returns.
async fn rows<R: FromQueryResult + Send>(
    tx: &Tx,
    sql: impl Into<String>,
    values: Vec<Value>,
) -> Result<Vec<R>> {
    let statement = Statement::from_sql_and_values(tx.backend(), sql, values);
    let found = tx.sql().query_all_raw(statement).await?;
    Ok(found.iter().map(|row| R::from_query_result(row, "")).collect::<Result<_, _>>()?)
}

/// `count` placeholders from `$first` on, for an `IN` list.
fn placeholders(first: usize, count: usize) -> String {
    let names: Vec<_> = (first..first + count).map(|number| format!("${number}")).collect();
    names.join(", ")
}
