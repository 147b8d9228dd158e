//! A worker in this process.

use std::{net::SocketAddr, path::Path, time::Duration};

use hivesync_proto::{repository_url::UrlPolicy, v1::JobKind};
use hivesync_workers::WorkerConfig;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::world::WORKER_SECRET;

/// A running worker; stopped with this value.
pub struct Worker {
    running: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

impl Worker {
    /// Starts a worker of the server that listens at `server`, with the same data directory.
    pub async fn start(server: SocketAddr, data_dir: &Path) -> Self {
        let worker = hivesync_workers::Worker::new(WorkerConfig {
            server_url: format!("http://{server}"),
            shared_secret: WORKER_SECRET.as_bytes().to_vec().into(),
            tls_root: None,
            worker_id: "tests".to_owned(),
            data_dir: data_dir.to_owned(),
            slots: 2,
            kinds: vec![JobKind::RepoSync, JobKind::PreviewVerify, JobKind::Cleanup],
            url_policy: UrlPolicy { allow_file: true, allowed_ports: Vec::new() },
            drain_limit: Duration::from_secs(1),
        })
        .expect("a worker");
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(async move {
            let shutdown = async {
                let _ = stopped.await;
            };
            if let Err(error) = worker.run(shutdown).await {
                eprintln!("the worker ended: {error}");
            }
        });
        Self { running, stop: Some(stop) }
    }

    /// Stops the worker and waits for it.
    pub async fn stop(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        (&mut self.running).await.expect("the worker ends");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.running.abort();
    }
}
