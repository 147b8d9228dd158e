//! The configuration: read once, from the environment and an optional file, before anything is opened.

pub mod settings;
mod source;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use url::Url;

pub use source::{Fault, Source, private_directory};

use super::{
    db::DbOptions,
    secret::{Secret, SecretText},
};

/// Where the server runs, and so what it insists on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// A laptop: plaintext on loopback, generated secrets, loud about both.
    Local,
    /// Like production, on less.
    Staging,
    /// Refuses to start when anything is missing or weak.
    Production,
}

impl Environment {
    /// How it is written in `HIVESYNC_ENV`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// Whether this is a laptop.
    #[must_use]
    pub fn is_local(self) -> bool {
        self == Self::Local
    }
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// `HIVESYNC_ENV`: `local` (default), `staging` or `production`.
    pub environment: Environment,
    /// `DATA_DIR`: mirrors, local objects, generated secrets.
    pub data_dir: PathBuf,
    /// `DATABASE_URL`: `sqlite://…` (default: a file in `DATA_DIR`) or `postgres://…`;
    /// `DATABASE_CONNECTIONS_MAX`, default 16.
    pub database: DbOptions,
    /// `REDIS_URL`: `redis://` or `rediss://`; without one, keys are held in memory.
    pub redis_url: Option<SecretText>,
    /// `OBJECT_STORE_URL`: `file:///dir` (default: in `DATA_DIR`) or `s3://bucket?endpoint=…&region=…`.
    pub object_store: ObjectStore,
    /// `LISTEN_ADDR`, `WORKER_LISTEN_ADDR`, `ADMIN_LISTEN_ADDR`, `METRICS_LISTEN_ADDR`.
    pub listen: Listen,
    /// `PUBLIC_URL`: how clients reach the public listener; by default derived from its address.
    pub public_url: Option<Url>,
    /// `TLS_CERT_FILE` and `TLS_KEY_FILE`.
    pub tls: Option<TlsFiles>,
    /// `TLS_TERMINATED_BY_PROXY`: a proxy in front speaks TLS.
    pub tls_terminated_by_proxy: bool,
    /// Access tokens.
    pub tokens: Tokens,
    /// `WORKER_SHARED_SECRET`.
    pub worker_shared_secret: Secret,
    /// `FIELD_KEY`: the root of all derived keys.
    pub field_key: Secret,
    /// `PREVIEW_KEY`, and `PREVIEW_KEY_PREVIOUS` while it is being rotated.
    pub preview_keys: Vec<Secret>,
    /// `CORS_ORIGINS`: exact origins, separated by commas.
    pub cors_origins: Vec<String>,
    /// `TRUSTED_PROXIES`: the networks whose forwarded headers count.
    pub trusted_proxies: Vec<IpNet>,
    /// `FORWARDED_HEADER`: `x-forwarded-for` (default) or `forwarded`.
    pub forwarded_header: ForwardedHeader,
    /// `DENIED_NETWORKS`: clients from here are refused.
    pub denied_networks: Vec<IpNet>,
    /// `REPOSITORY_PORTS`: ports of repositories beside 443.
    pub repository_ports: Vec<u16>,
    /// `PASSWORD_MEMORY_KIB`, `PASSWORD_ITERATIONS`: the cost of Argon2id.
    pub password: PasswordCost,
    /// `ALLOW_EMBEDDED_STORES`: accept SQLite and in-memory keys outside of local mode.
    pub allow_embedded_stores: bool,
    /// `DRAIN_SECS`: how long calls may go on after SIGTERM; default 20.
    pub drain: Duration,
    /// Sizes and numbers.
    pub limits: Limits,
}

/// Where objects are kept.
#[derive(Clone, Debug)]
pub struct ObjectStore {
    /// The address, without credentials.
    pub url: String,
    /// `AWS_ACCESS_KEY_ID`.
    pub access_key_id: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret_access_key: Option<SecretText>,
}

