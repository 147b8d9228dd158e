//! An installation of real processes: a server and a worker that a test can kill and start again.

mod child;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{ExitStatus, Output},
    sync::Arc,
    time::Duration,
};

use hivesync::{Client, auth::Platform, keychain::MemoryStore};
use hivesync_server::{
    app,
    base::{
        clock::Clock,
        config::{Config, Source},
        ctx::Base,
    },
};
use tempfile::TempDir;
use tokio::time::timeout;

use self::child::{PATIENCE, Process, SERVER_DRAINING, SERVER_READY, WORKER_READY};
use crate::{
    actor::Actor,
    authority::Authority,
    backend::{Backend, Stores},
    leftovers::Stored,
    tap::Tap,
    wire::Wire,
    world::WORKER_SECRET,
};

/// A server and a worker on this machine; killed with this value.
pub struct Installation {
    server: Process,
    worker: Process,
    settings: Source,
    listeners: Listeners,
    /// Between clients and the server, and between the worker and the server.
    taps: Option<(Tap, Tap)>,
    authority: Option<Authority>,
    directory: TempDir,
    stores: Stores,
}

/// A server that was told to stop.
pub struct Leaving(Process);

impl Leaving {
    /// How it ends.
    pub async fn ended(mut self) -> ExitStatus {
        self.0.ended().await
    }
}

/// Where the server listens.
struct Listeners {
    public: SocketAddr,
    workers: SocketAddr,
    admin: SocketAddr,
    metrics: SocketAddr,
}

impl Installation {
    /// Starts both on stores of their own.
    pub async fn start(backend: Backend) -> Self {
        let mut installation = Self::prepare(backend).await;
        installation.run().await;
        installation
    }

    /// As [`Installation::start`], with a server that logs what it logs if nobody says more.
    pub async fn start_with_default_log(backend: Backend) -> Self {
        let mut installation = Self::prepare(backend).await;
        installation.server.unset("HIVESYNC_LOG");
        installation.run().await;
        installation
    }

    /// As [`Installation::start`], with TLS to the server, whose certificate is good for 127.0.0.1 alone.
    pub async fn start_over_tls(backend: Backend) -> Self {
        let mut installation = Self::prepare(backend).await;
        let authority = Authority::new();
        let (certificate, key) = authority.issue_to("127.0.0.1");
        let file = |name: &str, pem: &str| {
            let path = installation.directory.path().join(name);
            std::fs::write(&path, pem).expect("a file");
            path.display().to_string()
        };
        let (certificate, key) = (file("server.pem", &certificate), file("server.key", &key));
        let root = file("root.pem", authority.root());
        installation.configure("TLS_CERT_FILE", certificate);
        installation.configure("TLS_KEY_FILE", key);
        let workers = installation.listeners.workers;
        installation
            .worker
            .set("HIVESYNC_SERVER", format!("https://{workers}"))
            .set("WORKER_TLS_ROOT_FILE", root);
        installation.authority = Some(authority);
        installation.run().await;
        installation
    }

    /// Starts both, with a tap in front of what clients and the worker connect to.
    pub async fn tapped(backend: Backend) -> Self {
        let mut installation = Self::prepare(backend).await;
        let Listeners { public, workers, .. } = installation.listeners;
        let (clients, worker) = (Tap::in_front_of(public).await, Tap::in_front_of(workers).await);
        installation.configure("PUBLIC_URL", format!("http://{}", clients.address()));
        installation.worker.set("HIVESYNC_SERVER", format!("http://{}", worker.address()));
        installation.taps = Some((clients, worker));
        installation.run().await;
        installation
    }

