//! Operators: what they see on their own listener, and that nobody else does.

use hivesync::{ErrorReason, admin::AuditQuery, jobs::JobKind, page::PageRequest};
use hivesync_server::{app, base::actor::PlatformRole};
use hivesync_tests::{on_each_backend, repository::Repository, world::World};

on_each_backend!(an_operator_sees_queue_workers_and_log, only_operators_are_let_in);

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
