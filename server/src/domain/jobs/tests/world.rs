//! A server without an edge: real stores, a movable clock, and handlers that take note of what they are
//! asked.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hivesync_migrations::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    base::{
        blob::Blobs,
        clock::Clock,
        config::{Config, Source},
        crypto::{FieldCipher, Keys},
        ctx::{Base, Ctx},
        db::{Db, DbOptions, Tx},
        entropy::Entropy,
        error::{Error, Reason, Result},
        ids::{JobId, TeamId},
        kv::{self, Kv},
        limit::Limiter,
        ports::Ports,
        secret::{Secret, SecretText},
        signal::Signals,
        task::Tasks,
    },
    domain::jobs::{
        handler::{JobHandler, JobHandlers},
        model::{
            CleanupOutcome, Ending, Job, JobKind, JobState, LeaseId, LeasedWork, NewJob, OnConflict, Outcome,
            Priority, Work,
        },
        ops, store,
    },
};

/// What the handler was asked.
#[derive(Default)]
pub(in crate::domain::jobs) struct Diary {
    committed: Mutex<HashMap<JobId, u32>>,
    gave_up: Mutex<HashMap<JobId, Vec<Reason>>>,
    /// What the handler says to the next results, if not yes.
    verdict: Mutex<Option<Reason>>,
    /// What the handler says to the next leases, if not yes.
    preparing: Mutex<Option<Reason>>,
    /// The job whose end the handler cannot deal with.
    stumbling: Mutex<Option<JobId>>,
}

impl Diary {
    pub fn commits_of(&self, job: JobId) -> u32 {
        self.committed.lock().unwrap().get(&job).copied().unwrap_or(0)
    }

    pub fn gave_up(&self, job: JobId) -> Vec<Reason> {
        self.gave_up.lock().unwrap().get(&job).cloned().unwrap_or_default()
    }

    pub fn stumble_over(&self, job: JobId) {
        *self.stumbling.lock().unwrap() = Some(job);
    }

    pub fn refuse_results(&self, reason: Option<Reason>) {
        *self.verdict.lock().unwrap() = reason;
    }

    pub fn refuse_leases(&self, reason: Option<Reason>) {
        *self.preparing.lock().unwrap() = reason;
    }
}

struct Noting(JobKind, Arc<Diary>);

#[async_trait]
impl JobHandler for Noting {
    fn kind(&self) -> JobKind {
        self.0
    }

    async fn prepare(&self, _: &Ctx, job: &Job) -> Result<LeasedWork> {
        match *self.1.preparing.lock().unwrap() {
            Some(reason) => Err(Error::new(reason)),
            None => match &job.work {
                Work::Cleanup { projects } => Ok(LeasedWork::Cleanup { projects: projects.clone() }),
                _ => Err(Error::internal("a job of another kind")),
            },
        }
    }

    async fn committed(&self, _: &Ctx, _: &Tx, job: &Job, _: Outcome) -> Result<()> {
        if let Some(reason) = *self.1.verdict.lock().unwrap() {
            return Err(Error::new(reason));
        }
        *self.1.committed.lock().unwrap().entry(job.id).or_default() += 1;
        Ok(())
    }

    async fn gave_up(&self, _: &Ctx, _: &Tx, job: &Job, reason: Reason) -> Result<()> {
        if *self.1.stumbling.lock().unwrap() == Some(job.id) {
            return Err(Error::new(Reason::Internal));
        }
        self.1.gave_up.lock().unwrap().entry(job.id).or_default().push(reason);
        Ok(())
    }
}

pub(in crate::domain::jobs) struct World {
    pub base: Arc<Base>,
    pub diary: Arc<Diary>,
    asked_within: Arc<AtomicBool>,
    _dir: TempDir,
}

/// Whether the only connection that writes to SQLite has a transaction open.
fn is_taken(connection: &DatabaseConnection) -> bool {
    connection.get_sqlite_connection_pool().num_idle() == 0
}

/// The time of a key store, which looks at it whenever it is asked: whether the connection that writes is taken then.
fn noticing(asked_within: &Arc<AtomicBool>, db: &Db, clock: &Clock) -> kv::Millis {
    let (asked_within, connection) = (asked_within.clone(), db.migration_connection().clone());
    let millis = kv::millis(clock);
    Arc::new(move || {
        if connection.get_database_backend() == DbBackend::Sqlite && is_taken(&connection) {
            asked_within.store(true, Ordering::SeqCst);
        }
        millis()
    })
}

/// The server's side of a worker that is known by a small number.
pub(in crate::domain::jobs) fn worker(number: u8) -> (String, Uuid) {
    (format!("worker-{number}"), Uuid::from_u128(u128::from(number) + 1))
}

pub(in crate::domain::jobs) fn team(number: u8) -> TeamId {
    TeamId(Uuid::from_u128(0x1000 + u128::from(number)))
}

/// A result of the kind that the tests' jobs have.
pub(in crate::domain::jobs) fn done() -> Ending {
    Ending::Done(Outcome::Cleanup(CleanupOutcome { mirrors_removed: 1, bytes_freed: 1 }))
}

impl World {
    /// A world on each database that there is: SQLite, and PostgreSQL where the tests are given one.
    pub async fn each() -> Vec<Self> {
        let mut worlds = vec![Self::on_sqlite().await];
        if let Ok(url) = std::env::var("HIVESYNC_TEST_POSTGRES_URL") {
            worlds.push(Self::on_postgres(&url).await);
        }
        worlds
    }

