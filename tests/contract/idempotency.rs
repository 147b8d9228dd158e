//! Writes that are repeated: every RPC that says it may be repeated has one effect, however often it comes.

use std::collections::BTreeMap;

use bytes::Bytes;
use hivesync_proto::v1::TeamRole;
use hivesync_server::base::status;
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, address_of},
    device::Device,
    rows::{self, Column},
    wire::{Refusal, Wire},
    world::{World, in_time},
};
use prost::Message as _;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use prost_types::method_options::IdempotencyLevel;
use tonic::Status;

use crate::{authorization::row, cast::Part, descriptors, scene::Scene};

/// What the repeat of a call that has had its effect is told instead of the answer, and why.
const TOLD_OTHERWISE: [(&str, &str); 2] = [
    // The session that it comes in is over, as was asked.
    ("hivesync.v1.AuthService/Logout", "SESSION_ENDED"),
    // The lease is no longer the worker's, as was asked.
    ("hivesync.v1.WorkerService/Release", "SUPERSEDED"),
];

/// Fields of answers that are made anew each time, by their message: sealed with a fresh nonce, or good from now on.
/// Whether a request joined a job is not kept: a repeat says so, lest anybody cancels what may be another's.
const MADE_ANEW: [(&str, &str); 7] = [
    ("CreatePreviewResponse", "token"),
    ("IssuePreviewTokenResponse", "token"),
    ("Job", "joined"),
    ("PresignedRequest", "expires_at"),
    ("PresignedRequest", "headers"),
    ("PresignedRequest", "url"),
    ("SessionTokens", "access_token"),
];

