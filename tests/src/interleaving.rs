//! Calls that meet in the database: on PostgreSQL one goes on while the other has not committed yet.

use std::{pin::Pin, time::Duration};

use futures::future;
use sea_orm::{ConnectionTrait as _, DatabaseTransaction, DbBackend, Statement, TransactionTrait as _};
use tokio::sync::oneshot;

use crate::world::World;

/// What every call that writes waits for last, before it commits.
const AUDIT_HEAD: &str = "SELECT 1 FROM audit_head FOR UPDATE";
/// How often it is looked whether a statement waits.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A transaction of the test, for which the server's transactions wait. On SQLite it is none: a transaction there
/// waits before its first statement.
pub struct Hold(Option<DatabaseTransaction>);

impl Hold {
    /// Holds what `statement` locks.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn take(world: &World, statement: &str) -> Self {
        let db = &world.app().base().db;
        if db.backend() == DbBackend::Sqlite {
            return Self(None);
        }
        let open = db.migration_connection().begin().await.expect("a transaction");
        open.execute_unprepared(statement).await.expect("nobody else holds it");
        Self(Some(open))
    }

    /// Locks more.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn lock(&self, statement: &str) {
        if let Some(open) = &self.0 {
            open.execute_unprepared(statement).await.expect("the database answers");
        }
    }

    /// Waits until `count` statements wait for a lock.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn has_stopped(&self, count: i64) {
        let Some(open) = &self.0 else { return };
        let sql = "SELECT count(*) AS waiting FROM pg_locks AS locks
                   JOIN pg_stat_activity AS backends ON backends.pid = locks.pid
                   WHERE NOT locks.granted AND backends.datname = current_database()";
        loop {
            let statement = Statement::from_string(DbBackend::Postgres, sql);
            let row = open.query_one_raw(statement).await.expect("the database answers").expect("a row");
            if row.try_get::<i64>("", "waiting").expect("a number") >= count {
                return;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Lets go, and keeps what it wrote.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn commit(self) {
        if let Some(open) = self.0 {
            open.commit().await.expect("the database answers");
        }
    }

    /// Lets go, without a trace.
    ///
    /// # Panics
    /// If the database does not answer.
    pub async fn release(self) {
        if let Some(open) = self.0 {
            open.rollback().await.expect("the database answers");
        }
    }
}

/// Has `second` begin when `first` has written everything but its audit entry, and lets `first` commit when `second`
/// waits or has ended. On SQLite `second` begins when `first` has ended.
pub fn interleave<A, B>(
    world: &World,
    first: impl Future<Output = A>,
    second: impl Future<Output = B>,
) -> Pin<Box<impl Future<Output = (A, B)>>> {
    Box::pin(async move {
        let hold = Hold::take(world, AUDIT_HEAD).await;
        if hold.0.is_none() {
            return (first.await, second.await);
        }
        let (stopped, has_stopped) = oneshot::channel();
        let (ended, has_ended) = oneshot::channel::<()>();
        let second = async {
            has_stopped.await.expect("the first stops");
            let outcome = second.await;
            drop(ended);
            outcome
        };
        let order = async {
            hold.has_stopped(1).await;
            stopped.send(()).expect("the second waits");
            let waits = Box::pin(hold.has_stopped(2));
            future::select(waits, has_ended).await;
            hold.release().await;
        };
        let (first, second, ()) = futures::join!(first, second, order);
        (first, second)
    })
}
