//! An installation of real processes: a server and a worker that a test can kill and start again.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use hivesync::{Client, auth::Platform, keychain::MemoryStore};
use hivesync_server::base::clock::Clock;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::{
    actor::Actor,
    authority::Authority,
    backend::{Backend, Stores},
    binary,
    wire::Wire,
    world::WORKER_SECRET,
};

/// How long a process may take to listen.
const START_TRIES: u32 = 600;

/// A server and a worker on this machine; killed with this value.
pub struct Installation {
    server: Process,
    worker: Process,
    public: SocketAddr,
    metrics: SocketAddr,
    authority: Option<Authority>,
    directory: TempDir,
    _stores: Stores,
}

impl Installation {
    /// Starts both on stores of their own.
    pub async fn start(backend: Backend) -> Self {
        Self::start_with(backend, None).await
    }

    /// As [`Installation::start`], with TLS to the server, whose certificate is good for 127.0.0.1 alone.
    pub async fn start_over_tls(backend: Backend) -> Self {
        Self::start_with(backend, Some(Authority::new())).await
    }

    async fn start_with(backend: Backend, authority: Option<Authority>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = Stores::open(backend, directory.path()).await;
        let data_dir = directory.path().join("data");
        let [public, workers, admin, metrics] = free_ports();
        let mut server = Process::new("hivesync", directory.path(), &["serve"]);
        server
            .set("HIVESYNC_ENV", "local")
            .set("DATA_DIR", data_dir.display())
            .set("WORKER_SHARED_SECRET", WORKER_SECRET)
            .set("RATE_LIMITS", "off")
            .set("HIVESYNC_LOG", "debug")
            .set("LISTEN_ADDR", public)
            .set("WORKER_LISTEN_ADDR", workers)
            .set("ADMIN_LISTEN_ADDR", admin)
            .set("METRICS_LISTEN_ADDR", metrics);
        for (name, value) in stores.settings() {
            server.set(name, value);
        }
        let mut worker = Process::new("hivesync-worker", directory.path(), &[]);
        worker
            .set("HIVESYNC_SERVER", url(workers, authority.as_ref()))
            .set("WORKER_ID", "faults")
            .set("DATA_DIR", data_dir.display())
            .set("WORKER_SHARED_SECRET", WORKER_SECRET)
            .set("RUST_LOG", "debug")
            .set("ALLOW_FILE_URLS", "true");
        if let Some(authority) = &authority {
            let (certificate, key) = authority.issue_to("127.0.0.1");
            let file = |name: &str, pem: &str| {
                let path = directory.path().join(name);
                std::fs::write(&path, pem).expect("a file");
                path.display().to_string()
            };
            server
                .set("TLS_CERT_FILE", file("server.pem", &certificate))
                .set("TLS_KEY_FILE", file("server.key", &key));
            worker.set("WORKER_TLS_ROOT_FILE", file("root.pem", authority.root()));
        }
        let mut installation =
            Self { server, worker, public, metrics, authority, directory, _stores: stores };
        installation.server.run();
        installation.await_server().await;
        installation.worker.run();
        installation
    }

    /// Kills the server, without warning, and starts it again on the same ports and data.
    pub async fn kill_server(&mut self) {
        self.server.kill();
        self.server.run();
        self.await_server().await;
    }

    /// Kills the worker, without warning, and starts it again under its name.
    pub fn kill_worker(&mut self) {
        self.stop_worker();
        self.start_worker();
    }

    /// Kills the worker, without warning.
    pub fn stop_worker(&mut self) {
        self.worker.kill();
    }

    /// Starts the worker that was stopped.
    pub fn start_worker(&mut self) {
        self.worker.run();
    }

    /// Where clients find the server.
    #[must_use]
    pub fn url(&self) -> String {
        url(self.public, self.authority.as_ref())
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.public.port()
    }

    /// What clients trust, in PEM; nothing without TLS.
    #[must_use]
    pub fn root_certificates(&self) -> Option<&str> {
        self.authority.as_ref().map(Authority::root)
    }

    /// A client that nobody has signed in with.
    pub async fn client(&self, device_name: &str, platform: Platform) -> Client {
        let mut client = Client::builder(self.url())
            .secret_store(Arc::new(MemoryStore::new()))
            .device_name(device_name)
            .platform(platform);
        if let Some(root) = self.root_certificates() {
            client = client.root_certificates(root);
        }
        client.build().await.expect("a client")
    }

    /// A connection to the public listener.
    pub async fn wire(&self) -> Wire {
        Wire::connect(self.public.to_string(), Clock::system()).await
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        let answer =
            reqwest::get(format!("http://{}/metrics", self.metrics)).await.expect("metrics are served");
        answer.text().await.expect("metrics are text")
    }

    /// Resident memory of the server.
    #[must_use]
    pub fn server_memory_bytes(&self) -> u64 {
        const KIB: u64 = 1024;
        let process = self.server.running.as_ref().expect("the server runs").id();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("proc(5)");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5) says VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * KIB
    }

    /// A new user with a desktop client.
    pub async fn user(&self, name: &str) -> Actor {
        Actor::join(self.client("desktop", Platform::Desktop).await, name).await
    }

    /// The data directory of both.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What a process has logged.
    #[must_use]
    pub fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    async fn await_server(&mut self) {
        for _ in 0..START_TRIES {
            assert!(self.server.lives(), "the server ended:\n{}", self.log_of("hivesync"));
            if TcpStream::connect(self.public).await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the server does not listen:\n{}", self.log_of("hivesync"));
    }
}

fn url(address: SocketAddr, authority: Option<&Authority>) -> String {
    let scheme = if authority.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

/// Ports that were free a moment ago.
fn free_ports() -> [SocketAddr; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("bound"))
}

/// One binary of the workspace, with an environment of its own.
struct Process {
    binary: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    running: Option<Child>,
}

impl Process {
    fn new(name: &str, directory: &Path, arguments: &[&str]) -> Self {
        Self {
            binary: binary::path(name),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: vec![("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())],
            log: directory.join(format!("{name}.log")),
            running: None,
        }
    }

    fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    fn run(&mut self) {
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let child = Command::new(&self.binary)
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.running = Some(child.expect("the binary runs"));
    }

    fn lives(&mut self) -> bool {
        self.running.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
