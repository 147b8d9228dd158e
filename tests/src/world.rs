//! The real server in this process, on ephemeral ports, with stores and a clock of its own.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hivesync::{Client, auth::Platform, teams::TeamRole};
use hivesync_server::{
    app::{self, App},
    base::{
        actor::PlatformRole,
        boot,
        clock::Clock,
        config::{self, Config, Source},
    },
};
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    actor::Actor,
    backend::{Backend, Stores},
    caller::Caller,
    certificate::Certificate,
    wire::Wire,
    worker::Worker,
};

/// What signs the access tokens of every world, so that tests can forge some.
pub const JWT_SECRET: &str = "kT9vQ2mXw7RzL4bN8cJ1hF6yD3sG5pAe0uVtIoYx";
/// What workers prove to know.
pub const WORKER_SECRET: &str = "Zq8Wn5Xe2Rc7Tv4Yb1Um6Ik3Ol0Pa9SdFgHjKlMz";

/// What a server outside of local mode must be given too.
const FIELD_KEY: &str = "mN4bV7cX1zL9kJ6hG3fD8sA5pO2iU0yTrEwQqWeR";
const PREVIEW_KEY: &str = "Pl5oK9mI2jN8uH4bY7gV1cT6fR3dX0eS5wZaQqAz";

/// A server and its surroundings. All of it ends with this value.
pub struct World {
    app: App,
    source: Source,
    worker: Option<Worker>,
    clock: Clock,
    backend: Backend,
    directory: TempDir,
    stores: Stores,
}

async fn start(source: &Source, clock: &Clock) -> App {
    let config = Config::read(source).unwrap_or_else(|faults| panic!("the configuration: {faults:?}"));
    if !config.environment.is_local() {
        prepare(&config).await;
    }
    App::start(config, clock.clone()).await.expect("the server starts")
}

impl World {
    /// A world with a server and a worker.
    pub async fn new(backend: Backend) -> Self {
        Self::with(backend, &[]).await
    }

    /// A world whose server is told something more, or something else.
    pub async fn with(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let mut world = Self::without_worker(backend, settings).await;
        world.start_worker().await;
        world
    }

    /// A world in which nobody takes the jobs.
    pub async fn without_worker(backend: Backend, settings: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = Stores::open(backend, directory.path()).await;
        let data_dir = directory.path().join("data");
        let mut source = Source::default()
            .with("HIVESYNC_ENV", "local")
            .with("DATA_DIR", data_dir.display().to_string())
            .with("JWT_SECRET", JWT_SECRET)
            .with("WORKER_SHARED_SECRET", WORKER_SECRET)
            .with("RATE_LIMITS", "off");
        for name in ["LISTEN_ADDR", "WORKER_LISTEN_ADDR", "ADMIN_LISTEN_ADDR", "METRICS_LISTEN_ADDR"] {
            source = source.with(name, "127.0.0.1:0");
        }
        for (name, value) in stores.settings() {
            source = source.with(name, value.as_str());
        }
        for (name, value) in settings {
            source = source.with(name, *value);
        }
        let clock = Clock::system();
        let app = start(&source, &clock).await;
        Self { app, source, worker: None, clock, backend, directory, stores }
    }

    /// Stops the server, and starts another one on the same stores; its ports are others. There is no worker then.
    #[must_use]
    pub async fn restart(self) -> Self {
        let Self { app, source, worker, clock, backend, directory, stores } = self;
        drop(worker);
        assert!(app.stop().await, "the server ends in time");
        let app = start(&source, &clock).await;
        Self { app, source, worker: None, clock, backend, directory, stores }
    }

    /// Starts another server on the same stores; whoever asks for it stops it.
    pub async fn another_server(&self) -> App {
        start(&self.source, &self.clock).await
    }

    /// A world that speaks TLS with `certificate`, without a worker.
    pub async fn over_tls(certificate: &Certificate) -> Self {
        let [certificate, key] = certificate.settings();
        let settings = [(certificate.0, certificate.1.as_str()), (key.0, &key.1)];
        Self::without_worker(Backend::Embedded, &settings).await
    }

