//! The composition root: from a configuration to a running server. The only file that names every slice.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use hivesync_migrations::{Migrator, MigratorTrait as _};
use hivesync_proto::v1::{
    admin_service_server::AdminServiceServer, audit_service_server::AuditServiceServer,
    auth_service_server::AuthServiceServer, job_service_server::JobServiceServer,
    notification_service_server::NotificationServiceServer, preview_service_server::PreviewServiceServer,
    project_service_server::ProjectServiceServer, team_service_server::TeamServiceServer,
    user_service_server::UserServiceServer, worker_service_server::WorkerServiceServer,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tonic::{body::Body, service::Routes};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use tower::Service;
use url::Url;

use crate::{
    base::{
        actor::PlatformRole,
        blob::Blobs,
        clock::Clock,
        config::{self, Config},
        crypto::{FieldCipher, Keys, Purpose},
        ctx::{Base, Ctx},
        db::Db,
        entropy::Entropy,
        error::{Error, Reason, Result},
        idempotency,
        kv::{self, Kv},
        lifecycle,
        limit::Limiter,
        outbox,
        ports::Ports,
        signal::Signals,
        task::Tasks,
    },
    domain::{access, admin, audit, auth, jobs, notifications, previews, projects, teams, users},
    edge::{
        Edge,
        authenticate::Authenticator,
        cors,
        health::{self, Health},
        http_endpoints,
        listen::{self, Entrance},
        policy::{self, Audience, Listener},
        tls::Tls,
    },
};

/// Keys that the in-memory store holds at most.
const MEMORY_KEYS_MAX: usize = 1_000_000;
/// The channel on which servers wake each other.
const SIGNALS_CHANNEL: &str = "signals";
/// How often what nobody needs any more is swept out.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// A running server.
pub struct App {
    base: Arc<Base>,
    edge: Edge,
    health: Health,
    /// Where it listens.
    pub addresses: Addresses,
}

/// Where a server listens, with the ports that were taken.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// How clients reach it.
    pub public_url: Url,
    /// For everybody.
    pub public: SocketAddr,
    /// For workers.
    pub worker: SocketAddr,
    /// For operators.
    pub admin: SocketAddr,
    /// For Prometheus and probes.
    pub metrics: SocketAddr,
}

/// The listeners, bound before anything is built on them.
struct Listeners {
    public: TcpListener,
    worker: TcpListener,
    admin: TcpListener,
    metrics: TcpListener,
}

impl App {
    /// Starts a server: binds, connects, migrates if `config` is local, and serves.
    ///
    /// # Errors
    /// Whatever cannot be bound, opened or reached.
    pub async fn start(config: Config, clock: Clock) -> Result<Self> {
        prepare_data_dir(&config)?;
        let listeners = Listeners {
            public: listen::bind("LISTEN_ADDR", config.listen.public).await?,
            worker: listen::bind("WORKER_LISTEN_ADDR", config.listen.worker).await?,
            admin: listen::bind("ADMIN_LISTEN_ADDR", config.listen.admin).await?,
            metrics: listen::bind("METRICS_LISTEN_ADDR", config.listen.metrics).await?,
        };
        let addresses = addresses(&config, &listeners)?;
        let tasks = Tasks::default();
        let tls = config.tls.clone().map(|files| Tls::load(files, &tasks)).transpose()?;
        let metrics = metrics_handle();
        let base = build_base(config, clock, &addresses.public_url, tasks).await?;
        let app = serve(base, addresses, listeners, tls, metrics).await?;
        app.health.look().await;
        Ok(app)
    }

    /// What the server works with, for those who run it in their own process.
    #[must_use]
    pub fn base(&self) -> &Arc<Base> {
        &self.base
    }

    /// What stands in front of its services.
    #[must_use]
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    /// Stops: refuses new work, lets what runs end within the configured time, then closes everything.
    /// Whether all ended in time.
    pub async fn stop(self) -> bool {
        tracing::info!(event = "server.draining");
        self.health.leave().await;
        let drained = self.base.tasks.drain(self.base.config.drain).await;
        let stopped = self.base.tasks.stop(lifecycle::BACKGROUND_STOP).await;
        self.base.db.clone().close().await;
        tracing::info!(event = "server.stopped", drained, stopped);
        drained && stopped
    }
}

