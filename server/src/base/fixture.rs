//! What a slice's own tests stand on: a base with a database and objects in a directory of its own.

use std::sync::Arc;

use hivesync_migrations::{Migrator, MigratorTrait as _};
use sea_orm::ConnectionTrait as _;
use tempfile::TempDir;
use url::Url;
use uuid::Uuid;

use super::{
    actor::{Actor, PlatformRole, User},
    blob::Blobs,
    clock::Clock,
    config::{Config, Source},
    crypto::{FieldCipher, Keys, Purpose},
    ctx::{Base, Ctx},
    db::Db,
    entropy::Entropy,
    ids::{DeviceId, SessionId, UserId},
    kv::{self, Kv},
    limit::Limiter,
    ports::Ports,
    signal::Signals,
    task::Tasks,
};

/// A base on SQLite, migrated, in local mode.
pub struct Fixture {
    /// The base.
    pub base: Arc<Base>,
    _directory: TempDir,
}

impl Fixture {
    /// A base of its own, with `ports`.
    pub async fn new(ports: Ports) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("data");
        let config = Config::read(&Source::default().with("DATA_DIR", data_dir.to_str().unwrap())).unwrap();
        super::config::private_directory(&config.repos_dir()).unwrap();
        let clock = Clock::system();
        let keys = Keys::new(config.field_key.clone());
        let db = Db::connect(&config.database).await.unwrap();
        Migrator::up(db.migration_connection(), None).await.unwrap();
        let kv = Kv::from(kv::Memory::new(kv::millis(&clock), 1_000));
        let blob_key = keys.derive(Purpose::BlobUrl).unwrap();
        let url = Url::parse("http://127.0.0.1:1").unwrap();
        let base = Base {
            blobs: Blobs::open(&config.object_store, &config.data_dir, &url, &blob_key, clock.clone())
                .unwrap(),
            field_cipher: FieldCipher::new(&keys).unwrap(),
            limiter: Limiter::new(kv.clone(), kv::millis(&clock), 1),
            config: Arc::new(config),
            clock,
            entropy: Entropy::default(),
            keys,
            db,
            kv,
            signals: Signals::default(),
            tasks: Tasks::default(),
            ports,
        };
        Self { base: Arc::new(base), _directory: directory }
    }

    /// Runs a statement, to make rows of slices whose own way to make them is long.
    pub async fn execute(&self, sql: &str) {
        self.base.db.migration_connection().execute_unprepared(sql).await.unwrap();
    }

    /// A call by the server itself.
    pub fn system(&self) -> Ctx {
        Ctx::system(self.base.clone(), "test").unwrap()
    }

    /// A call by the user whose identifier, session and device are `number`.
    pub fn user(&self, number: u128) -> Ctx {
        let id = Uuid::from_u128(number);
        let (id, session, device) = (UserId(id), SessionId(id), DeviceId(id));
        let mut ctx = self.system();
        ctx.actor = Actor::User(User { id, session, device, role: PlatformRole::User });
        ctx
    }
}
