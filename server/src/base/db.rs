//! Rows: SQLite or PostgreSQL through one type of transaction.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::BoxFuture;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DatabaseExecutor,
    DatabaseTransaction, DbBackend, QuerySelect, SqliteTransactionMode, TransactionOptions,
    TransactionTrait as _, sea_query::LockType,
};

use super::{
    error::{Error, Reason, Result},
    secret::SecretText,
    signal::{Signals, Topic},
};

/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest that PostgreSQL works on one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// A database. SQLite has one connection that writes, and several that only read.
#[derive(Clone)]
pub struct Db {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
}

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// `sqlite:///absolute/path` or `postgres://…`.
    pub url: SecretText,
    /// The most connections to hold open, at least 2.
    pub connections_max: u32,
}

impl Db {
    /// Connects. An SQLite file is made if it is not there.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the database cannot be reached.
    pub async fn connect(options: &DbOptions) -> Result<Self> {
        let url = options.url.expose();
        if url.starts_with("sqlite:") {
            let mut writer = ConnectOptions::new(with_query(url, "mode=rwc"));
            writer.max_connections(1).min_connections(1);
            let writer = connect_sqlite(writer).await?;
            let mut reader = ConnectOptions::new(with_query(url, "mode=ro"));
            reader.max_connections(options.connections_max.max(2));
            Ok(Self { writer, reader: connect_sqlite(reader).await? })
        } else {
            let mut connect = ConnectOptions::new(url);
            connect
                .max_connections(options.connections_max.max(2))
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_timeout(ACQUIRE_TIMEOUT)
                .statement_timeout(STATEMENT_TIMEOUT)
                .set_application_name("hivesync")
                .test_before_acquire(false)
                .sqlx_logging(false)
                // Statements are written for indexes, not for values: to plan one anew for the first five
                // executions on each connection costs more than most executions.
                .map_sqlx_postgres_opts(|postgres| {
                    postgres.options([("plan_cache_mode", "force_generic_plan")])
                });
            let pool = Database::connect(connect).await?;
            Ok(Self { writer: pool.clone(), reader: pool })
        }
    }

    /// Has `seen` told the text of every statement from now on, but not of the marks and the ends of transactions.
    #[cfg(test)]
    pub fn observe(&mut self, seen: impl Fn(&str) + Clone + Send + Sync + 'static) {
        let told = seen.clone();
        self.writer.set_metric_callback(move |info| told(&info.statement.sql));
        self.reader.set_metric_callback(move |info| seen(&info.statement.sql));
    }

    /// Which database it is.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.writer.get_database_backend()
    }

    /// The connection that migrations run on.
    #[must_use]
    pub fn migration_connection(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Begins a transaction that writes.
    ///
    /// # Errors
    /// `UNAVAILABLE` if no connection is to be had.
    pub async fn begin(&self, signals: Signals) -> Result<Tx> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let open = self.writer.begin_with_options(options).await?;
        Ok(Tx::new(Scope::Transaction(open), signals))
    }

    /// A view for writing, each statement for itself: what takes only one is spared the trips of a transaction.
    #[must_use]
    pub fn autocommit(&self, signals: Signals) -> Tx {
        Tx::new(Scope::Statements(self.writer.clone()), signals)
    }

    /// A view for reading, each statement for itself.
    #[must_use]
    pub fn read(&self, signals: Signals) -> Tx {
        Tx::new(Scope::Statements(self.reader.clone()), signals)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// `UNAVAILABLE` if it does not.
    pub async fn ping(&self) -> Result<()> {
        self.reader.ping().await.map_err(|error| Error::new(Reason::Unavailable).because(error))
    }

    /// Closes every connection, after the statements that run.
    pub async fn close(self) {
        let _ = self.reader.close().await;
        let _ = self.writer.close().await;
    }
}

fn with_query(url: &str, query: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}{query}")
}

async fn connect_sqlite(mut options: ConnectOptions) -> Result<DatabaseConnection> {
    options
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .pragma("journal_mode", "WAL")
                // A commit that was answered survives a power cut, as it does on PostgreSQL.
                .pragma("synchronous", "FULL")
                .pragma("foreign_keys", "ON")
                .pragma("trusted_schema", "OFF")
                .busy_timeout(ACQUIRE_TIMEOUT)
        });
    Ok(Database::connect(options).await?)
}

