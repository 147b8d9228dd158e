//! What one client can take of a server, and that the others have the rest.

use std::{net::SocketAddr, time::Duration};

use futures::future::join_all;
use hivesync::{
    page::PageRequest,
    projects::{FileQuery, TreeQuery},
};
use hivesync_proto::v1::{
    self as pb, ErrorReason as Reason, job_service_client::JobServiceClient,
    project_service_client::ProjectServiceClient,
};
use hivesync_tests::{
    backend::Backend,
    caller::Caller,
    manifest::sha256,
    process::Installation,
    repository::Repository,
    wire::{Credentials, Wire, refused, set},
    world::{World, in_time},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tonic::{Code, Request, Status, Streaming};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_client::HealthClient};
use url::Url;
use uuid::Uuid;

use super::previews::{DOWNLOADS, create, publish, token_of, uploads_of};

/// How often a figure of the server is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
const WATCH: &str = "grpc.health.v1.Health/Watch";
/// The server behind a proxy on this machine: a test is whoever it says.
const BEHIND_A_PROXY: (&str, &str) = ("TRUSTED_PROXIES", "127.0.0.1/32");

/// A stream that anybody may open, by a client at `address`.
async fn watch_health(wire: &Wire, address: &str) -> Result<Streaming<HealthCheckResponse>, Status> {
    let mut request = wire.request(WATCH, HealthCheckRequest::default(), Credentials::default());
    set(&mut request, "x-forwarded-for", address);
    let mut stream = HealthClient::new(wire.channel.clone()).watch(request).await?.into_inner();
    stream.message().await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_leaves_streams_for_others() {
    in_time(Box::pin(async {
        let world = World::without_worker(Backend::Embedded, &[BEHIND_A_PROXY]).await;
        let wire = world.wire().await;
        let mut held = Vec::new();
        let refusal = loop {
            match watch_health(&wire, "192.0.2.1").await {
                Ok(stream) => held.push(stream),
                Err(status) => break refused::<()>(Err(status)),
            }
            assert!(held.len() < 200, "nobody has so many streams");
        };
        assert_eq!(refusal.reason, Reason::Overloaded);
        assert!(refusal.retry_after.is_some());
        assert!(watch_health(&wire, "192.0.2.2").await.is_ok());
        held.clear();
        // The server hears of it a little later.
        while watch_health(&wire, "192.0.2.1").await.is_err() {}
    }))
    .await;
}

async fn watch_job(caller: &Caller, job_id: &str) -> Result<Streaming<pb::WatchJobResponse>, Status> {
    let with = Credentials { access_token: Some(&caller.tokens.access_token), device: None };
    let message = pb::WatchJobRequest { job_id: job_id.to_owned() };
    let request: Request<_> = caller.wire.request("hivesync.v1.JobService/WatchJob", message, with);
    let mut stream =
        JobServiceClient::new(caller.wire.channel.clone()).watch_job(request).await?.into_inner();
    stream.message().await?;
    Ok(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_watches_so_many_jobs_at_a_time() {
    in_time(Box::pin(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let (ada, bob) = (world.caller("ada").await, world.caller("bob").await);
        let repository = Repository::sample();
        let mut jobs = Vec::new();
        for caller in [&ada, &bob] {
            let project_id = caller.project("site", &repository.url()).await.id;
            let sync = pb::SyncRepositoryRequest { project_id, idempotency_key: Uuid::new_v4().to_string() };
            let job: pb::Job = caller.get("hivesync.v1.ProjectService/SyncRepository", sync).await;
            jobs.push(job.id);
        }
        let mut held = Vec::new();
        for _ in 0..16 {
            held.push(watch_job(&ada, &jobs[0]).await.expect("watched"));
        }
        let refusal = refused(watch_job(&ada, &jobs[0]).await);
        assert_eq!(refusal.reason, Reason::RateLimited);
        assert!(refusal.retry_after.is_some());
        assert!(watch_job(&bob, &jobs[1]).await.is_ok());
        held.clear();
        while watch_job(&ada, &jobs[0]).await.is_err() {}
    }))
    .await;
}

/// A request without its body, sent by a client at `address`, over a connection that takes in little.
async fn begin(method: &str, url: &str, length: usize, address: &str) -> TcpStream {
    send_head(method, url, length, address, "").await
}

/// An upload that the server has let in, and of which it has the first byte.
async fn begin_upload(url: &str, content: &[u8], address: &str) -> TcpStream {
    let mut upload = send_head("PUT", url, content.len(), address, "Expect: 100-continue\r\n").await;
    // It says so when it begins to read (RFC 9110, 10.1.1).
    const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut interim = [0; CONTINUE.len()];
    upload.read_exact(&mut interim).await.expect("an answer");
    assert_eq!(interim, CONTINUE);
    upload.write_all(&content[..1]).await.unwrap();
    upload
}

async fn send_head(method: &str, url: &str, length: usize, address: &str, expectation: &str) -> TcpStream {
    let url: Url = url.parse().unwrap();
    let host: SocketAddr = url.authority().parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(host).await.unwrap();
    let (path, query) = (url.path(), url.query().unwrap());
    let head = format!(
        "{method} {path}?{query} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-For: {address}\r\nConnection: close\r\n\
         Content-Length: {length}\r\n{expectation}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// The status that the server has answered with.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.expect("an answer");
    std::str::from_utf8(&line).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

async fn put(url: &str, content: &[u8], address: &str) -> u16 {
    let mut stream = begin("PUT", url, content.len(), address).await;
    // Whoever is refused need not have been read.
    let _ = stream.write_all(content).await;
    status(&mut stream).await
}

/// As many contents as there are uploads, with their signed addresses.
async fn addresses(ada: &Caller, count: u8) -> Vec<(String, Vec<u8>)> {
    let project = ada.project(&Uuid::new_v4().to_string(), "").await.id;
    let contents: Vec<_> =
        (0..count).map(|number| (format!("file-{number:02}"), vec![number; 1_000])).collect();
    let files: Vec<_> = contents.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())).collect();
    let preview = create(ada, &project, &files).await.preview.unwrap();
    let mut signed = Vec::new();
    for (_, bytes) in contents {
        let uploads = uploads_of(ada, &preview.id, vec![sha256(&bytes)]).await;
        signed.push((uploads[0].url.clone(), bytes));
    }
    signed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_takes_so_many_uploads_at_a_time() {
    in_time(Box::pin(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.caller("ada").await;
        let signed = addresses(&ada, 2).await;
        let [(url, content), (other_url, other)] = signed.as_slice() else { panic!("{signed:?}") };
        let mut slow = Vec::new();
        for _ in 0..4 {
            slow.push(begin_upload(url, content, "").await);
        }
        assert_eq!(put(url, content, "").await, 503);
        assert_eq!(put(other_url, other, "").await, 200);
        drop(slow);
        // The server hears of it a little later.
        while put(url, content, "").await != 200 {}
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_leaves_uploads_for_others() {
    const OWN: usize = 64;
    in_time(Box::pin(async {
        let world = World::without_worker(Backend::Embedded, &[BEHIND_A_PROXY]).await;
        let ada = world.caller("ada").await;
        let mut signed = addresses(&ada, OWN as u8 + 1).await;
        let (url, content) = signed.pop().unwrap();
        let mut held = Vec::new();
        for (url, content) in &signed {
            held.push(begin_upload(url, content, "192.0.2.1").await);
        }
        assert_eq!(put(&url, &content, "192.0.2.1").await, 503);
        assert_eq!(put(&url, &content, "192.0.2.2").await, 200);
    }))
    .await;
}

/// A client whose address has no place left asks again until there is one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_waits_for_a_place() {
    const ADDRESS_UPLOADS: u8 = 64;
    const NOT_ASKED_AGAIN: &str =
        "hivesync_rpc_total{route=\"hivesync.v1.PreviewService/FindMissing\",code=\"Ok\"} 0\n";
    in_time(Box::pin(async {
        let installation = Installation::start(Backend::Embedded).await;
        let ada = Caller::join(installation.wire().await, "ada").await;
        let bob = installation.user("bob").await;
        let project = bob.project("site", &Repository::sample()).await.id;
        let signed = addresses(&ada, ADDRESS_UPLOADS).await;
        let mut held = Vec::new();
        for (url, content) in &signed {
            held.push(begin_upload(url, content, "").await);
        }
        let let_go = async {
            while installation.metrics().await.contains(NOT_ASKED_AGAIN) {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            drop(held);
        };
        let (published, ()) = tokio::join!(bob.publish(project, &[("index.html", b"<p>hello</p>")]), let_go);
        published.expect("there is a place in the end");
    }))
    .await;
}

async fn get(url: &str, address: &str) -> u16 {
    status(&mut begin("GET", url, 0, address).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_client_leaves_downloads_for_others_and_a_denied_one_has_none() {
    const OWN: usize = 256;
    in_time(Box::pin(async {
        let settings = [BEHIND_A_PROXY, ("DENIED_NETWORKS", "203.0.113.0/24")];
        let world = World::with(Backend::Embedded, &settings).await;
        let ada = world.caller("ada").await;
        let project = ada.project("site", "").await.id;
        let content = vec![7; 4 * 1024 * 1024];
        let preview = publish(&ada, &project, &[("large", &content)]).await;
        let token = token_of(&ada, &preview.id).await;
        let request = pb::RequestDownloadsRequest { token, sha256: vec![sha256(&content)] };
        let url =
            ada.get::<_, pb::RequestDownloadsResponse>(DOWNLOADS, request).await.downloads[0].url.clone();

        let mut held = Vec::new();
        for _ in 0..OWN {
            let mut unread = begin("GET", &url, 0, "192.0.2.1").await;
            assert_eq!(status(&mut unread).await, 200);
            held.push(unread);
        }
        assert_eq!(get(&url, "192.0.2.1").await, 503);
        assert_eq!(get(&url, "192.0.2.2").await, 200);
        assert_eq!(get(&url, "203.0.113.9").await, 403);
        held.clear();
        while get(&url, "192.0.2.1").await != 200 {}
    }))
    .await;
}

/// Each entry of the log is for ever. Of many refusals of one user, it says that there were more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_do_not_fill_the_log() {
    in_time(Box::pin(async {
        let world = World::without_worker(Backend::Embedded, &[("RATE_LIMITS", "on")]).await;
        let eve = world.caller("eve").await;
        let operator = world.operator("olga").await;
        for _ in 0..60 {
            let request = pb::GetProjectRequest { project_id: Uuid::new_v4().to_string() };
            let outcome = eve.call::<_, pb::Project>("hivesync.v1.ProjectService/GetProject", request).await;
            assert_eq!(refused(outcome).reason, Reason::NotFound);
        }
        let admin = operator.client.admin().expect("an admin address");
        for (event, recorded) in [("access.refused", 30), ("access.refusals_omitted", 1)] {
            let query = hivesync::admin::AuditQuery { event: Some(event.to_owned()), ..Default::default() };
            let found = admin.audit_entries(&query, PageRequest::first()).await.expect("read").items;
            assert_eq!(found.len(), recorded, "{event}");
        }
    }))
    .await;
}

const BIG_FILE: &str = "zeros";

/// Opens the big file over a connection of its own, and takes nothing of it but its header.
async fn open_file(
    world: &World,
    reader: &Caller,
    project: &str,
) -> Result<Streaming<pb::ReadFileResponse>, Status> {
    let wire = world.wire().await;
    let with = Credentials { access_token: Some(&reader.tokens.access_token), device: None };
    let (project_id, path) = (project.to_owned(), BIG_FILE.to_owned());
    let message = pb::ReadFileRequest { project_id, path, ..Default::default() };
    let request: Request<_> = wire.request("hivesync.v1.ProjectService/ReadFile", message, with);
    let mut file = ProjectServiceClient::new(wire.channel).read_file(request).await?.into_inner();
    file.message().await?;
    Ok(file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reader_leaves_mirrors_for_others() {
    /// Together more than all files may take, of which one reader has a quarter.
    const FILES: usize = 9;
    in_time(Box::pin(async {
        let world = World::new(Backend::Embedded).await;
        let (mallory, bob) = (world.caller("mallory").await, world.user("bob").await);
        let small = Repository::sample();
        let big = Repository::sample();
        big.write(BIG_FILE, &vec![0; 30 * 1024 * 1024]);
        big.commit("Grow");
        let own = bob.project("small", &small).await.id;
        bob.sync(own).await;
        let project = mallory.project("big", &big.url()).await.id;
        let sync = pb::SyncRepositoryRequest {
            project_id: project.clone(),
            idempotency_key: Uuid::new_v4().to_string(),
        };
        let job: pb::Job = mallory.get("hivesync.v1.ProjectService/SyncRepository", sync).await;
        assert_eq!(mallory.await_job(&job.id).await.state(), pb::JobState::Succeeded);

        let opened = join_all((0..FILES).map(|_| open_file(&world, &mallory, &project))).await;
        let held: Vec<_> = opened.iter().filter(|file| file.is_ok()).collect();
        assert_eq!(held.len(), 2);
        for refused in opened.iter().filter_map(|file| file.as_ref().err()) {
            assert_eq!(refused.code(), Code::Unavailable, "{refused}");
        }
        let projects = bob.client.projects();
        projects.tree(own, &TreeQuery::default(), PageRequest::first()).await.expect("directories are shown");
        projects.read_file(own, "index.html", FileQuery::default()).await.expect("files are shown");
    }))
    .await;
}