    /// A world that is as strict as production is, on embedded stores, without a worker.
    pub async fn in_production(certificate: &Certificate) -> Self {
        let [certificate, key] = certificate.settings();
        let settings = [
            ("HIVESYNC_ENV", "production"),
            ("ALLOW_EMBEDDED_STORES", "true"),
            ("RATE_LIMITS", "on"),
            ("PUBLIC_URL", "https://localhost"),
            ("FIELD_KEY", FIELD_KEY),
            ("PREVIEW_KEY", PREVIEW_KEY),
            (certificate.0, &certificate.1),
            (key.0, &key.1),
        ];
        Self::without_worker(Backend::Embedded, &settings).await
    }

    /// Starts the worker, or another one in its place.
    pub async fn start_worker(&mut self) {
        self.worker = Some(Worker::start(self.app.addresses.worker, &self.data_dir()).await);
    }

    /// Stops the worker: what is queued from now on waits.
    pub async fn stop_worker(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.stop().await;
        }
    }

    /// The server.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The stores that the server uses.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// A directory for the test's own files.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The server's data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Stops the server as SIGTERM does.
    pub async fn stop(self) {
        assert!(self.app.stop().await, "the server stops in time");
    }

    /// Moves the server's clock forward.
    pub fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    /// A connection to the public listener.
    pub async fn wire(&self) -> Wire {
        self.wire_to(self.app.addresses.public).await
    }

    /// A connection to one of the server's listeners.
    pub async fn wire_to(&self, address: SocketAddr) -> Wire {
        Wire::connect(address.to_string(), self.clock.clone()).await
    }

    /// A new user, signed in without the client library.
    pub async fn caller(&self, name: &str) -> Caller {
        Caller::join(self.wire().await, name).await
    }

    /// A new user with a desktop client.
    pub async fn user(&self, name: &str) -> Actor {
        Actor::join(self.client("desktop", Platform::Desktop).await, name).await
    }

    /// A new user who is an operator.
    pub async fn operator(&self, name: &str) -> Actor {
        let user = self.user(name).await;
        app::set_role(self.app.base().clone(), &user.email, PlatformRole::Admin).await.expect("granted");
        Actor::sign_in(self.client("console", Platform::Desktop).await, name).await
    }

    /// Another device of a user, signed in.
    pub async fn device_of(&self, user: &Actor, name: &str, platform: Platform) -> Actor {
        Actor::sign_in(self.client(name, platform).await, &user.name).await
    }

    /// A client that nobody has signed in with.
    pub async fn client(&self, device_name: &str, platform: Platform) -> Client {
        Client::builder(self.app.addresses.public_url.as_str())
            .admin_url(format!("http://{}", self.app.addresses.admin))
            .secret_store(std::sync::Arc::new(hivesync::keychain::MemoryStore::new()))
            .device_name(device_name)
            .platform(platform)
            .build()
            .await
            .expect("a client")
    }

    /// Makes `newcomer` a member of a team of `inviter`.
    pub async fn enlist(&self, inviter: &Actor, team: Uuid, newcomer: &Actor, role: TeamRole) {
        let invitation = inviter.client.teams().invite(team, &newcomer.email, role).await.expect("invited");
        newcomer.client.teams().accept(invitation.id).await.expect("accepted");
    }
}

/// What an operator does outside of local mode before the first start: nothing there is done by itself.
async fn prepare(config: &Config) {
    assert_eq!(boot::check(config), [], "the boot guard has nothing against it");
    config::private_directory(&config.data_dir).expect("the data directory is made");
    app::migrate(config).await.expect("the schema is made");
}

/// Ends a test that waits for what does not come.
///
/// # Panics
/// After two minutes, which is many times what the slowest test takes.
pub async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test ends in time");
}

/// Runs each test on one back end, if that is to be had, in a module of this name.
///
/// A test is a function `async fn name(world: World)` of the same module.
#[macro_export]
macro_rules! on_backend {
    ($module:ident, $backend:ident; $($test:ident),+ $(,)?) => {
        mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                let backend = $crate::backend::Backend::$backend;
                if backend.available() {
                    $crate::world::in_time(super::$test($crate::world::World::new(backend).await)).await;
                }
            })+
        }
    };
}

/// Runs each test on the embedded stores and on those of a production installation, as [`on_backend!`] does.
#[macro_export]
macro_rules! on_each_backend {
    ($($test:ident),+ $(,)?) => {
        $crate::on_backend!(embedded, Embedded; $($test),+);
        $crate::on_backend!(production, Production; $($test),+);
    };
}