/// An open transaction, or a view whose statements are each committed at once.
pub struct Tx {
    scope: Scope,
    signals: Signals,
    raised: Mutex<Vec<Topic>>,
    last: Mutex<Vec<LastWrite>>,
}

enum Scope {
    Transaction(DatabaseTransaction),
    Statements(DatabaseConnection),
}

type LastWrite = Box<dyn for<'a> FnOnce(&'a Tx) -> BoxFuture<'a, Result<()>> + Send>;

/// A point in a transaction to which it can be brought back.
#[must_use]
pub struct Mark {
    last_writes: usize,
}

impl Tx {
    fn new(scope: Scope, signals: Signals) -> Self {
        Self { scope, signals, raised: Mutex::default(), last: Mutex::default() }
    }

    /// What a `store` runs its statements on.
    #[must_use]
    pub fn sql(&self) -> DatabaseExecutor<'_> {
        match &self.scope {
            Scope::Transaction(open) => DatabaseExecutor::Transaction(open),
            Scope::Statements(pool) => DatabaseExecutor::Connection(pool),
        }
    }

    /// Which database it is, for the few statements that differ.
    #[must_use]
    pub fn backend(&self) -> DbBackend {
        self.sql().get_database_backend()
    }

    /// Whether others write while this transaction is open, so that a row must be locked to stay as it was read.
    /// On SQLite one transaction writes at a time, and a view holds nothing.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.scope, Scope::Transaction(_)) && self.backend() == DbBackend::Postgres
    }

    /// Has the rows that `query` finds stay as they are until the transaction ends.
    #[must_use]
    pub fn hold<Q: QuerySelect>(&self, query: Q, lock: LockType) -> Q {
        if self.is_shared() { query.lock(lock) } else { query }
    }

    /// Sets a mark, to which [`Tx::return_to_mark`] brings the transaction back.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn set_mark(&self) -> Result<Mark> {
        self.execute("SAVEPOINT mark").await?;
        Ok(Mark { last_writes: self.last_writes().len() })
    }

    /// Undoes what was written since `mark`, and what was to be written last.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn return_to_mark(&self, mark: Mark) -> Result<()> {
        self.last_writes().truncate(mark.last_writes);
        self.execute("ROLLBACK TO SAVEPOINT mark").await
    }

    /// Keeps what was written since `mark`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn forget_mark(&self, _: Mark) -> Result<()> {
        self.execute("RELEASE SAVEPOINT mark").await
    }

    /// Has `write` run when the transaction is committed, after everything else that is written in it: for rows that
    /// so many transactions write that nobody may wait for anything else while holding them.
    pub fn write_last<F>(&self, write: F)
    where
        F: for<'a> FnOnce(&'a Self) -> BoxFuture<'a, Result<()>> + Send + 'static,
    {
        self.last_writes().push(Box::new(write));
    }

    fn last_writes(&self) -> MutexGuard<'_, Vec<LastWrite>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(&self, statement: &str) -> Result<()> {
        self.sql().execute_unprepared(statement).await?;
        Ok(())
    }

    /// Wakes whoever listens to `topic`, once this transaction is committed.
    pub fn raise(&self, topic: Topic) {
        let mut raised = self.raised.lock().unwrap_or_else(PoisonError::into_inner);
        if !raised.contains(&topic) {
            raised.push(topic);
        }
    }

    /// Writes what is to be written last, makes everything that was written visible, and then raises the wake-ups.
    /// A transaction that is dropped instead leaves no trace.
    ///
    /// # Errors
    /// `CONFLICT` if another transaction came first, `UNAVAILABLE` if the database went away. Nothing is written
    /// then.
    pub async fn commit(self) -> Result<()> {
        let last = std::mem::take(&mut *self.last_writes());
        for write in last {
            write(&self).await?;
        }
        if let Scope::Transaction(open) = self.scope {
            open.commit().await?;
        }
        for topic in self.raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.signals.raise(topic);
        }
        Ok(())
    }
}