/// The table in which a keyed write makes its row, so that two effects would be two rows.
const KEYED: [(&str, &str); 5] = [
    ("hivesync.v1.PreviewService/CreatePreview", "previews"),
    ("hivesync.v1.ProjectService/CreateProject", "projects"),
    ("hivesync.v1.ProjectService/SyncRepository", "jobs"),
    ("hivesync.v1.TeamService/CreateTeam", "teams"),
    ("hivesync.v1.TeamService/InviteMember", "invitations"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_have_one_effect_embedded() {
    in_time(Box::pin(writes_have_one_effect(Backend::Embedded))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_have_one_effect_production() {
    if Backend::Production.available() {
        in_time(Box::pin(writes_have_one_effect(Backend::Production))).await;
    }
}

/// The RPCs that change something and may be repeated. The one that ends the session comes last.
fn repeatable() -> Vec<String> {
    let levels = descriptors::levels().into_iter();
    let repeatable = levels.filter(|(_, level)| *level == IdempotencyLevel::Idempotent);
    let mut routes: Vec<String> = repeatable.map(|(route, _)| route).collect();
    routes.sort_by_key(|route| route.ends_with("/Logout"));
    routes
}

fn takes_key(route: &str) -> bool {
    descriptors::method(route).input().get_field_by_name("idempotency_key").is_some()
}

async fn writes_have_one_effect(backend: Backend) {
    let mut world = World::new(backend).await;
    let mut scene = Scene::set(&mut world).await;
    let doors = Doors::of(&world).await;
    let owner = Part::new("owner", Some(scene.second_sign_in_of_owner().await));
    let admin = world.caller("second-admin").await;
    scene.enlist(&admin, TeamRole::Admin).await;
    let admin = Part::new("admin", Some(admin));

    let keyed: Vec<String> = repeatable().into_iter().filter(|route| takes_key(route)).collect();
    let mut listed: Vec<&str> = keyed.iter().map(String::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, KEYED.map(|(route, _)| route), "say where each keyed write makes its row");
    let mut remembered = Vec::new();
    for (route, table) in KEYED {
        let first = scene.message(route, &owner).await;
        let answer = twice_at_once(&world, &doors, route, table, &owner, first.clone()).await;
        another_request(&doors, &scene, route, (&owner, &admin), &first).await;
        remembered.push((route, first, answer));
    }
    let worker = Part::new("worker", None);
    for route in repeatable() {
        let part = if route.contains("WorkerService") { &worker } else { &owner };
        let message = scene.message(&route, part).await;
        again(&world, &doors, &route, part, message).await;
    }

    // Keys are remembered by the database, not by the process.
    drop((scene, doors, owner, admin));
    let world = world.restart().await;
    let doors = Doors::of(&world).await;
    let owner = Caller::sign_in(world.wire().await, &address_of("owner"), Device::new()).await;
    let owner = Part::new("owner", Some(owner));
    for (route, message, answer) in remembered {
        let again = doors.call(route, &owner, message).await.expect("it was answered before");
        // It has lived on, but it is the same.
        assert_eq!(subject(route, &again), subject(route, &answer), "{route} after a restart");
    }
}

struct Doors {
    public: Wire,
    worker: Wire,
}

impl Doors {
    async fn of(world: &World) -> Self {
        let worker = world.wire_to(world.app().addresses.worker).await;
        Self { public: world.wire().await, worker }
    }

    async fn call(&self, route: &str, part: &Part, message: Bytes) -> Result<Bytes, Status> {
        let wire = if route.contains("WorkerService") { &self.worker } else { &self.public };
        let request = part.request(wire, row(route), message);
        Ok(wire.first(route, request).await?.expect("an answer"))
    }
}

/// The bytes of the answer without what is made anew each time, for reading.
fn same(route: &str, answer: &Bytes) -> String {
    let mut answer = descriptors::answer(route, answer);
    forget(&mut answer);
    String::from_utf8_lossy(&answer.encode_to_vec()).into_owned()
}

fn forget(message: &mut DynamicMessage) {
    for field in message.descriptor().fields() {
        if MADE_ANEW.contains(&(message.descriptor().name(), field.name())) {
            message.clear_field(&field);
        } else if message.has_field(&field) {
            match message.get_field_mut(&field) {
                Value::Message(inner) => forget(inner),
                Value::List(items) => {
                    items.iter_mut().filter_map(Value::as_message_mut).for_each(forget);
                }
                _ => {}
            }
        }
    }
}

/// Two calls at the same moment: one effect, one answer.
async fn twice_at_once(
    world: &World,
    doors: &Doors,
    route: &str,
    table: &str,
    part: &Part,
    message: Bytes,
) -> Bytes {
    let before = count(world, table).await;
    let (first, second) =
        tokio::join!(doors.call(route, part, message.clone()), doors.call(route, part, message.clone()),);
    let first = first.unwrap_or_else(|status| panic!("{route}: {status:?}"));
    let second = second.unwrap_or_else(|status| panic!("{route} at the same moment: {status:?}"));
    assert_eq!(same(route, &first), same(route, &second), "{route}: two answers");
    assert_eq!(count(world, table).await, before + 1, "{route}: not one effect");
    first
}

/// What a keyed write has made, by its identifier.
fn subject(route: &str, answer: &Bytes) -> String {
    let answer = descriptors::answer(route, answer);
    let made = match answer.get_field_by_name("preview") {
        Some(preview) => preview.as_message().expect("a message").clone(),
        None => answer,
    };
    made.get_field_by_name("id").and_then(|id| id.as_str().map(str::to_owned)).expect("it has an identifier")
}

async fn count(world: &World, table: &str) -> usize {
    rows::snapshot(world, |column| column.table != table).await[table].len()
}

/// The key with another request is refused; the same of another user is a key of its own.
async fn another_request(
    doors: &Doors,
    scene: &Scene,
    route: &str,
    (owner, admin): (&Part, &Part),
    first: &Bytes,
) {
    let mut other = descriptors::request(route, first);
    let (field, value) = match route.split_once('/').expect("a route").1 {
        "CreatePreview" => ("lifetime_secs", Value::U32(700)),
        "CreateProject" => ("name", Value::String("Another".to_owned())),
        "CreateTeam" => ("name", Value::String("Turbines".to_owned())),
        "InviteMember" => ("email", Value::String(address_of("another"))),
        "SyncRepository" => ("project_id", Value::String(scene.linked_project().to_owned())),
        _ => panic!("say here how another request of {route} differs"),
    };
    other.set_field_by_name(field, value);
    let other = Bytes::from(other.encode_to_vec());
    let outcome = doors.call(route, owner, other.clone()).await;
    let refusal = Refusal::of(&outcome.expect_err("the key is taken"));
    assert_eq!(status::name(refusal.reason), "IDEMPOTENCY_KEY_REUSED", "{route}");
    let outcome = doors.call(route, admin, other).await;
    assert!(outcome.is_ok(), "{route}: the keys of two users are two: {outcome:?}");
}

/// A call twice at the same moment, and its repeat: nothing changes, and the answer is the same.
async fn again(world: &World, doors: &Doors, route: &str, part: &Part, message: Bytes) {
    let otherwise = TOLD_OTHERWISE.iter().find(|(told, _)| *told == route).map(|(_, reason)| *reason);
    let (one, other) =
        tokio::join!(doors.call(route, part, message.clone()), doors.call(route, part, message.clone()));
    let mut answers = Vec::new();
    for outcome in [one, other] {
        match outcome {
            Ok(answer) => answers.push(same(route, &answer)),
            // Whoever loses a race is told to look again, or what every repeat is told.
            Err(status) => {
                let reason = status::name(Refusal::of(&status).reason);
                assert!(reason == "CONFLICT" || Some(reason) == otherwise, "{route}: {status:?}");
            }
        }
    }
    assert!(!answers.is_empty(), "{route}: neither of two came first");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{route}: {answers:?}");
    rows::settle(world).await;
    let before = rows::snapshot(world, is_beside_the_point).await;
    let repeat = doors.call(route, part, message).await;
    rows::settle(world).await;
    let after = rows::snapshot(world, is_beside_the_point).await;
    assert_eq!(difference(&before, &after), Vec::<String>::new(), "{route}: the repeat changed something");
    match (repeat, otherwise) {
        (Ok(repeat), None) => assert_eq!(same(route, &repeat), answers[0], "{route}: another answer"),
        (Err(status), Some(reason)) => {
            assert_eq!(status::name(Refusal::of(&status).reason), reason, "{route}")
        }
        (outcome, _) => panic!("{route}: {outcome:?}"),
    }
}

/// The log of calls grows with each of them, and who was seen when is no effect.
fn is_beside_the_point(column: &Column) -> bool {
    matches!(column.table.as_str(), "audit_entries" | "audit_head" | "workers") || column.name == "seen_at"
}

fn difference(before: &BTreeMap<String, Vec<String>>, after: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let lines = |rows: &BTreeMap<String, Vec<String>>| {
        let lines =
            rows.iter().flat_map(|(table, rows)| rows.iter().map(move |row| format!("{table}: {row}")));
        lines.collect::<Vec<_>>()
    };
    let (before, after) = (lines(before), lines(after));
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let come = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    gone.chain(come).collect()
}
