//! Signed addresses can do what they were signed for and nothing else, on disk and on S3.
#![allow(clippy::disallowed_methods, reason = "a test runs the other side of the connection itself")]

use std::{
    io::Write as _,
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use reqwest::StatusCode;

use super::*;
use crate::base::crypto::sha256;

const TTL: Duration = Duration::from_secs(240);
const CONTENT: &[u8] = b"fn main() {}";

impl Blobs {
    /// Writes an object without an address.
    pub(crate) async fn put(&self, key: &ObjectKey, content: &[u8]) {
        self.0.store.put(&key.location(), content.to_vec().into()).await.unwrap();
    }

    /// How many objects there are.
    pub(crate) async fn count(&self) -> usize {
        self.0.store.list(None).count().await
    }
}

/// A store, the server in front of it, and the directory behind it.
struct World {
    blobs: Blobs,
    clock: Clock,
    http: reqwest::Client,
    /// The S3 server of the tests answers a wrong digest rightly, but only after it has stored the object.
    forgets_what_it_refuses: bool,
    _server: Option<tokio::process::Child>,
    _dir: tempfile::TempDir,
}

async fn listen() -> (tokio::net::TcpListener, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn serve<S, B>(listener: tokio::net::TcpListener, service: S)
where
    S: hyper::service::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>>
        + Clone
        + Send
        + 'static,
    S::Future: Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let connection = auto::Builder::new(TokioExecutor::new());
                connection.serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    });
}

fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl World {
    async fn on_disk() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::system();
        let (listener, address) = listen().await;
        let public_url = Url::parse(&format!("http://{address}")).unwrap();
        let config = config::ObjectStore { url: String::new(), access_key_id: None, secret_access_key: None };
        let key = Secret::new(vec![7; 32]);
        let blobs = Blobs::open(&config, dir.path(), &public_url, &key, clock.clone()).unwrap();
        serve(listener, TowerToHyperService::new(blobs.routes()));
        Self { blobs, clock, http: http(), forgets_what_it_refuses: true, _server: None, _dir: dir }
    }

    async fn on_s3() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bundles")).unwrap();
        let (listener, address) = listen().await;
        let mut service = s3s::service::S3ServiceBuilder::new(s3s_fs::FileSystem::new(dir.path()).unwrap());
        service.set_auth(s3s::auth::SimpleAuth::from_single("access", "a secret key"));
        serve(listener, service.build());
        Self::in_bucket(address, dir, None)
    }

    /// On versitygw, a server of other people, where `HIVESYNC_TEST_VERSITYGW` names its program.
    async fn on_gateway() -> Option<Self> {
        let Some(program) = std::env::var_os("HIVESYNC_TEST_VERSITYGW") else {
            let quick = std::env::var_os("HIVESYNC_TEST_QUICK").is_some();
            assert!(quick || std::env::var_os("CI").is_none(), "HIVESYNC_TEST_VERSITYGW must be set on CI");
            // The process's own stderr: the test runner shows what a test prints only if it fails.
            let said = b"!! SKIPPED: signed addresses of versitygw: HIVESYNC_TEST_VERSITYGW is not set; use tests/run\n";
            let _ = std::io::stderr().write_all(said);
            return None;
        };
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("bundles")).unwrap();
        let address = listen().await.1;
        let server = tokio::process::Command::new(program)
            .args(["--quiet", "--region", "eu-central-1", "--port", &address.to_string(), "posix"])
            .arg(dir.path())
            .envs([("ROOT_ACCESS_KEY", "access"), ("ROOT_SECRET_KEY", "a secret key")])
            .stdout(std::process::Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            tokio::task::yield_now().await;
        }
        Some(Self::in_bucket(address, dir, Some(server)))
    }

    fn in_bucket(address: SocketAddr, dir: tempfile::TempDir, server: Option<tokio::process::Child>) -> Self {
        let clock = Clock::system();
        let config = config::ObjectStore {
            url: format!("s3://bundles?endpoint=http://{address}&region=eu-central-1"),
            access_key_id: Some("access".to_owned()),
            secret_access_key: Some("a secret key".to_owned().into()),
        };
        let nowhere = Url::parse("http://unused.invalid").unwrap();
        let blobs =
            Blobs::open(&config, dir.path(), &nowhere, &Secret::new(vec![7; 32]), clock.clone()).unwrap();
        let forgets_what_it_refuses = server.is_some();
        Self { blobs, clock, http: http(), forgets_what_it_refuses, _server: server, _dir: dir }
    }

    async fn send(&self, request: &Presigned, body: &'static [u8]) -> StatusCode {
        self.send_to(request, request.url.expose(), body).await
    }

    async fn send_to(&self, request: &Presigned, url: &str, body: &'static [u8]) -> StatusCode {
        let method = request.method.parse().unwrap();
        let mut builder = self.http.request(method, url);
        for (name, value) in &request.headers {
            // A client that lies about the content still has to send the length that it has.
            let value = if *name == "content-length" { &body.len().to_string() } else { value };
            builder = builder.header(*name, value);
        }
        if request.method == "PUT" {
            builder = builder.body(body);
        }
        builder.send().await.unwrap().status()
    }

    fn put(&self, key: &ObjectKey, content: &[u8]) -> Presigned {
        self.blobs.sign_put(key, &sha256(content), content.len() as u64, TTL).unwrap()
    }
}