    async fn prepare(backend: Backend) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = Stores::open(backend, directory.path()).await;
        let data_dir = directory.path().join("data");
        let listeners = Listeners::free();
        let mut worker = Process::new("hivesync-worker", directory.path(), &[], WORKER_READY);
        worker
            .set("HIVESYNC_SERVER", format!("http://{}", listeners.workers))
            .set("WORKER_ID", "faults")
            .set("DATA_DIR", data_dir.display())
            .set("WORKER_SHARED_SECRET", WORKER_SECRET)
            .set("RUST_LOG", "debug")
            .set("ALLOW_FILE_URLS", "true");
        let mut installation = Self {
            server: Process::new("hivesync", directory.path(), &["serve"], SERVER_READY),
            worker,
            settings: Source::default(),
            listeners,
            taps: None,
            authority: None,
            directory,
            stores,
        };
        let Listeners { public, workers, admin, metrics } = installation.listeners;
        for (name, value) in [
            ("HIVESYNC_ENV", "local".to_owned()),
            ("DATA_DIR", data_dir.display().to_string()),
            ("WORKER_SHARED_SECRET", WORKER_SECRET.to_owned()),
            ("RATE_LIMITS", "off".to_owned()),
            ("HIVESYNC_LOG", "debug".to_owned()),
            ("LISTEN_ADDR", public.to_string()),
            ("WORKER_LISTEN_ADDR", workers.to_string()),
            ("ADMIN_LISTEN_ADDR", admin.to_string()),
            ("METRICS_LISTEN_ADDR", metrics.to_string()),
        ] {
            installation.configure(name, value);
        }
        for (name, value) in installation.stores.settings().to_vec() {
            installation.configure(name, value);
        }
        installation
    }

    fn configure(&mut self, name: &str, value: String) {
        self.server.set(name, &value);
        self.settings = std::mem::take(&mut self.settings).with(name, value);
    }

    async fn run(&mut self) {
        self.server.start().await;
        self.worker.start().await;
    }

    /// Kills the server, without warning.
    pub async fn kill_server(&mut self) {
        self.server.kill().await;
    }

    /// Starts the server again, on the same ports and data.
    pub async fn start_server(&mut self) {
        self.server.start().await;
    }

    /// Kills the worker, without warning.
    pub async fn kill_worker(&mut self) {
        self.worker.kill().await;
    }

    /// Starts the worker again, under its name.
    pub async fn start_worker(&mut self) {
        self.worker.start().await;
    }

    /// Tells the server to stop, and starts its successor as soon as it listens no more, while it still ends what it
    /// is at.
    pub async fn replace_server(&mut self) -> Leaving {
        let successor = self.server.again();
        self.server.tell_to_stop();
        self.server.says(SERVER_DRAINING).await;
        self.listeners.freed().await;
        let leaving = std::mem::replace(&mut self.server, successor);
        self.server.start().await;
        Leaving(leaving)
    }

    /// Stops both in good order.
    pub async fn stop(&mut self) {
        for process in [&mut self.worker, &mut self.server] {
            process.tell_to_stop();
            let status = process.ended().await;
            assert!(status.success(), "{} ended with {status}:\n{}", process.name, process.log());
        }
    }

    /// Runs a command of the server's binary beside the server, with the server's configuration.
    pub async fn command(&self, arguments: &[&str]) -> Output {
        self.server.once(arguments).await
    }

    /// What the server works with, for work beside it at a time that `clock` tells.
    pub async fn beside(&self, clock: Clock) -> Arc<Base> {
        let config = Config::read(&self.settings).expect("the configuration is that of the server");
        app::beside(config, clock).await.expect("the stores can be reached")
    }

    /// What the installation stores.
    #[must_use]
    pub fn stored(&self) -> Stored {
        Stored::new(
            &self.data_dir(),
            self.stores.database_url(),
            self.stores.objects(self.directory.path()).as_deref(),
        )
    }

    /// Where clients find the server.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.authority.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.public())
    }

    /// The server's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.public().port()
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
        Wire::connect(self.public().to_string(), Clock::system()).await
    }

    /// Where clients connect to.
    #[must_use]
    pub fn public(&self) -> SocketAddr {
        self.taps.as_ref().map_or(self.listeners.public, |(clients, _)| clients.address())
    }

    /// What passes between clients and the server.
    ///
    /// # Panics
    /// If it is not [`Installation::tapped`].
    #[must_use]
    pub fn clients_tap(&self) -> &Tap {
        &self.taps.as_ref().expect("a tapped installation").0
    }

    /// What passes between the worker and the server.
    ///
    /// # Panics
    /// If it is not [`Installation::tapped`].
    #[must_use]
    pub fn worker_tap(&self) -> &Tap {
        &self.taps.as_ref().expect("a tapped installation").1
    }

    /// What Prometheus would read.
    pub async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.listeners.metrics))
            .await
            .expect("metrics are served");
        answer.text().await.expect("metrics are text")
    }

    /// Resident memory of the server.
    #[must_use]
    pub fn server_memory_bytes(&self) -> u64 {
        const KIB: u64 = 1024;
        let process = self.server.id().as_raw_nonzero();
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("proc(5)");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5) says VmRSS");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * KIB
    }

    /// A new user with a desktop client.
    pub async fn user(&self, name: &str) -> Actor {
        Actor::join(self.client("desktop", Platform::Desktop).await, name).await
    }

    /// A directory for the test's own files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
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
}

impl Listeners {
    /// Ports that were free a moment ago.
    fn free() -> Self {
        let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [public, workers, admin, metrics] =
            listeners.map(|listener| listener.local_addr().expect("bound"));
        Self { public, workers, admin, metrics }
    }

    /// Waits until another server can listen. There is no event for that, and to try would take in a client.
    async fn freed(&self) {
        let ports = [self.public, self.workers, self.admin, self.metrics].map(|address| address.port());
        let freed = async {
            while ports.into_iter().any(is_listened_on) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, freed).await.expect("a server that stops closes its listeners");
    }
}

/// Whether a process listens on a port of 127.0.0.1, by proc_net(5): the second column is the local address and
/// the fourth the state, of which 0A is `LISTEN`.
fn is_listened_on(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("Linux lists its sockets");
    let address = format!("0100007F:{port:04X}");
    table.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        columns.next() == Some(&address) && columns.nth(1) == Some("0A")
    })
}
