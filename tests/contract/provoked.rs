//! Every reason of the contract, provoked at the front door: none is defined that no client ever meets.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use hivesync_proto::{
    v1::{
        self as pb, ErrorReason as Reason, notification_service_client::NotificationServiceClient,
        worker_service_client::WorkerServiceClient,
    },
    worker_proof,
};
use hivesync_server::base::status;
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, PASSWORD, address_of, login},
    device::Device,
    manifest::{file, manifest},
    raw_worker::call_proof,
    repository::Repository,
    wire::{Credentials, Refusal, refused, set},
    world::{WORKER_SECRET, World, in_time},
};
use prost::Message;
use sea_orm::ConnectionTrait as _;
use tonic::Status;
use uuid::Uuid;

use crate::errors::{self, OF_JOBS_ONLY};

/// Streams of notifications that a user may have.
const STREAMS_MAX: usize = 16;
/// Far more writes than any quota that is tried here.
const TRIES_MAX: usize = 300;

fn key() -> String {
    Uuid::new_v4().to_string()
}

/// What was met: a refusal for each reason that refuses calls, and the reasons that ended jobs.
#[derive(Default)]
struct Met {
    refusals: BTreeMap<Reason, Refusal>,
    of_jobs: Vec<Reason>,
}

impl Met {
    /// Takes note of an outcome, which must be a refusal for `reason`.
    #[track_caller]
    fn refusal<T: std::fmt::Debug>(&mut self, reason: Reason, outcome: Result<T, Status>) {
        let refusal = refused(outcome);
        assert_eq!(refusal.reason, reason, "{refusal:?}");
        self.refusals.insert(reason, refusal);
    }

