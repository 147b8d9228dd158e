//! The composition root: from a configuration to a running server. The only file that names every slice.

mod commands;

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
use tonic::service::Routes;
use tonic_health::pb::health_server::{Health as HealthService, HealthServer};
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};
use url::Url;

use crate::{
    base::{
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

pub use commands::{beside, migrate, pending_migrations, reinstate, set_role, suspend};

/// Keys that the in-memory store holds at most.
const MEMORY_KEYS_MAX: usize = 1_000_000;
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
        signals.share(&kv, &tasks).await?;
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
        .with(previews::PreviewVerifyJob)
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
    outbox::sweep(&ctx, &tx).await?;
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
    let dispatch = jobs::dispatch::Dispatch::start(&base);
    let (health, health_service) = start_health(&base, &dispatch);
    let gate = |listener, services: Routes| {
        let services = services.add_service(health_service.clone()).prepare();
        edge.gate(listener, http_endpoints::service(services.into_axum_router()))
    };

    let public = gate(Listener::Public, public_services(&base)?);
    let origins = cors::layer(&base.config.cors_origins);
    let public = http_endpoints::public(edge.clone(), base.blobs.routes(), public, origins);
    let private = http_endpoints::private(http_endpoints::Private { metrics, health: health.clone() });
    let entrance = Entrance::new(tls, edge.client_address().clone(), base.tasks.clone());
    entrance.serve("public", listeners.public, public);
    entrance.serve("admin", listeners.admin, gate(Listener::Admin, admin_services(&base)));
    entrance.serve("worker", listeners.worker, gate(Listener::Worker, worker_services(&base, dispatch)));
    entrance.in_clear().serve("metrics", listeners.metrics, http_endpoints::service(private));
    Ok(App { base, edge, health, addresses })
}

/// Looks at what the server depends on, again and again, and the service that tells of it.
fn start_health(
    base: &Arc<Base>,
    dispatch: &jobs::dispatch::Dispatch,
) -> (Health, HealthServer<impl HealthService>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    let dispatch = dispatch.clone();
    let workers_connected = Arc::new(move || dispatch.workers_connected());
    let services = policy::services(|audience| audience != Audience::Local);
    let health = Health::new(base.clone(), reporter, services, workers_connected);
    let looked = health.clone();
    base.tasks.every("health", health::LOOK_EVERY, move || {
        let health = looked.clone();
        async move {
            health.look().await;
            Ok(())
        }
    });
    (health, service.max_decoding_message_size(health::QUESTION_BYTES_MAX))
}

/// What users call, and in local mode what shows it to their tools.
fn public_services(base: &Base) -> Result<Routes> {
    let bytes_max = base.config.limits.message_bytes_max;
    let mirrors = projects::Mirrors::new(base.config.repos_dir(), base.tasks.clone());
    let services = Routes::new(AuthServiceServer::new(auth::Rpc).max_decoding_message_size(bytes_max))
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
        );
    Ok(if base.config.environment.is_local() { services.add_service(reflection()?) } else { services })
}

/// What operators call.
fn admin_services(base: &Base) -> Routes {
    let bytes_max = base.config.limits.message_bytes_max;
    Routes::new(AuditServiceServer::new(audit::Rpc).max_decoding_message_size(bytes_max))
        .add_service(AdminServiceServer::new(admin::Rpc).max_decoding_message_size(bytes_max))
}

/// What workers call.
fn worker_services(base: &Base, dispatch: jobs::dispatch::Dispatch) -> Routes {
    let dispatch = WorkerServiceServer::new(jobs::dispatch::Rpc::new(dispatch));
    Routes::new(dispatch.max_decoding_message_size(base.config.limits.message_bytes_max))
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
