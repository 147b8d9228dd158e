//! A worker as a whole: put together from its configuration, run until it is told to leave.

use std::{future::Future, os::unix::fs::DirBuilderExt as _, path::PathBuf, sync::Arc, time::Duration};

use hivesync_proto::{repository_url::UrlPolicy, v1::JobKind, worker_proof::is_worker_id};
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio::{sync::watch, time::timeout};

use crate::{
    connection::Connection,
    error::WorkerError,
    executor::{Executor, Surroundings},
    git::{mirror::Mirror, version},
    identity::Identity,
    report::Reporter,
    sandbox::WorkDir,
    session::Session,
    task,
};

/// The shortest shared secret.
const SECRET_BYTES_MIN: usize = 32;

/// The most jobs at a time, by the contract.
const SLOTS_MAX: u32 = 256;

/// How long jobs that were stopped at the end of a drain may take to be given back.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// How long the server may take to promise that no lease follows.
const DRAIN_START_LIMIT: Duration = Duration::from_secs(2);

/// Limits of a download.
const DOWNLOAD_CONNECT_LIMIT: Duration = Duration::from_secs(5);
const DOWNLOAD_READ_LIMIT: Duration = Duration::from_secs(30);

/// What a worker is told at its start.
#[derive(Debug)]
pub struct WorkerConfig {
    /// The server's worker listener, such as `https://hivesync.example:7441`.
    pub server_url: String,
    /// What proves that the worker belongs to the server; at least 32 bytes.
    pub shared_secret: SecretSlice<u8>,
    /// Its stable name: 1 to 64 of `a-z 0-9 . _ -`. No two running workers have the same.
    pub worker_id: String,
    /// Where mirrors and private directories are.
    pub data_dir: PathBuf,
    /// Jobs at a time, 1 to 256.
    pub slots: u32,
    /// What it does.
    pub kinds: Vec<JobKind>,
    /// Which repository addresses it fetches from.
    pub url_policy: UrlPolicy,
    /// A PEM certificate of the authority that the server's certificate is from; the system's otherwise.
    pub tls_root: Option<Vec<u8>>,
    /// How long running jobs may go on after the worker was told to leave.
    pub drain_limit: Duration,
}

/// A worker that is ready to run.
#[derive(Debug)]
pub struct Worker {
    session: Session,
    data_dir: PathBuf,
    tmp_dir: PathBuf,
    drain_limit: Duration,
}

impl Worker {
    /// Puts a worker together. Nothing is connected or written yet.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: WorkerConfig) -> Result<Self, WorkerError> {
        if config.shared_secret.expose_secret().len() < SECRET_BYTES_MIN {
            return Err(WorkerError::SharedSecret);
        }
        // The name is also that of a directory.
        let begins_well = config.worker_id.starts_with(|first: char| first.is_ascii_alphanumeric());
        if !is_worker_id(&config.worker_id) || !begins_well {
            return Err(WorkerError::WorkerId);
        }
        if !(1..=SLOTS_MAX).contains(&config.slots) || config.kinds.is_empty() {
            return Err(WorkerError::Slots);
        }
        // Jobs start elsewhere, and name what is in it.
        let data_dir = std::path::absolute(&config.data_dir)?;
        let tmp_dir = data_dir.join("tmp").join(&config.worker_id);
        let connection = Arc::new(Connection::new(&config.server_url, config.tls_root.as_deref())?);
        let identity = Arc::new(Identity::new(config.worker_id, config.shared_secret));
        let surroundings = Surroundings {
            data_dir: data_dir.clone(),
            tmp_dir: tmp_dir.clone(),
            url_policy: config.url_policy,
            http: http_client(config.tls_root.as_deref())?,
            kinds: config.kinds.clone(),
            slots: config.slots,
        };
        let reporter = Reporter::new(Arc::clone(&connection), Arc::clone(&identity));
        let session = Session {
            connection,
            identity,
            executor: Executor::new(surroundings, reporter),
            kinds: config.kinds,
            slots: config.slots,
            drain_started: watch::Sender::new(false),
        };
        Ok(Self { session, data_dir, tmp_dir, drain_limit: config.drain_limit })
    }

    /// Works until `shutdown` ends, then drains: no new job, running jobs go on for the drain limit, what
    /// still runs then is stopped and given back.
    ///
    /// # Errors
    /// If the data directory cannot be used, or if git is missing or too old.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), WorkerError> {
        let (data_dir, tmp_dir) = (self.data_dir.clone(), self.tmp_dir.clone());
        task::blocking(move || {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&data_dir)?;
            WorkDir::sweep(&tmp_dir)?;
            Mirror::sweep_trash(&data_dir)
        })
        .await??;
        if self.session.kinds.contains(&JobKind::RepoSync) {
            version::check(WorkDir::create(&self.tmp_dir)?.path()).await?;
        }
        let leave = async {
            shutdown.await;
            self.drain().await;
        };
        tokio::select! {
            () = leave => Ok(()),
            () = self.session.run() => Ok(()),
            () = self.session.executor.watch_leases() => Ok(()),
        }
    }

    async fn drain(&self) {
        tracing::info!(event = "draining", "the worker takes no more jobs");
        let executor = &self.session.executor;
        executor.start_draining();
        let mut drain_started = self.session.drain_started.subscribe();
        // Without the promise the server takes back, in a moment, what it may have sent meanwhile.
        let _ = timeout(DRAIN_START_LIMIT, drain_started.wait_for(|started| *started)).await;
        if timeout(self.drain_limit, executor.idle()).await.is_err() {
            executor.end_draining();
            if timeout(RELEASE_LIMIT, executor.idle()).await.is_err() {
                tracing::warn!(event = "drain_incomplete", "leases are left to expire");
            }
        }
    }
}

/// What downloads are made with. They come from the server, if it keeps its objects itself, or from a store that
/// anybody may run: `tls_root` is trusted beside the system's authorities.
fn http_client(tls_root: Option<&[u8]>) -> Result<reqwest::Client, WorkerError> {
    let root = reqwest::Certificate::from_pem_bundle(tls_root.unwrap_or_default());
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(DOWNLOAD_CONNECT_LIMIT)
        .read_timeout(DOWNLOAD_READ_LIMIT)
        .tls_certs_merge(root.map_err(|_| WorkerError::TlsRoot)?)
        .no_proxy()
        .build()
        .map_err(WorkerError::Http)
}