/// The addresses to listen on. Port 0 takes a free one.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// For everybody.
    pub public: SocketAddr,
    /// For workers.
    pub worker: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For Prometheus and probes.
    pub metrics: SocketAddr,
}

/// The files of a certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Access tokens.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// `JWT_SECRET`: signs with HS256.
    pub secret: Option<Secret>,
    /// `JWT_KEYS_DIR`: PEM files named `<kid>.pem` (EdDSA, ES256, RS256); the last by name signs.
    pub keys_dir: Option<PathBuf>,
    /// `JWT_ISSUER`, default `hivesync`.
    pub issuer: String,
    /// `JWT_AUDIENCE`, default `hivesync-api`.
    pub audience: String,
    /// `ACCESS_TOKEN_SECS`: at most and by default 900.
    pub life: Duration,
}

/// Which header carries the client's address behind a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedHeader {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// The cost of Argon2id (RFC 9106).
#[derive(Clone, Copy, Debug)]
pub struct PasswordCost {
    /// Memory in KiB; at least 19,456.
    pub memory_kib: u32,
    /// Passes; at least 2.
    pub iterations: u32,
}

/// Sizes and numbers that bound the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `MESSAGE_BYTES_MAX`: the largest message accepted, default 4 MiB.
    pub message_bytes_max: usize,
    /// `CALLS_MAX`: calls at work at the same time, default 4,096.
    pub calls_max: usize,
    /// `MIRROR_BYTES_MAX`: the quota of one mirror, default 2 GiB.
    pub mirror_bytes_max: u64,
    /// `RATE_LIMITS`: `on`, or `off` in local mode only.
    pub rate_limits: bool,
}

/// The file in a data directory that names its environment.
pub const ENVIRONMENT_MARKER: &str = "environment";

/// Bytes that a secret must have at least.
pub const SECRET_BYTES_MIN: usize = 32;

