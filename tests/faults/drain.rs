//! A server that is told to stop under load, and its successor on the same ports: no call is lost.

use std::{collections::BTreeSet, error::Error as _, fs, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hivesync::{
    Client,
    notifications::{NotificationEvent, NotificationKind, NotificationStream, StartAt},
    teams::TeamRole,
};
use hivesync_proto::v1 as pb;
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::Caller,
    manifest::{file, manifest, sha256},
    process::Installation,
    wire::Credentials,
};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tonic::{Code, Status, client::Grpc, codegen::http::uri::PathAndQuery, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_prost::ProstCodec;
use uuid::Uuid;

const CREATE_PROJECT: &str = "hivesync.v1.ProjectService/CreateProject";
const LIST_PROJECTS: &str = "hivesync.v1.ProjectService/ListProjects";
const STREAM: &str = "hivesync.v1.NotificationService/StreamNotifications";

const CONNECTIONS: usize = 4;
/// Calls that are under way on each connection when the server is told to stop.
const HELD_CALLS: usize = 8;
/// Calls in a row on each connection, which with those stay within what a team may create.
const WRITES_MAX: usize = 150;
/// Callers at the same time by one client of the library.
const PATRONS: usize = 16;
/// Clients that connect anew for each call.
const KNOCKERS: usize = 4;
/// The pause after a call that was not answered.
const AGAIN_AFTER: Duration = Duration::from_millis(5);
/// As `DRAIN_SECS` has it by default.
const DRAIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_takes_over_and_no_call_is_lost() {
    let mut installation = Installation::start(Backend::Embedded).await;
    let load = watch::Sender::new(true);
    let gate = watch::Sender::new(false);
    let mut connections = Vec::new();
    for number in 0..CONNECTIONS {
        let caller = Caller::join(installation.wire().await, &format!("caller{number}")).await;
        connections.push(Connection::busy(Arc::new(caller), &gate, &load).await);
    }
    let upload = Upload::begin(&installation, &connections[0].caller, &gate).await;
    let follower = Follower::start(&installation).await;
    let patrons: Vec<_> = (0..PATRONS)
        .map(|_| tokio::spawn(patronise(follower.ada.client.clone(), load.subscribe())))
        .collect();
    let public = installation.public();
    let knockers: Vec<_> = (0..KNOCKERS).map(|_| tokio::spawn(knock(public, load.subscribe()))).collect();

    let leaving = installation.replace_server().await;
    // From here on the successor answers; what was under way before goes on with the server that leaves.
    gate.send_replace(true);
    for held in connections.iter_mut().flat_map(|connection| connection.held.drain(..)) {
        held.await.expect("the call ends").expect("a call that was let in is answered");
    }
    assert!(upload.await.expect("the upload ends").is_success());
    let ended = timeout(DRAIN, leaving.ended()).await.expect("the server ends within the deadline");
    assert!(ended.success(), "{ended}: not all was done in time");

    load.send_replace(false);
    for connection in connections {
        connection.check().await;
    }
    for knocker in knockers {
        let knocks = knocker.await.expect("the knocker ends");
        assert!(knocks.lost.is_empty(), "let in and not answered: {:?}", knocks.lost);
        assert!(knocks.answered > 0);
    }
    for patron in patrons {
        let calls = patron.await.expect("the patron ends").expect("the client makes it invisible");
        assert!(calls > 0);
    }
    follower.check().await;
}

/// One connection with as much under way as there is to do, without the client library.
struct Connection {
    caller: Arc<Caller>,
    /// Calls whose requests the server has, but for the message.
    held: Vec<JoinHandle<Result<pb::Project, Status>>>,
    /// How the stream of notifications ends.
    stream: JoinHandle<Code>,
    writer: JoinHandle<Writes>,
}

impl Connection {
    async fn busy(caller: Arc<Caller>, gate: &watch::Sender<bool>, load: &watch::Sender<bool>) -> Self {
        let begun = Arc::new(Semaphore::new(0));
        let held = (0..HELD_CALLS)
            .map(|number| {
                let (caller, gate, begun) = (caller.clone(), gate.subscribe(), begun.clone());
                tokio::spawn(create_held(caller, format!("held-{number}"), gate, begun))
            })
            .collect();
        let stream = tokio::spawn(follow_to_the_end(caller.clone()));
        // The headers of each call left before its body was asked for, and arrive before those of the next call.
        let _ = begun.acquire_many(HELD_CALLS as u32).await.expect("it stays open");
        list(&caller).await;
        let writer = tokio::spawn(Writes::make(caller.clone(), load.subscribe()));
        Self { caller, held, stream, writer }
    }

    /// What was answered took effect, and what was not did not.
    async fn check(self) {
        let end = self.stream.await.expect("the stream ends");
        assert_eq!(end, Code::Unavailable, "a client knows that it is to come again");
        let writes = self.writer.await.expect("the writer ends");
        let created = list(&self.caller).await;
        for name in &writes.answered {
            assert!(created.contains(name), "{name} was answered and is not there");
        }
        for (name, cause) in &writes.failed {
            assert!(!created.contains(name), "{name} is there, and its answer was lost: {cause}");
        }
        assert_eq!(created.len(), HELD_CALLS + writes.answered.len());
        assert!(!writes.answered.is_empty());
    }
}

/// Calls of one writer, each with a name of its own.
#[derive(Default)]
struct Writes {
    answered: Vec<String>,
    failed: Vec<(String, String)>,
}

impl Writes {
    /// Writes while there is to be load; again after a failure, as often as it takes.
    async fn make(caller: Arc<Caller>, load: watch::Receiver<bool>) -> Self {
        let mut writes = Self::default();
        let mut number = 0;
        while *load.borrow() && writes.answered.len() < WRITES_MAX {
            let name = format!("write-{number}");
            number += 1;
            let request = project(&caller, &name);
            match caller.call::<_, pb::Project>(CREATE_PROJECT, request).await {
                Ok(_) => writes.answered.push(name),
                Err(status) => {
                    assert!(status.source().is_some(), "the server refused: {status:?}");
                    writes.failed.push((name, causes(&status)));
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
            }
        }
        writes
    }
}

/// Calls by the client library, one after the other; none may fail.
async fn patronise(client: Client, load: watch::Receiver<bool>) -> hivesync::Result<usize> {
    let mut calls = 0;
    while *load.borrow() {
        client.users().me().await?;
        calls += 1;
    }
    Ok(calls)
}

/// What came of connecting and calling, again and again.
#[derive(Default)]
struct Knocks {
    answered: usize,
    lost: Vec<String>,
}

async fn knock(server: SocketAddr, load: watch::Receiver<bool>) -> Knocks {
    let endpoint = Endpoint::from_shared(format!("http://{server}")).expect("an address");
    let mut knocks = Knocks::default();
    while *load.borrow() {
        // Whoever is not let in knows at once, and comes again.
        let Ok(channel) = endpoint.connect().await else {
            tokio::time::sleep(AGAIN_AFTER).await;
            continue;
        };
        match HealthClient::new(channel).check(HealthCheckRequest::default()).await {
            Ok(_) => knocks.answered += 1,
            Err(status) => knocks.lost.push(causes(&status)),
        }
    }
    knocks
}

/// An upload whose second half is sent when the gate opens.
struct Upload;

impl Upload {
    async fn begin(
        installation: &Installation,
        caller: &Caller,
        gate: &watch::Sender<bool>,
    ) -> JoinHandle<reqwest::StatusCode> {
        const CONTENT: &[u8] = &[7; 256 * 1024];
        let project = caller.project("uploaded", "").await;
        let request = pb::CreatePreviewRequest {
            project_id: project.id,
            manifest: Some(manifest(vec![file("index.html", CONTENT)])),
            device_id: String::new(),
            lifetime_secs: 0,
            idempotency_key: Uuid::new_v4().to_string(),
        };
        let created: pb::CreatePreviewResponse =
            caller.get("hivesync.v1.PreviewService/CreatePreview", request).await;
        let preview_id = created.preview.expect("a preview").id;
        let request = pb::RequestUploadsRequest { preview_id, sha256: vec![sha256(CONTENT)] };
        let requested: pb::RequestUploadsResponse =
            caller.get("hivesync.v1.PreviewService/RequestUploads", request).await;
        let presigned = requested.uploads.into_iter().next().expect("an address");
        let (first, second) = CONTENT.split_at(CONTENT.len() / 2);
        let mut gate = gate.subscribe();
        let rest = async move {
            let _ = gate.wait_for(|open| *open).await;
            Ok::<_, std::io::Error>(Bytes::from_static(second))
        };
        let body = stream::iter([Ok(Bytes::from_static(first))]).chain(stream::once(rest));
        let mut request = reqwest::Client::new().put(presigned.url).body(reqwest::Body::wrap_stream(body));
        for header in presigned.headers {
            request = request.header(header.name, header.value);
        }
        let upload = tokio::spawn(async move { request.send().await.expect("it is answered").status() });
        let incoming = installation.data_dir().join("blobs/incoming");
        let arrives = async {
            while !fs::read_dir(&incoming).is_ok_and(|mut servers| servers.any(has_entries)) {
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        };
        timeout(DRAIN, arrives).await.expect("the first half arrives");
        upload
    }
}

fn has_entries(directory: std::io::Result<fs::DirEntry>) -> bool {
    directory
        .and_then(|directory| fs::read_dir(directory.path()))
        .is_ok_and(|mut entries| entries.next().is_some())
}

/// Somebody who follows their notifications with the client library.
struct Follower {
    ada: Actor,
    bob: Actor,
    told: NotificationStream,
}

impl Follower {
    async fn start(installation: &Installation) -> Self {
        let (ada, bob) = (installation.user("ada").await, installation.user("bob").await);
        let mut told = ada.client.notifications().follow(StartAt::Now);
        assert!(matches!(told.next().await, Some(Ok(NotificationEvent::Connected))));
        Self { ada, bob, told }
    }

    /// The stream has gone on with the successor, and tells what happens there, once.
    async fn check(mut self) {
        assert!(matches!(self.told.next().await, Some(Ok(NotificationEvent::Reconnected))));
        let teams = self.bob.client.teams();
        let team = teams.create("friends").await.expect("created").id;
        let invitation = teams.invite(team, &self.ada.email, TeamRole::Member).await.expect("invited").id;
        loop {
            match self.told.next().await {
                Some(Ok(NotificationEvent::Notification(told))) => {
                    assert_eq!((told.kind, told.subject_id), (NotificationKind::Invited, Some(invitation)));
                    return;
                }
                // The first stream after the one that ended may have been the last of the server that left.
                Some(Ok(NotificationEvent::Reconnected)) => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Creates a project by a call whose message is sent when the gate opens.
async fn create_held(
    caller: Arc<Caller>,
    name: String,
    mut gate: watch::Receiver<bool>,
    begun: Arc<Semaphore>,
) -> Result<pb::Project, Status> {
    let message = project(&caller, &name);
    let messages = stream::once(async move {
        begun.add_permits(1);
        let _ = gate.wait_for(|open| *open).await;
        message
    });
    let mut grpc = Grpc::new(caller.wire.channel.clone());
    grpc.ready().await.expect("the connection stands");
    let path = PathAndQuery::try_from(format!("/{CREATE_PROJECT}")).expect("a method");
    let request = caller.wire.request(CREATE_PROJECT, messages, credentials(&caller));
    grpc.client_streaming(request, path, ProstCodec::default()).await.map(tonic::Response::into_inner)
}

async fn follow_to_the_end(caller: Arc<Caller>) -> Code {
    let mut grpc = Grpc::new(caller.wire.channel.clone());
    grpc.ready().await.expect("the connection stands");
    let message = pb::StreamNotificationsRequest { after_sequence: 0, live_only: true };
    let request = caller.wire.request(STREAM, message, credentials(&caller));
    let path = PathAndQuery::try_from(format!("/{STREAM}")).expect("a method");
    let codec = ProstCodec::<_, pb::StreamNotificationsResponse>::default();
    let mut stream = grpc.server_streaming(request, path, codec).await.expect("it begins").into_inner();
    loop {
        match stream.message().await {
            Ok(Some(_)) => {}
            Ok(None) => return Code::Ok,
            Err(status) => return status.code(),
        }
    }
}

/// The names of all projects of the caller's team.
async fn list(caller: &Caller) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut page_token = String::new();
    loop {
        let request = pb::ListProjectsRequest { team_id: caller.team_id.clone(), page_size: 100, page_token };
        let page: pb::ListProjectsResponse = caller.get(LIST_PROJECTS, request).await;
        names.extend(page.projects.into_iter().map(|project| project.name));
        if page.next_page_token.is_empty() {
            names.remove("uploaded");
            return names;
        }
        page_token = page.next_page_token;
    }
}

fn project(caller: &Caller, name: &str) -> pb::CreateProjectRequest {
    pb::CreateProjectRequest {
        team_id: caller.team_id.clone(),
        name: name.to_owned(),
        repository_url: String::new(),
        idempotency_key: Uuid::new_v4().to_string(),
    }
}

fn credentials(caller: &Caller) -> Credentials<'_> {
    Credentials { access_token: Some(&caller.tokens.access_token), device: Some(&caller.device) }
}

/// Everything that led to a failure on this side.
fn causes(status: &Status) -> String {
    let mut causes = format!("{:?}", status.code());
    let mut cause = status.source();
    while let Some(error) = cause {
        causes = format!("{causes}: {error}");
        cause = error.source();
    }
    causes
}
