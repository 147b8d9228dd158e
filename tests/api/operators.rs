//! Operators: what they see on their own listener, and that nobody else does.

use std::time::Duration;

use hivesync::{ErrorReason, admin::AuditQuery, jobs::JobKind, page::PageRequest};
use hivesync_proto::v1::{self as pb, ErrorReason as Reason, job_service_client::JobServiceClient};
use hivesync_server::{app, base::actor::PlatformRole};
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, PASSWORD, login},
    on_each_backend,
    process::Installation,
    repository::Repository,
    wire::{Credentials, Refusal, refused},
    world::{World, in_time},
};
use uuid::Uuid;

const GET_ME: &str = "hivesync.v1.UserService/GetMe";

on_each_backend!(
    an_operator_sees_queue_workers_and_log,
    only_operators_are_let_in,
    a_suspended_account_is_out_at_once,
    no_stream_outlives_its_session,
);

async fn an_operator_sees_queue_workers_and_log(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await;
    let operator = world.operator("olga").await;
    let admin = operator.client.admin().expect("an admin address");

    let depths = admin.queue_depth().await.expect("operators see the queue");
    assert!(depths.iter().any(|depth| depth.kind == JobKind::RepoSync && depth.ready == 0));
    let workers = admin.workers(PageRequest::first()).await.expect("operators see workers").items;
    assert_eq!(workers.len(), 1);

    let query = AuditQuery { event: Some("repository.synced".to_owned()), ..AuditQuery::default() };
    let synced =
        admin.audit_entries(&query, PageRequest::first()).await.expect("operators read the log").items;
    assert_eq!(synced.len(), 1);
    assert_eq!(synced[0].project_id, Some(project.id.to_string()));
    let verdict = admin.verify_audit_log().await.expect("operators verify the log");
    assert_eq!(verdict.first_broken_sequence, None);
    // Looking is itself recorded.
    let query = AuditQuery { user_id: Some(operator.me.id), ..AuditQuery::default() };
    let looks = admin.audit_entries(&query, PageRequest::first()).await.expect("read").items;
    assert!(looks.iter().any(|entry| entry.event == "admin.workers"));
}

async fn only_operators_are_let_in(world: World) {
    let ada = world.user("ada").await;
    let admin = ada.client.admin().expect("an admin address");
    let refused = admin.queue_depth().await.expect_err("ada is no operator");
    assert_eq!(refused.reason(), Some(ErrorReason::PermissionDenied));
    let nobody = app::set_role(world.app().base().clone(), "nobody@example.org", PlatformRole::Admin).await;
    assert!(nobody.is_err());
}

async fn a_suspended_account_is_out_at_once(world: World) {
    let ada = world.caller("ada").await;
    let base = || world.app().base().clone();
    app::suspend(base(), &ada.email).await.expect("suspended");
    assert_eq!(
        refused(ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await).reason,
        Reason::SessionEnded
    );
    let refresh = pb::RefreshRequest {
        refresh_token: ada.tokens.refresh_token.clone(),
        attempt_id: Uuid::new_v4().to_string(),
    };
    let with = Credentials { access_token: None, device: Some(&ada.device) };
    let outcome =
        ada.wire.call::<_, pb::SessionTokens>("hivesync.v1.AuthService/Refresh", refresh, with).await;
    assert_eq!(refused(outcome).reason, Reason::SessionEnded);
    // The right password reads like a wrong one.
    let [right, wrong] = [PASSWORD, "Wrong-Password-12"];
    let mut refusals = Vec::new();
    for password in [right, wrong] {
        refusals.push(refused(login(&ada.wire, &ada.email, password, &ada.device).await).anonymised());
    }
    assert_eq!(refusals[0].reason, Reason::InvalidCredentials);
    assert_eq!(refusals[0], refusals[1]);

    app::reinstate(base(), &ada.email).await.expect("reinstated");
    assert!(ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await.is_err(), "ended is ended");
    assert!(login(&ada.wire, &ada.email, PASSWORD, &ada.device).await.is_ok());
    let operator = world.operator("olga").await;
    let admin = operator.client.admin().expect("an admin address");
    for event in ["users.suspended", "users.reinstated"] {
        let query = AuditQuery { event: Some(event.to_owned()), ..AuditQuery::default() };
        let found = admin.audit_entries(&query, PageRequest::first()).await.expect("read").items;
        assert_eq!(found.len(), 1, "{event}");
    }
    assert!(app::suspend(base(), "nobody@example.org").await.is_err());
}