    pub async fn on_sqlite() -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("jobs.db").display());
        Self::build(dir, url).await
    }

    async fn on_postgres(server: &str) -> Self {
        let name = format!("jobs_{}", Entropy::default().uuid(Clock::system().now()).unwrap().simple());
        let connection = Database::connect(server).await.unwrap();
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(server).unwrap();
        url.set_path(&name);
        Self::build(TempDir::new().unwrap(), url.to_string()).await
    }

    async fn build(dir: TempDir, url: String) -> Self {
        let source = Source::default()
            .with("HIVESYNC_ENV", "local")
            .with("DATA_DIR", dir.path().display().to_string())
            .with("WORKER_SHARED_SECRET", "a worker's secret of more than 32 bytes");
        let config = Config::read(&source).unwrap();
        let (clock, entropy) = (Clock::system(), Entropy::default());
        let keys = Keys::new(Secret::new(vec![7; 32]));
        let options = DbOptions { url: SecretText::new(url), connections_max: 8 };
        let db = Db::connect(&options).await.unwrap();
        Migrator::up(db.migration_connection(), None).await.unwrap();
        let asked_within = Arc::<AtomicBool>::default();
        let kv = Kv::from(kv::Memory::new(noticing(&asked_within, &db, &clock), 10_000));
        let public_url = "http://127.0.0.1:1".parse().unwrap();
        let blobs = Blobs::open(
            &config.object_store,
            dir.path(),
            &public_url,
            &Secret::new(vec![8; 32]),
            clock.clone(),
        )
        .unwrap();
        let diary = Arc::<Diary>::default();
        let noting = |kind| Noting(kind, diary.clone());
        let handlers = JobHandlers::default().with(noting(JobKind::Cleanup)).with(noting(JobKind::RepoSync));
        let base = Base {
            field_cipher: FieldCipher::new(&keys).unwrap(),
            config: Arc::new(config),
            limiter: Limiter::new(kv.clone(), kv::millis(&clock), 1),
            clock,
            entropy,
            keys,
            db,
            kv,
            blobs,
            signals: Signals::default(),
            tasks: Tasks::default(),
            ports: Ports::default().plug(Arc::new(handlers)),
        };
        Self { base: Arc::new(base), diary, asked_within, _dir: dir }
    }

    pub fn ctx(&self) -> Ctx {
        Ctx::system(self.base.clone(), "test").unwrap()
    }

    pub fn advance(&self, by: Duration) {
        self.base.clock.advance(by);
    }

    /// A cleanup of `team`, with `key` if it is not empty.
    pub fn new_job(team: TeamId, key: &str, on_conflict: OnConflict) -> NewJob {
        NewJob {
            work: Work::Cleanup { projects: Vec::new() },
            team,
            project: None,
            priority: Priority::Normal,
            concurrency_key: (!key.is_empty()).then(|| key.to_owned()),
            on_conflict,
            requested_by: None,
        }
    }

    pub async fn queue(&self, team: TeamId) -> JobId {
        self.try_queue(Self::new_job(team, "", OnConflict::Queue)).await.unwrap().id
    }

    pub async fn try_queue(&self, new: NewJob) -> Result<Job> {
        let ctx = self.ctx();
        let tx = ctx.begin().await?;
        let job = ops::enqueue(&ctx, &tx, new).await?.job;
        tx.commit().await?;
        Ok(job)
    }

    pub async fn claim(&self, number: u8, limit: usize) -> Vec<LeaseId> {
        let (name, incarnation) = worker(number);
        let claimed = ops::claim(&self.ctx(), &name, incarnation, &JobKind::ALL, limit).await.unwrap();
        claimed.into_iter().map(|claimed| LeaseId { job: claimed.job.id, token: claimed.token }).collect()
    }

    /// Claims one job and accepts it.
    pub async fn start(&self, number: u8) -> LeaseId {
        let lease = self.claim(number, 1).await[0];
        self.accept(lease).await;
        lease
    }

    pub async fn accept(&self, lease: LeaseId) {
        assert!(ops::accept(&self.ctx(), &[(lease, JobKind::Cleanup)]).await.unwrap().is_empty());
    }

    pub async fn commit(&self, lease: LeaseId, ending: Ending) -> Result<JobState> {
        let commit = self.base.entropy.uuid(self.base.clock.now()).unwrap();
        ops::commit(&self.ctx(), lease, commit, ending).await
    }

    pub async fn cancel(&self, id: JobId) -> JobState {
        let ctx = self.ctx();
        let tx = ctx.begin().await.unwrap();
        let job = store::find(&tx, id).await.unwrap().unwrap();
        let job = ops::cancel(&ctx, &tx, job).await.unwrap();
        tx.commit().await.unwrap();
        job.state
    }

    pub async fn job(&self, id: JobId) -> Job {
        store::find(&self.base.db.read(Signals::default()), id).await.unwrap().unwrap()
    }

    pub async fn state(&self, id: JobId) -> JobState {
        self.job(id).await.state
    }

    /// Whether `act` asks the key store while it has a transaction open. Only SQLite tells.
    pub async fn asks_within_a_transaction(&self, act: impl Future<Output = ()>) -> bool {
        // A connection is given back a little after its transaction has ended.
        while is_taken(self.base.db.migration_connection()) {
            tokio::task::yield_now().await;
        }
        self.asked_within.store(false, Ordering::SeqCst);
        act.await;
        self.asked_within.load(Ordering::SeqCst)
    }

    /// Entries of the audit log about `event`.
    pub async fn audited(&self, event: &str) -> usize {
        let view = self.base.db.read(Signals::default());
        let sql = "SELECT 1 AS one FROM audit_entries WHERE event = $1";
        let statement = Statement::from_sql_and_values(view.backend(), sql, [event.into()]);
        view.sql().query_all_raw(statement).await.unwrap().len()
    }

    pub async fn sweep(&self) {
        while ops::sweep(&self.ctx(), 64).await.unwrap() > 0 {}
    }
}