/// Makes the data directory, for this user only, and marks whose it is.
fn prepare_data_dir(config: &Config) -> Result<()> {
    let failed = |error: std::io::Error| Error::new(Reason::Unavailable).because(error);
    config::private_directory(&config.data_dir).map_err(failed)?;
    config::private_directory(&config.repos_dir()).map_err(failed)?;
    std::fs::write(config.data_dir.join(config::ENVIRONMENT_MARKER), config.environment.as_str())
        .map_err(failed)
}

fn addresses(config: &Config, listeners: &Listeners) -> Result<Addresses> {
    let local = |listener: &TcpListener| listener.local_addr().map_err(Error::internal);
    let public = local(&listeners.public)?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => {
            let scheme = if config.tls.is_some() { "https" } else { "http" };
            Url::parse(&format!("{scheme}://{public}")).map_err(Error::internal)?
        }
    };
    Ok(Addresses {
        public_url,
        public,
        worker: local(&listeners.worker)?,
        admin: local(&listeners.admin)?,
        metrics: local(&listeners.metrics)?,
    })
}

/// The process's figures. A process has one recorder, whichever server came first.
fn metrics_handle() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}

async fn build_base(config: Config, clock: Clock, public_url: &Url, tasks: Tasks) -> Result<Arc<Base>> {
    let entropy = Entropy::default();
    let keys = Keys::new(config.field_key.clone());
    let db = Db::connect(&config.database).await?;
    if config.environment.is_local() {
        Migrator::up(db.migration_connection(), None).await?;
    }
    let kv = match &config.redis_url {
        Some(url) => kv::Redis::connect(url.expose(), config.environment.as_str()).await?.into(),
        None => Kv::from(kv::Memory::new(kv::millis(&clock), MEMORY_KEYS_MAX)),
    };
    let blobs = Blobs::open(
        &config.object_store,
        &config.data_dir,
        public_url,
        &keys.derive(Purpose::BlobUrl)?,
        clock.clone(),
    )?;
    let limiter = Limiter::new(kv.clone(), kv::millis(&clock), 1);
    let signals = Signals::default();
    if config.redis_url.is_some() {
        relay_signals(&signals, &kv, &tasks).await?;
    }
    let ports = plug_ports(&config, &entropy)?;
    Ok(Arc::new(Base {
        field_cipher: FieldCipher::new(&keys)?,
        config: Arc::new(config),
        clock,
        entropy,
        keys,
        db,
        kv,
        blobs,
        limiter,
        signals,
        tasks,
        ports,
    }))
}