impl Config {
    /// Reads everything. All faults at once, never with a value in them.
    ///
    /// # Errors
    /// One fault for each setting that is missing or cannot be read.
    pub fn read(source: &Source) -> Result<Self, Vec<Fault>> {
        match Self::read_leniently(source) {
            (config, faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    /// For which environment and in which directory a server would start, and what keeps that from being known.
    pub(super) fn place(source: &Source) -> (Environment, PathBuf, Vec<Fault>) {
        let mut reader = source::Reader::new(source);
        let (environment, data_dir) = (reader.environment(), reader.data_dir());
        (environment, data_dir, reader.into_faults())
    }

    /// Reads what can be read, so that the boot guard can judge the rest too: what is missing is empty, and
    /// has its fault.
    pub(super) fn read_leniently(source: &Source) -> (Self, Vec<Fault>) {
        let mut reader = source::Reader::new(source);
        let environment = reader.environment();
        let data_dir = reader.data_dir();
        let secrets = Secrets { environment, directory: data_dir.join("secrets") };
        let config = Self {
            environment,
            database: DbOptions {
                url: reader.secret_text("DATABASE_URL").unwrap_or_else(|| {
                    SecretText::new(format!("sqlite://{}", data_dir.join("hivesync.db").display()))
                }),
                connections_max: reader.parsed("DATABASE_CONNECTIONS_MAX", 16),
            },
            redis_url: reader.secret_text("REDIS_URL"),
            object_store: ObjectStore {
                url: source
                    .text("OBJECT_STORE_URL")
                    .unwrap_or_else(|| format!("file://{}", data_dir.join("blobs").display())),
                access_key_id: source.text("AWS_ACCESS_KEY_ID"),
                secret_access_key: reader.secret_text("AWS_SECRET_ACCESS_KEY"),
            },
            listen: Listen::read(&mut reader),
            public_url: reader.parsed_optional("PUBLIC_URL"),
            tls: reader.tls_files(),
            tls_terminated_by_proxy: reader.parsed("TLS_TERMINATED_BY_PROXY", false),
            tokens: Tokens::read(source, &mut reader, &secrets),
            worker_shared_secret: secrets.required(&mut reader, "WORKER_SHARED_SECRET").unwrap_or_else(empty),
            field_key: secrets.required(&mut reader, "FIELD_KEY").unwrap_or_else(empty),
            preview_keys: [
                secrets.required(&mut reader, "PREVIEW_KEY"),
                reader.secret("PREVIEW_KEY_PREVIOUS"),
            ]
            .into_iter()
            .flatten()
            .collect(),
            cors_origins: source.list("CORS_ORIGINS"),
            trusted_proxies: reader.networks("TRUSTED_PROXIES"),
            forwarded_header: reader.forwarded_header(),
            denied_networks: reader.networks("DENIED_NETWORKS"),
            repository_ports: reader.ports("REPOSITORY_PORTS"),
            password: PasswordCost {
                memory_kib: reader.parsed("PASSWORD_MEMORY_KIB", 19 * 1024),
                iterations: reader.parsed("PASSWORD_ITERATIONS", 2),
            },
            allow_embedded_stores: reader.parsed("ALLOW_EMBEDDED_STORES", false),
            drain: Duration::from_secs(reader.parsed("DRAIN_SECS", 20)),
            limits: Limits::read(&mut reader),
            data_dir,
        };
        (config, reader.into_faults())
    }

    /// Where the mirrors are.
    #[must_use]
    pub fn repos_dir(&self) -> PathBuf {
        self.data_dir.join("repos")
    }
}

impl Listen {
    fn read(reader: &mut source::Reader<'_>) -> Self {
        let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            public: reader.parsed("LISTEN_ADDR", loopback(7440)),
            worker: reader.parsed("WORKER_LISTEN_ADDR", loopback(7441)),
            admin: reader.parsed("ADMIN_LISTEN_ADDR", loopback(7442)),
            metrics: reader.parsed("METRICS_LISTEN_ADDR", loopback(7443)),
        }
    }
}

impl Tokens {
    fn read(source: &Source, reader: &mut source::Reader<'_>, secrets: &Secrets) -> Self {
        let keys_dir = source.text("JWT_KEYS_DIR").map(PathBuf::from);
        Self {
            secret: match &keys_dir {
                Some(_) => reader.secret("JWT_SECRET"),
                None => secrets.required(reader, "JWT_SECRET"),
            },
            keys_dir,
            issuer: source.text("JWT_ISSUER").unwrap_or_else(|| "hivesync".to_owned()),
            audience: source.text("JWT_AUDIENCE").unwrap_or_else(|| "hivesync-api".to_owned()),
            life: Duration::from_secs(reader.parsed("ACCESS_TOKEN_SECS", 900)),
        }
    }
}

impl Limits {
    fn read(reader: &mut source::Reader<'_>) -> Self {
        Self {
            message_bytes_max: reader.parsed("MESSAGE_BYTES_MAX", 4 * 1024 * 1024),
            calls_max: reader.parsed("CALLS_MAX", 4096),
            mirror_bytes_max: reader.parsed("MIRROR_BYTES_MAX", 2 * 1024 * 1024 * 1024),
            rate_limits: reader.switch("RATE_LIMITS", true),
        }
    }
}

fn empty() -> Secret {
    Secret::new(Vec::new())
}

/// Where a secret comes from if nobody sets it: in local mode, from a file that is made at the first start.
struct Secrets {
    environment: Environment,
    directory: PathBuf,
}

impl Secrets {
    fn required(&self, reader: &mut source::Reader<'_>, name: &'static str) -> Option<Secret> {
        if let Some(secret) = reader.secret(name) {
            return Some(secret);
        }
        if !self.environment.is_local() {
            reader.fault(name, "is missing", "set it, or NAME_FILE, to at least 32 random bytes");
            return None;
        }
        match source::generated_secret(&self.directory, name) {
            Ok(secret) => Some(secret),
            Err(_) => {
                reader.fault(
                    name,
                    "cannot be generated",
                    "make DATA_DIR writable for this user only, or set it",
                );
                None
            }
        }
    }
}
