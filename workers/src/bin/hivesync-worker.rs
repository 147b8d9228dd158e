//! The worker as a process of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use hivesync_proto::{repository_url::UrlPolicy, v1::JobKind};
use hivesync_workers::{Worker, WorkerConfig};
use secrecy::SecretSlice;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

/// Runs HiveSync jobs: repository mirrors, preview checks, clean-up.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The server's worker listener, such as https://hivesync.example:7441
    #[arg(long, env = "HIVESYNC_SERVER")]
    server: String,
    /// The name of this worker, stable over restarts: 1 to 64 of a-z 0-9 . _ -
    #[arg(long, env = "WORKER_ID")]
    worker_id: String,
    /// Where mirrors are kept
    #[arg(long, env = "DATA_DIR")]
    data_dir: PathBuf,
    /// Jobs at a time
    #[arg(long, env = "WORKER_SLOTS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=256))]
    slots: u32,
    /// A file with the secret that the server knows too, instead of the variable WORKER_SHARED_SECRET
    #[arg(long, env = "WORKER_SHARED_SECRET_FILE")]
    shared_secret_file: Option<PathBuf>,
    /// A PEM file with the authority of the server's certificate, instead of the system's
    #[arg(long, env = "WORKER_TLS_ROOT_FILE")]
    tls_root_file: Option<PathBuf>,
    /// Further ports that repositories may be fetched from
    #[arg(long, env = "REPOSITORY_PORTS", value_delimiter = ',')]
    repository_ports: Vec<u16>,
    /// Fetch from directories of this machine too: only where the server and its users share it
    #[arg(long, env = "ALLOW_FILE_URLS")]
    allow_file_urls: bool,
    /// Seconds that running jobs may go on after SIGTERM
    #[arg(long, env = "WORKER_DRAIN_SECS", default_value_t = 30)]
    drain_secs: u64,
}

fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info")))
        .with_writer(std::io::stderr)
        .init();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(event = "worker_failed", "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    // Two providers in one process would make the first handshake panic.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        bail!("another TLS provider is installed");
    }
    let drain_limit = Duration::from_secs(arguments.drain_secs);
    let worker = Worker::new(WorkerConfig {
        shared_secret: shared_secret(arguments.shared_secret_file.as_deref())?,
        tls_root: arguments.tls_root_file.as_ref().map(read_certificate).transpose()?,
        server_url: arguments.server,
        worker_id: arguments.worker_id,
        data_dir: arguments.data_dir,
        slots: arguments.slots,
        kinds: vec![JobKind::RepoSync, JobKind::PreviewVerify, JobKind::Cleanup],
        url_policy: UrlPolicy {
            allow_file: arguments.allow_file_urls,
            allowed_ports: arguments.repository_ports,
        },
        drain_limit,
    })?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        Ok(worker.run(shutdown).await?)
    })
}

/// Not an argument: the command line is visible to every process of the machine.
#[allow(clippy::disallowed_methods, reason = "this is the configuration of the worker")]
fn shared_secret(file: Option<&Path>) -> Result<SecretSlice<u8>> {
    let text = match (std::env::var("WORKER_SHARED_SECRET"), file) {
        (Ok(_), Some(_)) => bail!("set only one of WORKER_SHARED_SECRET and WORKER_SHARED_SECRET_FILE"),
        (Ok(secret), None) => Zeroizing::new(secret),
        (Err(_), Some(file)) => {
            Zeroizing::new(fs::read_to_string(file).context("WORKER_SHARED_SECRET_FILE cannot be read")?)
        }
        (Err(_), None) => {
            bail!("set WORKER_SHARED_SECRET or WORKER_SHARED_SECRET_FILE to the server's secret")
        }
    };
    Ok(text.trim_end().as_bytes().to_vec().into())
}

fn read_certificate(file: &PathBuf) -> Result<Vec<u8>> {
    fs::read(file).context("WORKER_TLS_ROOT_FILE cannot be read")
}