/// Has servers that share a key store wake each other.
async fn relay_signals(signals: &Signals, kv: &Kv, tasks: &Tasks) -> Result<()> {
    let mut arriving = kv.subscribe(SIGNALS_CHANNEL).await?;
    let woken = signals.clone();
    tasks.spawn("signals in", async move {
        use tokio::sync::broadcast::error::RecvError;
        loop {
            match arriving.recv().await {
                Ok(payload) => {
                    let text = String::from_utf8_lossy(&payload);
                    if let Some((kind, id)) = text.split_once(' ')
                        && let Ok(id) = id.parse()
                    {
                        woken.raise_here(kind, id);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
    let (sender, mut leaving) = tokio::sync::mpsc::channel::<String>(4096);
    signals.relay_through(move |topic| {
        // A wake-up is a hint: whoever misses it looks again after a while.
        let _ = sender.try_send(format!("{} {}", topic.kind, topic.id));
    });
    let kv = kv.clone();
    tasks.spawn("signals out", async move {
        while let Some(payload) = leaving.recv().await {
            let _ = kv.publish(SIGNALS_CHANNEL, payload).await;
        }
    });
    Ok(())
}

/// What slices ask of slices that are ranked after them.
fn plug_ports(config: &Config, entropy: &Entropy) -> Result<Ports> {
    Ok(Ports::default()
        .plug(Arc::new(auth::AccessTokens::new(&config.tokens)?))
        .plug(Arc::new(auth::Passwords::new(config.password, entropy)?))
        .plug::<dyn access::Memberships>(Arc::new(teams::Teams))
        .plug::<dyn auth::PersonalTeams>(Arc::new(teams::Teams))
        .plug(Arc::new(job_handlers())))
}

/// The slices behind the kinds of jobs.
fn job_handlers() -> jobs::JobHandlers {
    jobs::JobHandlers::default()
        .with(projects::RepoSyncJob)
        .with(projects::CleanupJob)
        .with(previews::PreviewVerify)
}

/// Starts everything that goes on in the background.
fn start_background(base: &Arc<Base>) {
    let tasks = &base.tasks;
    let handlers = Arc::new(event_handlers());
    let relayed = base.clone();
    tasks.supervise("outbox", move || outbox::relay(relayed.clone(), handlers.clone()));
    let followed = base.clone();
    tasks.supervise("revocations", move || auth::follow_revocations(followed.clone()));
    let swept = base.clone();
    tasks.every("sweep", SWEEP_EVERY, move || sweep(swept.clone()));
}

/// Who is told of which event.
fn event_handlers() -> outbox::Handlers {
    use notifications::Notify;
    outbox::Handlers::default()
        .on::<auth::DeviceAdded>(Notify)
        .on::<auth::RefreshReused>(Notify)
        .on::<teams::MemberInvited>(Notify)
        .on::<teams::MemberJoined>(Notify)
        .on::<projects::ProjectDeleted>(previews::EndPreviews)
        .on::<projects::RepositorySynced>(Notify)
        .on::<projects::RepositorySyncFailed>(Notify)
        .on::<previews::PreviewReady>(Notify)
        .on::<previews::PreviewFailed>(Notify)
}

/// Removes what nobody needs any more, as a server does every minute. What one round leaves, the next one
/// finds.
///
/// # Errors
/// If the database does not answer.
pub async fn sweep(base: Arc<Base>) -> Result<()> {
    let ctx = Ctx::system(base, "sweep")?;
    let tx = ctx.begin().await?;
    idempotency::sweep(&ctx, &tx).await?;
    tx.commit().await?;
    auth::sweep(&ctx).await?;
    projects::sweep(&ctx).await?;
    previews::sweep(&ctx).await
}

/// Opens the four listeners.
async fn serve(
    base: Arc<Base>,
    addresses: Addresses,
    listeners: Listeners,
    tls: Option<Tls>,
    metrics: PrometheusHandle,
) -> Result<App> {
    start_background(&base);
    let tokens = base.ports.get::<auth::AccessTokens>()?.clone();
    let edge = Edge::new(base.clone(), Authenticator::new(tokens, authorities(&base.config, &addresses)));
    let (reporter, health_service) = tonic_health::server::health_reporter();
    let health_service = health_service.max_decoding_message_size(health::QUESTION_BYTES_MAX);
    let dispatch = jobs::dispatch::Dispatch::start(&base);
    let counted = dispatch.clone();
    let workers_connected = Arc::new(move || counted.workers_connected());
    let health = Health::new(
        base.clone(),
        reporter,
        policy::services(|audience| audience != Audience::Local),
        workers_connected,
    );
    let looked = health.clone();
    base.tasks.every("health", health::LOOK_EVERY, move || {
        let health = looked.clone();
        async move {
            health.look().await;
            Ok(())
        }
    });

    let mut public = public_services(&base).add_service(health_service.clone());
    if base.config.environment.is_local() {
        public = public.add_service(reflection()?);
    }
    let bytes_max = base.config.limits.message_bytes_max;
    let admin = Routes::new(health_service.clone())
        .add_service(AuditServiceServer::new(audit::Rpc).max_decoding_message_size(bytes_max))
        .add_service(AdminServiceServer::new(admin::Rpc).max_decoding_message_size(bytes_max));
    let dispatch = jobs::dispatch::Rpc::new(dispatch);
    let worker = Routes::new(health_service)
        .add_service(WorkerServiceServer::new(dispatch).max_decoding_message_size(bytes_max));

    let public = public_service(
        &base,
        edge.clone(),
        edge.gate(Listener::Public, http_endpoints::service(public.prepare().into_axum_router())),
    );
    let admin = edge.gate(Listener::Admin, http_endpoints::service(admin.prepare().into_axum_router()));
    let worker = edge.gate(Listener::Worker, http_endpoints::service(worker.prepare().into_axum_router()));
    let private = http_endpoints::private(http_endpoints::Private { metrics, health: health.clone() });
    let entrance = Entrance::new(tls, edge.client_address().clone(), base.tasks.clone());
    entrance.serve("public", listeners.public, public);
    entrance.serve("admin", listeners.admin, admin);
    entrance.serve("worker", listeners.worker, worker);
    entrance.in_clear().serve("metrics", listeners.metrics, http_endpoints::service(private));
    Ok(App { base, edge, health, addresses })
}

/// What users call.
fn public_services(base: &Base) -> Routes {
    let bytes_max = base.config.limits.message_bytes_max;
    let mirrors = projects::Mirrors::new(base.config.repos_dir(), base.tasks.clone());
    Routes::new(AuthServiceServer::new(auth::Rpc).max_decoding_message_size(bytes_max))
        .add_service(UserServiceServer::new(users::Rpc).max_decoding_message_size(bytes_max))
        .add_service(TeamServiceServer::new(teams::Rpc).max_decoding_message_size(bytes_max))
        .add_service(
            ProjectServiceServer::new(projects::Rpc::new(mirrors)).max_decoding_message_size(bytes_max),
        )
        .add_service(PreviewServiceServer::new(previews::Rpc).max_decoding_message_size(bytes_max))
        .add_service(JobServiceServer::new(jobs::Rpc::default()).max_decoding_message_size(bytes_max))
        .add_service(
            NotificationServiceServer::new(notifications::Rpc::default())
                .max_decoding_message_size(bytes_max),
        )
}

/// gRPC and gRPC-Web, with signed objects beside them, for browsers of the configured origins too.
fn public_service<S>(base: &Base, edge: Edge, rpcs: S) -> http_endpoints::PublicService<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    http_endpoints::public(edge, base.blobs.routes(), rpcs, cors::layer(&base.config.cors_origins))
}

/// Shows what the public listener serves, and with it the details of a status, so that tools can read a refusal.
fn reflection() -> Result<ServerReflectionServer<impl ServerReflection>> {
    policy::services(|audience| Listener::Public.serves(audience, true))
        .into_iter()
        .fold(tonic_reflection::server::Builder::configure(), |builder, service| {
            builder.with_service_name(service)
        })
        .register_encoded_file_descriptor_set(hivesync_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(Error::internal)
}

/// The hosts, with ports, by which clients may address the public listener. On a laptop `localhost` means
/// the same as the address.
fn authorities(config: &Config, addresses: &Addresses) -> Vec<String> {
    let mut authorities = vec![addresses.public_url.authority().to_owned()];
    if config.environment.is_local() {
        authorities.push(addresses.public.to_string());
        authorities.push(format!("localhost:{}", addresses.public.port()));
    }
    authorities
}

/// What a command works with that does its work beside the server, without listening.
///
/// # Errors
/// Whatever cannot be opened or reached.
pub async fn beside(config: Config, clock: Clock) -> Result<Arc<Base>> {
    prepare_data_dir(&config)?;
    let public_url = match &config.public_url {
        Some(url) => url.clone(),
        None => Url::parse(&format!("http://{}", config.listen.public)).map_err(Error::internal)?,
    };
    build_base(config, clock, &public_url, Tasks::default()).await
}

/// Gives the account with the address `email` another role on the platform.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn set_role(base: Arc<Base>, email: &str, role: PlatformRole) -> Result<()> {
    let ctx = Ctx::system(base, "operator command")?;
    users::set_role(&ctx, &users::Email::new(email), role).await
}

/// Shuts the account with the address `email`, and ends its sessions.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn suspend(base: Arc<Base>, email: &str) -> Result<()> {
    auth::suspend(&Ctx::system(base, "operator command")?, &users::Email::new(email)).await
}

/// Opens an account that was shut.
///
/// # Errors
/// `NOT_FOUND` if there is no such account.
pub async fn reinstate(base: Arc<Base>, email: &str) -> Result<()> {
    auth::reinstate(&Ctx::system(base, "operator command")?, &users::Email::new(email)).await
}

/// Migrations that the database lacks.
///
/// # Errors
/// `UNAVAILABLE` if the database cannot be reached.
pub async fn pending_migrations(config: &Config) -> Result<usize> {
    let db = connect_for_migration(config).await?;
    let pending = Migrator::get_pending_migrations(db.migration_connection()).await?.len();
    db.close().await;
    Ok(pending)
}

/// Brings the database's schema up to date; returns how many migrations that took.
///
/// # Errors
/// `UNAVAILABLE` if the database cannot be reached, `INTERNAL` if a migration fails.
pub async fn migrate(config: &Config) -> Result<usize> {
    let db = connect_for_migration(config).await?;
    let pending = Migrator::get_pending_migrations(db.migration_connection()).await?.len();
    Migrator::up(db.migration_connection(), None).await?;
    db.close().await;
    Ok(pending)
}

async fn connect_for_migration(config: &Config) -> Result<Db> {
    if config.environment.is_local() {
        prepare_data_dir(config)?;
    }
    Db::connect(&config.database).await
}