/// A stream lasts longer than the access token that it was opened with, but not longer than the session.
async fn no_stream_outlives_its_session(world: World) {
    let backend = world.backend();
    drop(world);
    let world = World::without_worker(backend, &[]).await;
    let ada = world.caller("ada").await;
    let project = ada.project("site", &Repository::sample().url()).await;
    let sync =
        pb::SyncRepositoryRequest { project_id: project.id, idempotency_key: Uuid::new_v4().to_string() };
    let job: pb::Job = ada.get("hivesync.v1.ProjectService/SyncRepository", sync).await;
    let with = Credentials { access_token: Some(&ada.tokens.access_token), device: None };
    let watch =
        ada.wire.request("hivesync.v1.JobService/WatchJob", pb::WatchJobRequest { job_id: job.id }, with);
    let mut jobs = JobServiceClient::new(ada.wire.channel.clone());
    let mut states = jobs.watch_job(watch).await.expect("the job can be watched").into_inner();
    assert!(states.message().await.expect("it waits").is_some());
    let _: pb::LogoutResponse =
        ada.get("hivesync.v1.AuthService/Logout", pb::LogoutRequest { everywhere: false }).await;
    let refusal = refused(states.message().await);
    assert_eq!((refusal.code, refusal.reason), (tonic::Code::Unauthenticated, Reason::SessionEnded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_the_running_server_embedded() {
    in_time(Box::pin(commands_reach_the_running_server(Backend::Embedded))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_reach_the_running_server_production() {
    if Backend::Production.available() {
        in_time(Box::pin(commands_reach_the_running_server(Backend::Production))).await;
    }
}

/// The command is a process of its own, and the server acts upon what it wrote.
async fn commands_reach_the_running_server(backend: Backend) {
    let installation = Installation::start(backend).await;
    let ada = Caller::join(installation.wire().await, "ada").await;
    let operator = async |action: &str, email: &str| installation.command(&["operator", action, email]).await;

    assert!(operator("suspend", &ada.email).await.status.success());
    loop {
        match ada.call::<_, pb::User>(GET_ME, pb::GetMeRequest {}).await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(status) => break assert_eq!(Refusal::of(&status).reason, Reason::SessionEnded),
        }
    }
    let refusal = refused(login(&ada.wire, &ada.email, PASSWORD, &ada.device).await);
    assert_eq!(refusal.reason, Reason::InvalidCredentials);
    assert!(operator("reinstate", &ada.email).await.status.success());
    assert!(operator("automate", &ada.email).await.status.success());
    let robot = Caller::sign_in(ada.wire.clone(), &ada.email, ada.device).await;
    let create =
        pb::CreateTeamRequest { name: "Robots".to_owned(), idempotency_key: Uuid::new_v4().to_string() };
    let outcome = robot.call::<_, pb::Team>("hivesync.v1.TeamService/CreateTeam", create).await;
    assert_eq!(refused(outcome).reason, Reason::PermissionDenied);
    let list = pb::ListTeamsRequest::default();
    let teams: pb::ListTeamsResponse = robot.get("hivesync.v1.TeamService/ListTeams", list).await;
    assert_eq!(teams.teams.len(), 1);

    let nobody = operator("suspend", "nobody@example.org").await;
    assert!(!nobody.status.success());
    assert!(String::from_utf8_lossy(&nobody.stderr).contains("no account with this address"));
}
