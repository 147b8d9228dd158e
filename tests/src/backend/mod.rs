//! What a server keeps its state in: the embedded default, or the stores of a production installation.

mod bucket;
mod database;
mod gateway;
mod keys;

use std::{
    env,
    path::{Path, PathBuf},
};

use bucket::Bucket;
use database::OwnDatabase;
use gateway::Gateway;

use crate::tool;

/// The stores of a server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// SQLite, keys in memory, objects in a directory.
    Embedded,
    /// PostgreSQL, Redis, and a bucket that checks S3 signatures.
    Production,
    /// As embedded, with objects in an S3 server of other people.
    Gateway,
}

impl Backend {
    /// Whether tests can run on it here. Without the addresses of PostgreSQL and Redis, those of the production back
    /// end are left out, loudly; on CI that is a failure. So it is with the gateway.
    #[must_use]
    pub fn available(self) -> bool {
        if self == Self::Gateway {
            return tool::find(GATEWAY).is_some();
        }
        if self == Self::Embedded || (setting(POSTGRES).is_some() && setting(REDIS).is_some()) {
            return true;
        }
        tool::do_without(&format!(
            "PostgreSQL, Redis and S3: {POSTGRES} and {REDIS} are not set; use tests/run"
        ));
        false
    }
}

const POSTGRES: &str = "HIVESYNC_TEST_POSTGRES_URL";
const REDIS: &str = "HIVESYNC_TEST_REDIS_URL";
const GATEWAY: &str = "HIVESYNC_TEST_VERSITYGW";

fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The directory from which buckets are served.
pub const OBJECTS_DIR: &str = "s3";

/// The stores of one world, gone with it.
pub struct Stores {
    settings: Vec<(&'static str, String)>,
    _database: Option<OwnDatabase>,
    _bucket: Option<Bucket>,
    _gateway: Option<Gateway>,
}

impl Stores {
    /// Opens stores that no other test shares. Files go below `directory`.
    pub async fn open(backend: Backend, directory: &Path) -> Self {
        match backend {
            Backend::Embedded => {
                Self { settings: Vec::new(), _database: None, _bucket: None, _gateway: None }
            }
            Backend::Production => Self::production(directory).await,
            Backend::Gateway => Self::gateway(directory).await,
        }
    }

    async fn gateway(directory: &Path) -> Self {
        let program = tool::find(GATEWAY).expect("the back end is available");
        let gateway = Gateway::open(&program, &directory.join(OBJECTS_DIR)).await;
        let settings = object_settings(gateway.url()).into();
        Self { settings, _database: None, _bucket: None, _gateway: Some(gateway) }
    }

    async fn production(directory: &Path) -> Self {
        let postgres = setting(POSTGRES).expect("the back end is available");
        let redis = setting(REDIS).expect("the back end is available");
        let database = OwnDatabase::create(&postgres).await;
        let bucket = Bucket::open(&directory.join(OBJECTS_DIR)).await;
        let mut settings = vec![
            ("DATABASE_URL", database.url().to_owned()),
            ("DATABASE_CONNECTIONS_MAX", "8".to_owned()),
            ("REDIS_URL", keys::own_space(&redis).await),
        ];
        settings.extend(object_settings(bucket.url()));
        Self { settings, _database: Some(database), _bucket: Some(bucket), _gateway: None }
    }

    /// The database, unless it is the server's own.
    #[must_use]
    pub fn database_url(&self) -> Option<&str> {
        self.setting("DATABASE_URL")
    }

    /// Where the objects really are, of stores that were opened below `directory`, unless they are the server's own.
    #[must_use]
    pub fn objects(&self, directory: &Path) -> Option<PathBuf> {
        self.setting("OBJECT_STORE_URL").map(|_| directory.join(OBJECTS_DIR).join(bucket::NAME))
    }

    fn setting(&self, wanted: &str) -> Option<&str> {
        self.settings.iter().find_map(|(name, value)| (*name == wanted).then_some(value.as_str()))
    }

    /// What the server must be told to use them.
    #[must_use]
    pub fn settings(&self) -> &[(&'static str, String)] {
        &self.settings
    }
}

fn object_settings(url: String) -> [(&'static str, String); 3] {
    [
        ("OBJECT_STORE_URL", url),
        ("AWS_ACCESS_KEY_ID", bucket::ACCESS_KEY_ID.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", bucket::SECRET_ACCESS_KEY.to_owned()),
    ]
}
