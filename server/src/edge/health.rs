//! Health: what the server depends on, looked at every two seconds, and told by `grpc.health.v1` and on the
//! private listener.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde::Serialize;
use tokio::sync::Mutex;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::base::ctx::Base;

/// How often dependencies are looked at.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Bytes of a question at most, which is the name of a service: nobody who asks is known or counted.
pub const QUESTION_BYTES_MAX: usize = 1024;
/// How long a dependency may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Below this share of free space or inodes the server is degraded, as percent.
const DISK_FREE_PERCENT_MIN: u64 = 5;

/// How the whole server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Everything works.
    Healthy,
    /// Calls are served, but something is missing.
    Degraded,
    /// Calls would fail.
    Failing,
}

/// The outcome of one look.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The worst of all.
    pub condition: Condition,
    /// Each dependency by name.
    pub dependencies: Vec<Dependency>,
}

/// One thing that the server needs.
#[derive(Clone, Debug, Serialize)]
pub struct Dependency {
    /// What it is.
    pub name: &'static str,
    /// How it is.
    pub condition: Condition,
}

/// Looks at the dependencies and tells whoever asks.
#[derive(Clone)]
pub struct Health {
    base: Arc<Base>,
    reporter: HealthReporter,
    services: Arc<[&'static str]>,
    workers_connected: Arc<dyn Fn() -> usize + Send + Sync>,
    latest: Arc<ArcSwap<Report>>,
    told: Arc<Mutex<Option<bool>>>,
}

impl Health {
    /// Reports for `services` through `reporter`. `workers_connected` counts the workers on this server.
    #[must_use]
    pub fn new(
        base: Arc<Base>,
        reporter: HealthReporter,
        services: BTreeSet<&'static str>,
        workers_connected: Arc<dyn Fn() -> usize + Send + Sync>,
    ) -> Self {
        let unknown = Report { condition: Condition::Failing, dependencies: Vec::new() };
        Self {
            base,
            reporter,
            services: services.into_iter().collect(),
            workers_connected,
            latest: Arc::new(ArcSwap::from_pointee(unknown)),
            told: Arc::default(),
        }
    }

    /// The outcome of the latest look.
    #[must_use]
    pub fn latest(&self) -> Arc<Report> {
        self.latest.load_full()
    }

    /// Looks at every dependency now.
    pub async fn look(&self) {
        let worst = |alive, otherwise| if alive { Condition::Healthy } else { otherwise };
        let (database, kv, blobs) = tokio::join!(
            answers(self.base.db.ping()),
            answers(self.base.kv.ping()),
            answers(self.base.blobs.ping()),
        );
        let dependencies = vec![
            Dependency { name: "database", condition: worst(database, Condition::Failing) },
            Dependency { name: "kv", condition: worst(kv, Condition::Degraded) },
            Dependency { name: "blobs", condition: worst(blobs, Condition::Degraded) },
            Dependency { name: "disk", condition: worst(self.disk_has_room(), Condition::Degraded) },
            Dependency {
                name: "workers",
                condition: worst((self.workers_connected)() > 0, Condition::Degraded),
            },
        ];
        let condition = dependencies.iter().map(|one| one.condition).max().unwrap_or(Condition::Failing);
        if self.latest.load().condition != condition {
            tracing::info!(event = "health.changed", condition = ?condition);
        }
        self.latest.store(Arc::new(Report { condition, dependencies }));
        self.tell(condition < Condition::Failing && !self.base.tasks.stopping().is_cancelled()).await;
    }

    /// Tells everybody that this server is about to stop.
    pub async fn leave(&self) {
        self.tell(false).await;
    }

    /// Whoever watches a service is told what has changed, and not every time that it has not.
    async fn tell(&self, serving: bool) {
        let mut told = self.told.lock().await;
        if told.replace(serving) == Some(serving) {
            return;
        }
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in self.services.iter().chain([&""]) {
            self.reporter.set_service_status(service, status).await;
        }
    }

    fn disk_has_room(&self) -> bool {
        let Ok(disk) = rustix::fs::statvfs(&self.base.config.data_dir) else { return false };
        let enough =
            |free: u64, all: u64| all == 0 || free.saturating_mul(100) / all >= DISK_FREE_PERCENT_MIN;
        metrics::gauge!("hivesync_disk_free_bytes").set(disk.f_bavail.saturating_mul(disk.f_frsize) as f64);
        enough(disk.f_bavail, disk.f_blocks) && enough(disk.f_favail, disk.f_files)
    }
}

async fn answers<T, E>(question: impl Future<Output = Result<T, E>>) -> bool {
    matches!(tokio::time::timeout(ANSWER_TIMEOUT, question).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use tonic_health::pb::{
        HealthCheckRequest, health_check_response::ServingStatus::NotServing, health_client::HealthClient,
    };

    use super::*;
    use crate::base::{fixture::Fixture, ports::Ports};

    #[tokio::test]
    async fn whoever_watches_is_told_only_what_changes() {
        let fixture = Fixture::new(Ports::default()).await;
        let (reporter, service) = tonic_health::server::health_reporter();
        let health =
            Health::new(fixture.base.clone(), reporter, BTreeSet::from(["a service"]), Arc::new(|| 1));
        health.look().await;
        let question = HealthCheckRequest { service: "a service".to_owned() };
        let mut watched = HealthClient::new(service).watch(question).await.unwrap().into_inner();
        watched.message().await.unwrap().unwrap();
        health.look().await;
        assert!(watched.message().now_or_never().is_none(), "nothing has changed");
        health.leave().await;
        assert_eq!(watched.message().await.unwrap().unwrap().status(), NotServing);
    }
}
