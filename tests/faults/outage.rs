//! What a server depends on goes down and comes back: what it says of itself meanwhile, and what it still does.

use std::{net::SocketAddr, time::Duration};

use hivesync_proto::v1 as pb;
use hivesync_tests::{
    backend::{Backend, Stores},
    relay::Relay,
    tool,
    wire::{Wire, refused},
    world::World,
};
use serde_json::Value;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use url::Url;

const SERVICES: [&str; 3] = ["", "hivesync.v1.AuthService", "hivesync.v1.ProjectService"];
const GET_ME: &str = "hivesync.v1.UserService/GetMe";
/// How often a state is looked for before it is missed: for half a minute.
const LOOKS_MAX: u32 = 300;

/// A server whose every dependency can be cut off.
struct Dependent {
    world: World,
    database: Relay,
    keys: Relay,
    objects: Relay,
    _stores: Stores,
    _directory: tempfile::TempDir,
}

impl Dependent {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let stores = Stores::open(Backend::Production, directory.path()).await;
        let setting = |wanted| {
            let found = stores.settings().iter().find(|(name, _)| *name == wanted);
            Url::parse(&found.expect("set").1).expect("an address")
        };
        let (database_url, database) = through_relay(setting("DATABASE_URL")).await;
        let (keys_url, keys) = through_relay(setting("REDIS_URL")).await;
        let objects_url = setting("OBJECT_STORE_URL");
        let endpoint = objects_url.query_pairs().find(|(name, _)| name == "endpoint").expect("an endpoint").1;
        let (relayed, objects) = through_relay(endpoint.parse().expect("an address")).await;
        let objects_url = objects_url.as_str().replace(endpoint.as_ref(), relayed.trim_end_matches('/'));

        let mut settings: Vec<(&str, &str)> =
            stores.settings().iter().map(|(name, value)| (*name, value.as_str())).collect();
        settings.extend([
            ("DATABASE_URL", database_url.as_str()),
            ("REDIS_URL", &keys_url),
            ("OBJECT_STORE_URL", &objects_url),
        ]);
        let world = World::with(Backend::Embedded, &settings).await;
        Self { world, database, keys, objects, _stores: stores, _directory: directory }
    }

    /// What the private listener says of a dependency, or of all of them together.
    async fn condition_of(&self, name: &str) -> String {
        let report: Value = serde_json::from_str(&self.private("health").await.1).expect("JSON");
        let one = report["dependencies"].as_array().expect("a list").iter().find(|one| one["name"] == name);
        one.unwrap_or(&report)["condition"].as_str().expect("a condition").to_owned()
    }

    async fn private(&self, path: &str) -> (u16, String) {
        let address = self.world.app().addresses.metrics;
        let answer = reqwest::get(format!("http://{address}/{path}")).await.expect("the listener answers");
        (answer.status().as_u16(), answer.text().await.expect("text"))
    }

    /// Waits until all of `names`, and everything together, are in these conditions.
    async fn becomes(&self, expected: &[(&str, &str)]) {
        for _ in 0..LOOKS_MAX {
            let mut all = true;
            for (name, condition) in expected {
                all &= self.condition_of(name).await == *condition;
            }
            if all {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("not {expected:?} but {}", self.private("health").await.1);
    }

    async fn serves(&self, wire: &Wire) -> Vec<ServingStatus> {
        let mut health = HealthClient::new(wire.channel.clone());
        let mut states = Vec::new();
        for service in SERVICES {
            let question = HealthCheckRequest { service: service.to_owned() };
            states.push(health.check(question).await.expect("an answer").into_inner().status());
        }
        states
    }
}

/// The address by which `url` is reached through a relay, and the relay.
async fn through_relay(mut url: Url) -> (String, Relay) {
    let target = SocketAddr::new(
        url.host_str().expect("a host").parse().expect("an address of this machine"),
        url.port().expect("a port"),
    );
    let relay = Relay::to(target).await;
    url.set_ip_host(relay.address().ip()).expect("an address");
    url.set_port(Some(relay.address().port())).expect("a port");
    (url.into(), relay)
}

/// A server without its database serves nothing, says so, and comes back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_follows_the_database() {
    let Some(dependent) = dependent().await else { return };
    let ada = dependent.world.caller("ada").await;
    let wire = dependent.world.wire().await;
    dependent.becomes(&[("database", "healthy")]).await;
    assert_eq!(dependent.serves(&wire).await, [ServingStatus::Serving; 3]);
    assert_eq!(dependent.private("readyz").await.0, 200);

    dependent.database.cut();
    dependent.becomes(&[("database", "failing"), ("kv", "healthy"), ("all", "failing")]).await;
    assert_eq!(dependent.serves(&wire).await, [ServingStatus::NotServing; 3]);
    assert_eq!(dependent.private("readyz").await.0, 503);
    assert_eq!(dependent.private("livez").await.0, 200, "a restart would not bring the database back");
    let refusal = refused(ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await);
    assert_eq!(refusal.reason, pb::ErrorReason::Unavailable);

    dependent.database.mend();
    dependent.becomes(&[("database", "healthy")]).await;
    assert_eq!(dependent.serves(&wire).await, [ServingStatus::Serving; 3]);
    // No call meets a connection that has died.
    for _ in 0..16 {
        let _: pb::User = ada.get(GET_ME, pb::GetMeRequest {}).await;
    }
    ada.project("after", "").await;
}

/// Without keys or objects a server is degraded, says so to its operator, and goes on with what it can do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_tells_what_is_missing() {
    let Some(dependent) = dependent().await else { return };
    let ada = dependent.world.caller("ada").await;
    let wire = dependent.world.wire().await;
    dependent.becomes(&[("kv", "healthy"), ("blobs", "healthy")]).await;
    for (name, relay) in [("kv", &dependent.keys), ("blobs", &dependent.objects)] {
        relay.cut();
        dependent.becomes(&[(name, "degraded"), ("database", "healthy"), ("all", "degraded")]).await;
        assert_eq!(dependent.serves(&wire).await, [ServingStatus::Serving; 3], "without {name}");
        assert_eq!(dependent.private("readyz").await.0, 200, "without {name}");
        let _: pb::User = ada.get(GET_ME, pb::GetMeRequest {}).await;
        relay.mend();
        dependent.becomes(&[(name, "healthy")]).await;
    }
    let project = ada.project("after", "").await;
    assert_eq!(project.name, "after");
}

async fn dependent() -> Option<Dependent> {
    if tool::is_too_slow("dependencies that go down") {
        return None;
    }
    if Backend::Production.available() { Some(Dependent::start().await) } else { None }
}
