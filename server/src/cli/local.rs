//! A server and a worker in one process, as `dev` and `demo` run them: through the same streams as apart.

use std::time::Duration;

use hivesync_proto::{repository_url::UrlPolicy, v1::JobKind};
use hivesync_server::{
    app::{Addresses, App},
    base::{
        config::Config,
        error::{Error, Result},
    },
};
use hivesync_workers::{Worker, WorkerConfig};
use secrecy::SecretSlice;
use tokio_util::sync::CancellationToken;

/// How long jobs of the worker may go on after it was told to leave.
const WORKER_DRAIN: Duration = Duration::from_secs(5);

/// A running server with its worker.
pub(super) struct LocalServer {
    app: App,
    leave: CancellationToken,
    left: CancellationToken,
}

impl LocalServer {
    /// Starts both.
    pub(super) async fn start(config: Config, slots: u32) -> Result<Self> {
        let data_dir = config.data_dir.clone();
        let secret = config.worker_shared_secret.clone();
        let allowed_ports = config.repository_ports.clone();
        let app = super::serve::start(config).await?;
        let worker = Worker::new(WorkerConfig {
            server_url: format!("http://{}", app.addresses.worker),
            shared_secret: SecretSlice::from(secret.expose().to_vec()),
            worker_id: "local".to_owned(),
            data_dir,
            slots,
            kinds: vec![JobKind::RepoSync, JobKind::PreviewVerify, JobKind::Cleanup],
            url_policy: UrlPolicy { allow_file: true, allowed_ports },
            tls_root: None,
            drain_limit: WORKER_DRAIN,
        })
        .map_err(Error::internal)?;
        let (leave, left) = (CancellationToken::new(), CancellationToken::new());
        let (told, done) = (leave.clone(), left.clone().drop_guard());
        app.base().tasks.spawn("worker", async move {
            if let Err(error) = worker.run(told.cancelled_owned()).await {
                tracing::error!(event = "worker.failed", cause = %error);
            }
            drop(done);
        });
        Ok(Self { app, leave, left })
    }

    /// Where the server listens.
    pub(super) fn addresses(&self) -> &Addresses {
        &self.app.addresses
    }

    /// Stops both, the worker first; whether they ended in time.
    pub(super) async fn stop(self) -> bool {
        self.leave.cancel();
        let left = tokio::time::timeout(WORKER_DRAIN * 2, self.left.cancelled()).await.is_ok();
        self.app.stop().await && left
    }
}