    /// Calls `route` of a slice as `caller`, who must be refused for `reason`.
    async fn call<M>(&mut self, reason: Reason, caller: &Caller, route: &str, message: M)
    where
        M: Message + Send + Sync + 'static,
    {
        let outcome = caller.call::<_, ()>(&format!("hivesync.v1.{route}"), message).await;
        self.refusal(reason, outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reason_is_met() {
    in_time(Box::pin(meet_every_reason())).await;
}

async fn meet_every_reason() {
    let mut met = Met::default();
    overload(&mut met).await;
    let world = World::new(Backend::Embedded).await;
    let ada = world.caller("ada").await;
    shape(&mut met, &world, &ada).await;
    identity(&mut met, &world, &ada).await;
    state(&mut met, &ada).await;
    projects(&mut met, &world, &ada).await;
    previews(&mut met, &ada).await;
    workers(&mut met, &world).await;
    limits(&mut met, &ada).await;
    breakdown(&mut met, world, ada).await;

    for (reason, refusal) in &met.refusals {
        let rule = status::rule(*reason);
        assert_eq!(refusal.code, rule.code, "{refusal:?}");
        assert!(refusal.text.starts_with(rule.text), "{refusal:?}");
        assert_eq!(refusal.correlation_id.len(), 32, "{refusal:?}");
        // Who is to wait is told how long.
        let waits = matches!(reason, Reason::RateLimited | Reason::Overloaded);
        assert_eq!(refusal.retry_after.is_some(), waits, "{refusal:?}");
    }
    let names = |reasons: Vec<Reason>| reasons.into_iter().map(status::name).collect::<Vec<_>>();
    let expected = errors::reasons().into_iter().filter(|reason| !OF_JOBS_ONLY.contains(reason));
    assert_eq!(names(met.refusals.keys().copied().collect()), names(expected.collect()));
    assert_eq!(met.of_jobs, OF_JOBS_ONLY);
}

/// One place for calls, and somebody who holds it.
async fn overload(met: &mut Met) {
    let world = World::without_worker(Backend::Embedded, &[("CALLS_MAX", "1")]).await;
    let wire = world.wire().await;
    let holder = wire.clone();
    let silent = tokio::spawn(async move {
        // A call whose message does not come is at work all the same, unless the place was just taken.
        loop {
            let request = holder.request("grpc.health.v1.Health/Check", (), Credentials::default());
            let _ = holder.silent("grpc.health.v1.Health/Check", request).await;
        }
    });
    loop {
        let outcome = wire.call::<(), ()>("grpc.health.v1.Health/Check", (), Credentials::default()).await;
        if outcome.is_err() {
            met.refusal(Reason::Overloaded, outcome);
            silent.abort();
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// What is wrong with a call whoever makes it.
async fn shape(met: &mut Met, world: &World, ada: &Caller) {
    met.call(Reason::UnknownMethod, ada, "UserService/GetYou", ()).await;
    let request = pb::GetTeamRequest { team_id: "none".to_owned() };
    met.call(Reason::InvalidRequest, ada, "TeamService/GetTeam", request).await;
    let request = pb::ListTeamsRequest { page_token: "none".to_owned(), ..Default::default() };
    met.call(Reason::InvalidPageToken, ada, "TeamService/ListTeams", request).await;
    let oversize = pb::UpdateMeRequest { display_name: "x".repeat(5 * 1024 * 1024) };
    met.call(Reason::MessageTooLarge, ada, "UserService/UpdateMe", oversize).await;
    met.refusal(Reason::DeadlineExceeded, hurried(world).await);
}

/// A registration, whose password takes longer to hash than the client has time. By hand, because a client that has a
/// deadline does not wait for the server's.
async fn hurried(world: &World) -> Result<(), Status> {
    let message = pb::RegisterRequest {
        email: address_of(&key()),
        password: PASSWORD.to_owned(),
        display_name: "in a hurry".to_owned(),
    }
    .encode_to_vec();
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
    body.extend(message);
    let url = format!("http://{}/hivesync.v1.AuthService/Register", world.app().addresses.public);
    let call =
        reqwest::Client::new().post(url).body(body).header("content-type", "application/grpc-web+proto");
    let answer = call.header("grpc-timeout", "1m").send().await.expect("an answer");
    Status::from_header_map(answer.headers()).map_or(Ok(()), Err)
}

/// Who calls.
async fn identity(met: &mut Met, world: &World, ada: &Caller) {
    let wire = world.wire().await;
    let nobody = wire.call::<_, ()>("hivesync.v1.UserService/GetMe", (), Credentials::default()).await;
    met.refusal(Reason::Unauthenticated, nobody);
    let wrong = login(&wire, &ada.email, "Wrong-Password-12", &Device::new()).await;
    met.refusal(Reason::InvalidCredentials, wrong);
    let request = pb::LoginRequest {
        email: ada.email.clone(),
        password: PASSWORD.to_owned(),
        device_name: "a test".to_owned(),
        platform: pb::Platform::Web.into(),
    };
    let unproven = wire.call::<_, ()>("hivesync.v1.AuthService/Login", request, Credentials::default()).await;
    met.refusal(Reason::InvalidDeviceProof, unproven);
    let request = pb::RegisterRequest {
        email: address_of(&key()),
        password: "password".to_owned(),
        display_name: "weak".to_owned(),
    };
    met.call(Reason::PasswordPolicy, ada, "AuthService/Register", request).await;
    let other = Caller::sign_in(wire, &ada.email, Device::new()).await;
    crate::scene::sign_out(&other).await;
    met.call(Reason::SessionEnded, &other, "UserService/GetMe", ()).await;
}

/// What is there, and what may be done with it.
async fn state(met: &mut Met, ada: &Caller) {
    let request = pb::GetTeamRequest { team_id: key() };
    met.call(Reason::NotFound, ada, "TeamService/GetTeam", request).await;
    let request = pb::InviteMemberRequest {
        team_id: ada.team_id.clone(),
        email: address_of("bob"),
        role: pb::TeamRole::Guest.into(),
        idempotency_key: key(),
    };
    met.call(Reason::PermissionDenied, ada, "TeamService/InviteMember", request).await;
    ada.project("taken", "").await;
    let request = pb::CreateProjectRequest {
        team_id: ada.team_id.clone(),
        name: "taken".to_owned(),
        repository_url: String::new(),
        idempotency_key: key(),
    };
    met.call(Reason::AlreadyExists, ada, "ProjectService/CreateProject", request).await;
    let request = pb::CreateTeamRequest { name: "Engines".to_owned(), idempotency_key: key() };
    let _: pb::Team = ada.get("hivesync.v1.TeamService/CreateTeam", request.clone()).await;
    let request = pb::CreateTeamRequest { name: "Turbines".to_owned(), ..request };
    met.call(Reason::IdempotencyKeyReused, ada, "TeamService/CreateTeam", request).await;
}

/// Repositories and their mirrors.
async fn projects(met: &mut Met, world: &World, ada: &Caller) {
    let bare = ada.project("bare", "").await.id;
    let request =
        pb::LinkRepositoryRequest { project_id: bare.clone(), repository_url: "ftp://x".to_owned() };
    met.call(Reason::InvalidRepositoryUrl, ada, "ProjectService/LinkRepository", request).await;
    let request = pb::ListTreeRequest { project_id: bare.clone(), ..Default::default() };
    met.call(Reason::RepositoryNotReady, ada, "ProjectService/ListTree", request).await;
    let request = pb::ListTreeRequest { project_id: bare, path: "../x".to_owned(), ..Default::default() };
    met.call(Reason::InvalidPath, ada, "ProjectService/ListTree", request).await;

    let far = ada.project("far", "file:///nowhere/site").await.id;
    met.of_jobs.push(sync(ada, &far).await.failure());

    let repository = Repository::sample();
    let damaged = ada.project("damaged", &repository.url()).await.id;
    assert_eq!(sync(ada, &damaged).await.state(), pb::JobState::Succeeded);
    damage_packs(&world.data_dir().join("repos").join(&damaged));
    let request =
        pb::ReadFileRequest { project_id: damaged, path: "index.html".to_owned(), ..Default::default() };
    met.call(Reason::RepositoryRejected, ada, "ProjectService/ReadFile", request).await;
}

async fn sync(ada: &Caller, project_id: &str) -> pb::Job {
    let request = pb::SyncRepositoryRequest { project_id: project_id.to_owned(), idempotency_key: key() };
    let job: pb::Job = ada.get("hivesync.v1.ProjectService/SyncRepository", request).await;
    ada.await_job(&job.id).await
}

/// Overwrites the objects of a mirror: every pack below `directory`, after its header.
fn damage_packs(directory: &Path) {
    for entry in fs::read_dir(directory).expect("a mirror").map(|entry| entry.expect("readable").path()) {
        if entry.is_dir() {
            damage_packs(&entry);
        } else if entry.extension().is_some_and(|extension| extension == "pack") {
            let mut bytes = fs::read(&entry).expect("readable");
            bytes.iter_mut().skip(12).for_each(|byte| *byte = 0xff);
            fs::remove_file(&entry).expect("packs are read-only");
            fs::write(&entry, bytes).expect("writable");
        }
    }
}

/// Bundles and tokens.
async fn previews(met: &mut Met, ada: &Caller) {
    let project_id = ada.project("previews", "").await.id;
    let create = |files| pb::CreatePreviewRequest {
        project_id: project_id.clone(),
        manifest: Some(manifest(files)),
        idempotency_key: key(),
        ..Default::default()
    };
    let honest = create(vec![file("index.html", b"a page")]);
    let mut headless = honest.clone();
    headless.manifest.as_mut().expect("there").entry_point = "other.html".to_owned();
    met.call(Reason::InvalidManifest, ada, "PreviewService/CreatePreview", headless).await;
    let large = |path| pb::ManifestFile { size: 50 * 1024 * 1024, ..file(path, path.as_bytes()) };
    let oversize = create(vec![large("a"), large("b")]);
    met.call(Reason::BundleTooLarge, ada, "PreviewService/CreatePreview", oversize).await;

    let created: pb::CreatePreviewResponse =
        ada.get("hivesync.v1.PreviewService/CreatePreview", honest.clone()).await;
    let preview_id = created.preview.expect("a preview").id;
    let request = pb::FinalizePreviewRequest { preview_id: preview_id.clone() };
    met.call(Reason::BundleIncomplete, ada, "PreviewService/FinalizePreview", request).await;
    let request = pb::IssuePreviewTokenRequest { preview_id };
    met.call(Reason::Conflict, ada, "PreviewService/IssuePreviewToken", request).await;
    let request = pb::ResolvePreviewRequest { token: "v4.local.none".to_owned() };
    met.call(Reason::InvalidPreviewToken, ada, "PreviewService/ResolvePreview", request).await;

    for _ in 0..TRIES_MAX {
        let request = pb::CreatePreviewRequest { idempotency_key: key(), ..honest.clone() };
        let outcome = ada.call::<_, ()>("hivesync.v1.PreviewService/CreatePreview", request).await;
        if outcome.is_err() {
            met.refusal(Reason::QuotaExceeded, outcome);
            return;
        }
    }
    panic!("a project has any number of previews");
}

/// The workers' door.
async fn workers(met: &mut Met, world: &World) {
    let wire = world.wire_to(world.app().addresses.worker).await;
    const INFO: &str = "hivesync.v1.WorkerService/GetServerInfo";
    met.refusal(Reason::InvalidWorkerProof, wire.call::<(), ()>(INFO, (), Credentials::default()).await);
    let proven = |route: &str| {
        let proof = call_proof(&wire, "met", &key());
        proof.sign(WORKER_SECRET.as_bytes(), &format!("/{route}"))
    };

    const RELEASE: &str = "hivesync.v1.WorkerService/Release";
    let message = pb::ReleaseRequest { job_id: key(), lease_token: vec![7; 16] };
    let mut request = wire.request(RELEASE, message, Credentials::default());
    set(&mut request, worker_proof::METADATA_KEY, &proven(RELEASE));
    met.refusal(Reason::Superseded, wire.send::<_, ()>(RELEASE, request).await);

    // A worker that leaves before it has introduced itself.
    let mut request = tonic::Request::new(tokio_stream::empty());
    set(&mut request, worker_proof::METADATA_KEY, &proven("hivesync.v1.WorkerService/Session"));
    let opened = WorkerServiceClient::new(wire.channel.clone()).session(request).await;
    let mut said = opened.expect("the proof is right").into_inner();
    assert!(said.message().await.expect("a challenge").is_some());
    met.refusal(Reason::Cancelled, said.message().await);
}

/// Too much of something.
async fn limits(met: &mut Met, ada: &Caller) {
    let mut streams = Vec::new();
    loop {
        let outcome = notifications(ada).await;
        if outcome.is_err() || streams.len() > STREAMS_MAX {
            met.refusal(Reason::RateLimited, outcome.map(drop));
            return;
        }
        streams.push(outcome);
    }
}

async fn notifications(ada: &Caller) -> Result<tonic::Streaming<pb::StreamNotificationsResponse>, Status> {
    let with = Credentials { access_token: Some(&ada.tokens.access_token), device: None };
    let message = pb::StreamNotificationsRequest { live_only: true, ..Default::default() };
    let request = ada.wire.request("hivesync.v1.NotificationService/StreamNotifications", message, with);
    let mut client = NotificationServiceClient::new(ada.wire.channel.clone());
    Ok(client.stream_notifications(request).await?.into_inner())
}

/// A server whose database is not what it was, and then one that stops.
async fn breakdown(met: &mut Met, world: World, ada: Caller) {
    let mut stream = wait_for(|| notifications(&ada)).await;
    assert!(stream.message().await.expect("it stands").is_some());
    let database = world.app().base().db.migration_connection();
    database.execute_unprepared("ALTER TABLE teams RENAME TO lost").await.expect("renamed");
    let request = pb::GetTeamRequest { team_id: ada.team_id.clone() };
    met.call(Reason::Internal, &ada, "TeamService/GetTeam", request).await;
    let stopped = tokio::spawn(world.stop());
    met.refusal(Reason::Unavailable, stream.message().await);
    drop((stream, ada));
    stopped.await.expect("it stops in time");
}

/// The places of streams that a client dropped are free a moment later.
async fn wait_for<T, F: Future<Output = Result<T, Status>>>(attempt: impl Fn() -> F) -> T {
    loop {
        match attempt().await {
            Ok(value) => return value,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
