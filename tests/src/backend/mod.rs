//! What a server keeps its state in: the embedded default, or the stores of a production installation.

mod bucket;
mod database;
mod keys;

use std::{env, path::Path};

use bucket::Bucket;
use database::OwnDatabase;

use crate::tool;

/// The stores of a server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, keys in memory, objects in a directory.
    Embedded,
    /// PostgreSQL, Redis, and a bucket that checks S3 signatures.
    Production,
}

impl Backend {
    /// Whether tests can run on it here. Without the addresses of PostgreSQL and Redis, those of the production back
    /// end are left out, loudly; on CI that is a failure.
    #[must_use]
    pub fn available(self) -> bool {
        if self == Self::Embedded || (setting(POSTGRES).is_some() && setting(REDIS).is_some()) {
            return true;
        }
        assert!(setting("CI").is_none(), "{POSTGRES} and {REDIS} must be set on CI");
        tool::say(&format!("PostgreSQL, Redis and S3: {POSTGRES} and {REDIS} are not set; use tests/run"));
        false
    }
}

const POSTGRES: &str = "HIVESYNC_TEST_POSTGRES_URL";
const REDIS: &str = "HIVESYNC_TEST_REDIS_URL";

fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The stores of one world, gone with it.
pub struct Stores {
    settings: Vec<(&'static str, String)>,
    _database: Option<OwnDatabase>,
    _bucket: Option<Bucket>,
}

impl Stores {
    /// Opens stores that no other test shares. Files go below `directory`.
    pub async fn open(backend: Backend, directory: &Path) -> Self {
        if backend == Backend::Embedded {
            return Self { settings: Vec::new(), _database: None, _bucket: None };
        }
        let postgres = setting(POSTGRES).expect("the back end is available");
        let redis = setting(REDIS).expect("the back end is available");
        let database = OwnDatabase::create(&postgres).await;
        let bucket = Bucket::open(&directory.join("s3")).await;
        let settings = vec![
            ("DATABASE_URL", database.url().to_owned()),
            ("DATABASE_CONNECTIONS_MAX", "8".to_owned()),
            ("REDIS_URL", keys::own_space(&redis).await),
            ("OBJECT_STORE_URL", bucket.url()),
            ("AWS_ACCESS_KEY_ID", bucket::ACCESS_KEY_ID.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", bucket::SECRET_ACCESS_KEY.to_owned()),
        ];
        Self { settings, _database: Some(database), _bucket: Some(bucket) }
    }

    /// What the server must be told to use them.
    #[must_use]
    pub fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }
}
