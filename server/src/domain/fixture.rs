//! Slices on real stores, without an edge: for tests that call `ops`.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};

use hivesync_migrations::{Migrator, MigratorTrait as _};
use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use url::Url;

use super::{
    access::Memberships,
    auth::{AccessTokens, Passwords, PersonalTeams},
    teams::Teams,
};
use crate::base::{
    actor::{Actor, PlatformRole, User},
    blob::Blobs,
    clock::Clock,
    config::{Config, Source},
    crypto::{FieldCipher, Keys},
    ctx::{Base, Call, CorrelationId, Ctx, ProvenKey},
    db::Db,
    entropy::Entropy,
    ids::{DeviceId, SessionId, UserId},
    kv::{self, Kv, Memory},
    limit::Limiter,
    ports::Ports,
    signal::Signals,
    task::Tasks,
};

/// The address of a PostgreSQL server that the tests may make databases on.
const POSTGRES: &str = "HIVESYNC_TEST_POSTGRES_URL";

/// Everything below the edge, on a database of its own.
pub(super) struct World {
    pub base: Arc<Base>,
    /// What the database was told.
    pub statements: Arc<Mutex<Vec<String>>>,
    _dir: TempDir,
}

impl World {
    /// One on SQLite, and one on PostgreSQL if there is a server for tests.
    pub(super) async fn all() -> Vec<Self> {
        let mut worlds = vec![Self::open(None).await];
        if let Some(server) = Source::environment().text(POSTGRES) {
            let name = format!("hivesync_unit_{}", hex(&Entropy::default().bytes::<8>().unwrap()));
            let connection = Database::connect(&server).await.unwrap();
            connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
            let mut url = Url::parse(&server).unwrap();
            url.set_path(&name);
            worlds.push(Self::open(Some(url)).await);
        }
        worlds
    }

    async fn open(database: Option<Url>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut source = Source::default()
            .with("DATA_DIR", dir.path().to_str().unwrap())
            // The floor is for the boot guard; these tests compare many passwords.
            .with("PASSWORD_MEMORY_KIB", "64")
            .with("PASSWORD_ITERATIONS", "1");
        if let Some(url) = database {
            source = source.with("DATABASE_URL", url.as_str());
        }
        let config = Config::read(&source).unwrap();
        let (clock, entropy) = (Clock::default(), Entropy::default());
        let keys = Keys::new(config.field_key.clone());
        let mut db = Db::connect(&config.database).await.unwrap();
        Migrator::up(db.migration_connection(), None).await.unwrap();
        let statements = Arc::new(Mutex::new(Vec::new()));
        let told = statements.clone();
        db.observe(move |statement| told.lock().unwrap().push(statement.to_owned()));
        let kv = Kv::from(Memory::new(kv::millis(&clock), 10_000));
        let public_url = Url::parse("http://127.0.0.1:1").unwrap();
        let blobs =
            Blobs::open(&config.object_store, dir.path(), &public_url, &config.field_key, clock.clone());
        let ports = Ports::default()
            .plug::<dyn Memberships>(Arc::new(Teams))
            .plug::<dyn PersonalTeams>(Arc::new(Teams))
            .plug(Arc::new(AccessTokens::new(&config.tokens).unwrap()))
            .plug(Arc::new(Passwords::new(config.password, &entropy).unwrap()));
        let base = Base {
            field_cipher: FieldCipher::new(&keys).unwrap(),
            limiter: Limiter::new(kv.clone(), kv::millis(&clock), 1),
            blobs: blobs.unwrap(),
            config: Arc::new(config),
            clock,
            entropy,
            keys,
            db,
            kv,
            signals: Signals::default(),
            tasks: Tasks::default(),
            ports,
        };
        Self { base: Arc::new(base), statements, _dir: dir }
    }

    /// A call by `actor`.
    pub(super) fn call(&self, actor: Actor) -> Ctx {
        let call = Call {
            correlation: CorrelationId::generate(&self.base).unwrap(),
            route: "hivesync.v1.TestService/Test",
            address: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
            proven_key: None,
            deadline: Duration::from_secs(10),
        };
        Ctx::new(self.base.clone(), actor, call)
    }

    /// A call by nobody known, from the device with the key `thumbprint`.
    pub(super) fn call_from(&self, thumbprint: &str) -> Ctx {
        let mut ctx = self.call(Actor::Anonymous);
        ctx.call.proven_key =
            Some(Arc::new(ProvenKey { thumbprint: thumbprint.to_owned(), jwk: "{}".to_owned() }));
        ctx
    }

    /// A call by the user `id`.
    pub(super) fn call_by(&self, id: UserId, role: PlatformRole) -> Ctx {
        let (session, device) = (SessionId(id.0), DeviceId(id.0));
        self.call(Actor::User(User { id, session, device, role }))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