fn key(number: u8) -> ObjectKey {
    ObjectKey::random([number; 16])
}

fn is_refused(status: StatusCode) -> bool {
    status.is_client_error()
}

/// The promises that hold on both stores.
async fn keeps_the_promises_of_signed_addresses(world: World) {
    let World { blobs, http, .. } = &world;

    // The right bytes, once.
    let upload = world.put(&key(7), CONTENT);
    assert!(is_refused(world.send(&upload, b"fn main() []").await), "other bytes of the same size");
    assert!(is_refused(world.send(&upload, b"fn main() {} // and more").await), "more bytes");
    assert!(is_refused(world.send(&upload, b"fn").await), "fewer bytes");
    if world.forgets_what_it_refuses {
        assert_eq!(blobs.head(&key(7)).await.unwrap(), None, "nothing of it is kept");
        assert!(world.send(&upload, CONTENT).await.is_success(), "a failed attempt can be repeated");
    }
    let upload = world.put(&key(1), CONTENT);
    assert!(world.send(&upload, CONTENT).await.is_success());
    assert!(is_refused(world.send(&upload, CONTENT).await), "a second use");
    assert_eq!(blobs.head(&key(1)).await.unwrap(), Some(CONTENT.len() as u64));

    // Reading.
    let download = blobs.sign_get(&key(1), TTL).unwrap();
    let response = http.get(download.url.expose()).send().await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.bytes().await.unwrap(), CONTENT);
    assert!(is_refused(world.send(&blobs.sign_get(&key(2), TTL).unwrap(), b"").await), "no such object");

    // An address cannot be turned into another.
    let upload = world.put(&key(3), CONTENT);
    let genuine = upload.url.expose();
    let (one, two) = (key(3).to_string(), key(4).to_string());
    let moved = genuine.replace(&one, &two).replace(&one[2..], &two[2..]);
    assert_ne!(moved, genuine);
    assert!(is_refused(world.send_to(&upload, &moved, CONTENT).await), "another object");
    assert!(is_refused(world.send_to(&upload, &format!("{genuine}x"), CONTENT).await), "another signature");
    let (bare, _) = genuine.split_once('?').unwrap();
    assert!(is_refused(world.send_to(&upload, bare, CONTENT).await), "no signature");
    let as_get = Presigned { method: "GET", ..upload.clone() };
    assert!(is_refused(world.send(&as_get, b"").await), "another method");
    let as_put = Presigned { method: "PUT", ..download };
    assert!(is_refused(world.send(&as_put, CONTENT).await), "a reader cannot write");
    assert_eq!(blobs.head(&key(3)).await.unwrap(), None);

    // The server's own hands.
    blobs.put(&key(5), CONTENT).await;
    let object = blobs.get(&key(5)).await.unwrap();
    assert_eq!(object.size, CONTENT.len() as u64);
    assert_eq!(object.content.try_collect::<Vec<_>>().await.unwrap().concat(), CONTENT);
    blobs.ping().await.unwrap();
    blobs.delete(&key(5)).await.unwrap();
    blobs.delete(&key(5)).await.unwrap();
    assert!(matches!(blobs.get(&key(5)).await, Err(Error::NotFound)));

    // An empty file is a file.
    assert!(world.send(&world.put(&key(6), b""), b"").await.is_success());
    assert_eq!(blobs.head(&key(6)).await.unwrap(), Some(0));
    assert!(!format!("{upload:?}").contains("ignature"), "an address is not shown");
}

#[tokio::test]
async fn disk_keeps_the_promises_of_signed_addresses() {
    keeps_the_promises_of_signed_addresses(World::on_disk().await).await;
}

#[tokio::test]
async fn s3_keeps_the_promises_of_signed_addresses() {
    keeps_the_promises_of_signed_addresses(World::on_s3().await).await;
}

