//! What the policy calls audited leaves an entry in the log, under the name of the call.

use std::collections::BTreeSet;

use futures::TryStreamExt as _;
use hivesync::{admin::AuditQuery, page};
use hivesync_server::edge::policy::{Listener, Row, TABLE};
use hivesync_tests::{
    backend::Backend,
    world::{World, in_time},
};

use crate::{cast::Part, scene::Scene};

/// The audited calls of the public listener. The one that ends the session comes last.
fn audited() -> Vec<&'static Row> {
    let mut rows: Vec<&Row> =
        TABLE.iter().filter(|row| row.audited && Listener::Public.serves(row.audience, true)).collect();
    assert!(rows.len() > 20, "most of what changes something is audited");
    rows.sort_by_key(|row| row.route.ends_with("/Logout"));
    rows
}

/// The calls of which the log says that they succeeded.
async fn recorded(world: &World) -> BTreeSet<String> {
    let operator = world.operator("olga").await;
    let admin = operator.client.admin().expect("an admin address");
    let every = AuditQuery::default();
    let entries = page::stream(|request| admin.audit_entries(&every, request));
    let entries: Vec<_> = entries.try_collect().await.expect("operators read the log");
    entries.into_iter().filter(|entry| entry.outcome == "ok").map(|entry| entry.route).collect()
}

async fn what_is_called_audited_is_recorded() {
    let mut world = World::new(Backend::Embedded).await;
    let mut scene = Scene::set(&mut world).await;
    let owner = Part::new("owner", Some(scene.second_sign_in_of_owner().await));
    scene.issue_tokens(std::slice::from_ref(&owner)).await;
    let wire = world.wire().await;
    for row in audited() {
        let message = scene.message(row.route, &owner).await;
        let answer = wire.first(row.route, owner.request(&wire, row, message)).await;
        answer.unwrap_or_else(|status| panic!("{}: {status:?}", row.route));
    }
    let recorded = recorded(&world).await;
    let missing: Vec<&str> =
        audited().iter().map(|row| row.route).filter(|route| !recorded.contains(*route)).collect();
    assert!(missing.is_empty(), "these have succeeded, and left no entry: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_audited_call_is_in_the_log() {
    in_time(Box::pin(what_is_called_audited_is_recorded())).await;
}