#[tokio::test]
async fn an_address_on_disk_ends_with_its_time() {
    let world = World::on_disk().await;
    let upload = world.put(&key(1), CONTENT);
    world.blobs.put(&key(2), CONTENT).await;
    let download = world.blobs.sign_get(&key(2), TTL).unwrap();
    let later = upload.url.expose().replace("expires=", "expires=9");
    assert_eq!(world.send_to(&upload, &later, CONTENT).await, StatusCode::FORBIDDEN);
    world.clock.advance(TTL);
    assert_eq!(world.send(&upload, CONTENT).await, StatusCode::FORBIDDEN);
    assert_eq!(world.send(&download, b"").await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_gateway_keeps_the_promises_of_signed_addresses() {
    if let Some(world) = World::on_gateway().await {
        keeps_the_promises_of_signed_addresses(world).await;
    }
}

#[tokio::test]
async fn an_address_on_s3_ends_with_its_time() {
    ends_with_its_time(World::on_s3().await).await;
}

#[tokio::test]
async fn an_address_on_a_gateway_ends_with_its_time() {
    if let Some(world) = World::on_gateway().await {
        ends_with_its_time(world).await;
    }
}

async fn ends_with_its_time(world: World) {
    let Signer::Bucket(bucket) = &world.blobs.0.signer else { panic!("a bucket") };
    let digest = sha256(CONTENT);
    let earlier = world.clock.now() - TTL - Duration::from_secs(2);
    let upload = bucket.put(&key(1), &digest, CONTENT.len() as u64, earlier, TTL).unwrap();
    assert_eq!(world.send(&upload, CONTENT).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_digest_on_s3_cannot_be_lied_about() {
    cannot_be_lied_about(World::on_s3().await).await;
}

#[tokio::test]
async fn a_digest_on_a_gateway_cannot_be_lied_about() {
    if let Some(world) = World::on_gateway().await {
        cannot_be_lied_about(world).await;
    }
}

async fn cannot_be_lied_about(world: World) {
    let mut upload = world.put(&key(1), CONTENT);
    let other = world.put(&key(1), b"fn main() []").headers;
    upload.headers = other;
    assert!(is_refused(world.send(&upload, b"fn main() []").await), "the digest is signed");
    upload.headers.retain(|(name, _)| *name != "x-amz-checksum-sha256");
    assert!(is_refused(world.send(&upload, b"fn main() []").await), "and cannot be left out");
    let mut upload = world.put(&key(1), CONTENT);
    upload.headers.retain(|(name, _)| *name != "if-none-match");
    assert!(is_refused(world.send(&upload, CONTENT).await), "nor can the promise not to replace");
}

#[test]
fn what_a_crash_left_incomplete_is_gone_after_a_restart_and_what_another_server_receives_stays() {
    let dir = tempfile::tempdir().unwrap();
    let incoming = dir.path().join("incoming");
    let draining = Disk::open(dir.path()).unwrap();
    let its_own = std::fs::read_dir(&incoming).unwrap().next().unwrap().unwrap().path();
    let upload = tempfile::NamedTempFile::new_in(its_own).unwrap();
    std::fs::create_dir(incoming.join("abandoned")).unwrap();
    std::fs::write(incoming.join("abandoned/half"), "half").unwrap();
    std::fs::write(incoming.join("half"), "half").unwrap();

    let successor = Disk::open(dir.path()).unwrap();
    assert!(upload.path().is_file());
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 2);
    drop((upload, draining, successor));
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0);
}

#[test]
fn servers_that_leave_stop_none_that_starts() {
    const STARTS: u32 = 25;
    const LEAVING: usize = 16;
    let dir = tempfile::tempdir().unwrap();
    let incoming = dir.path().join("incoming");
    drop(Disk::open(dir.path()).unwrap());
    let started = AtomicBool::new(false);
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !started.load(Ordering::Relaxed) {
                // All that others see of a server that leaves is that its directory goes.
                drop([(); LEAVING].map(|()| tempfile::tempdir_in(&incoming)));
            }
        });
        let outcomes = (0..STARTS).map(|_| Disk::open(dir.path()).map(drop)).collect();
        started.store(true, Ordering::Relaxed);
        outcomes
    });
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
}

#[test]
fn only_our_own_names_are_names() {
    let name = "00ff00ff00ff00ff00ff00ff00ff00ff";
    assert_eq!(ObjectKey::parse(name).unwrap().to_string(), name);
    for bad in [
        "",
        "..",
        "../../../../../../../../etc/passwd",
        &name.to_uppercase(),
        &name[1..],
        "+0ff00ff00ff00ff00ff00ff00ff00ff",
    ] {
        assert_eq!(ObjectKey::parse(bad), None, "{bad}");
    }
}

#[test]
fn a_wrong_address_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    for url in ["not a url", "https://example.com/bucket", "s3://bucket", "file://host/relative"] {
        let config =
            config::ObjectStore { url: url.to_owned(), access_key_id: None, secret_access_key: None };
        let public_url = Url::parse("http://127.0.0.1").unwrap();
        let opened =
            Blobs::open(&config, dir.path(), &public_url, &Secret::new(vec![7; 32]), Clock::system());
        assert!(matches!(opened, Err(Error::Configuration(_))), "{url}");
    }
}
