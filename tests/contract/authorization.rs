//! Who may do what: every RPC that the server serves, called by everybody, as a reviewed file.
//!
//! The rows come from the descriptors, so that a new RPC without an honest message in [`scene`] fails here.

use std::{collections::BTreeMap, fmt::Write as _};

use hivesync_server::{
    base::status,
    domain::access::TeamRole,
    edge::policy::{Audience, Listener, Row, TABLE},
};
use hivesync_tests::{
    backend::Backend,
    wire::{Refusal, Wire},
    world::World,
};
use prost::Message as _;
use prost_reflect::{ReflectMessage as _, Value};
use uuid::Uuid;

use crate::{
    cast::{self, Cast, Part},
    descriptors, golden,
    scene::{self, Scene},
};

const LISTENERS: [(&str, Listener); 3] =
    [("public", Listener::Public), ("worker", Listener::Worker), ("admin", Listener::Admin)];

/// Ends the sessions that the other calls are made in, and so comes last.
const LAST: &str = "hivesync.v1.AuthService/Logout";

/// The outcomes of one RPC, by who calls.
type Outcomes = BTreeMap<&'static str, &'static str>;

/// The policy of an RPC.
pub(crate) fn row(route: &str) -> &'static Row {
    TABLE.iter().find(|row| row.route == route).unwrap_or_else(|| panic!("{route} has no row"))
}

/// The listeners of a world in local mode.
struct Doors(Vec<(&'static str, Listener, Wire)>);

impl Doors {
    async fn of(world: &World) -> Self {
        let addresses = &world.app().addresses;
        let mut doors = Vec::new();
        for (name, listener) in LISTENERS {
            let address = match listener {
                Listener::Public => addresses.public,
                Listener::Worker => addresses.worker,
                Listener::Admin => addresses.admin,
            };
            doors.push((name, listener, world.wire_to(address).await));
        }
        Self(doors)
    }

    /// Those that serve `row`, or those that do not.
    fn that_serve(&self, row: &Row, serve: bool) -> impl Iterator<Item = (&'static str, &Wire)> {
        let audience = row.audience;
        let doors = self.0.iter().filter(move |(_, listener, _)| listener.serves(audience, true) == serve);
        doors.map(|(name, _, wire)| (*name, wire))
    }
}

async fn outcome_of(wire: &Wire, part: &Part, route: &str, message: bytes::Bytes) -> &'static str {
    match wire.first(route, part.request(wire, row(route), message)).await {
        Ok(_) => "ok",
        Err(status) => status::name(Refusal::of(&status).reason),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_is_the_reviewed_one() {
    let mut world = World::new(Backend::Embedded).await;
    let mut scene = Scene::set(&mut world).await;
    let cast = Cast::assemble(&world, &mut scene).await;
    let doors = Doors::of(&world).await;

    let mut routes = descriptors::served();
    routes.sort_by_key(|route| route == LAST);
    let mut matrix = BTreeMap::new();
    for route in &routes {
        let row = row(route);
        for (_, wire) in doors.that_serve(row, false) {
            for part in cast.strongest() {
                let outcome = outcome_of(wire, part, route, bytes::Bytes::new()).await;
                assert_eq!(outcome, "UNKNOWN_METHOD", "{route} by the {}", part.name);
            }
        }
        for (door, wire) in doors.that_serve(row, true) {
            let mut outcomes = Outcomes::new();
            for part in cast.parts() {
                let message = scene.message(route, part).await;
                outcomes.insert(part.name, outcome_of(wire, part, route, message).await);
            }
            check(row, &outcomes);
            matrix.insert((route.as_str(), door), outcomes);
        }
        if row.permission.is_some() {
            let stranger = cast.part("stranger");
            let message = scene.message(route, stranger).await;
            assert_existence_is_hidden(&doors, stranger, route, message).await;
        }
    }
    golden::assert_same("tests/contract/authorization.golden", &render(&matrix));
}

fn render(matrix: &BTreeMap<(&str, &str), Outcomes>) -> String {
    let mut text = format!("# route | listener | {}\n", cast::NAMES.join(" | "));
    text.push_str("# On every other listener, each is an UNKNOWN_METHOD to everybody.\n");
    for ((route, door), outcomes) in matrix {
        let cells: Vec<&str> = cast::NAMES.iter().map(|name| outcomes[name]).collect();
        writeln!(text, "{route} | {door} | {}", cells.join(" | ")).expect("memory");
    }
    text
}

/// What holds for every row, whatever the file says.
fn check(row: &Row, outcomes: &Outcomes) {
    let route = row.route;
    let is_ok = |name: &str| outcomes[name] == "ok";
    assert!(outcomes.values().any(|outcome| *outcome == "ok"), "nobody may call {route}: {outcomes:?}");

    // Nobody gets more than somebody above.
    for (lesser, greater) in [
        ("anonymous", "stranger"),
        ("stranger", "guest"),
        ("guest", "member"),
        ("member", "admin"),
        ("admin", "owner"),
        ("service", "member"),
        ("stranger", "operator"),
    ] {
        assert!(!is_ok(lesser) || is_ok(greater), "{route}: {lesser} may, {greater} may not");
    }
    match row.audience {
        Audience::User | Audience::Person => {
            assert_eq!(outcomes["operator"], outcomes["stranger"], "{route}: an operator is nobody here");
        }
        Audience::Operator | Audience::Worker => {
            let insider = if row.audience == Audience::Worker { "worker" } else { "operator" };
            assert!(outcomes.keys().all(|name| is_ok(name) == (*name == insider)), "{route}: {outcomes:?}");
        }
        Audience::Public | Audience::Everywhere | Audience::Local => {}
    }
    if matches!(row.audience, Audience::User | Audience::Person | Audience::Operator) {
        assert_eq!(
            (outcomes["anonymous"], outcomes["worker"]),
            ("UNAUTHENTICATED", "UNAUTHENTICATED"),
            "{route}"
        );
        assert_eq!(
            (outcomes["suspended"], outcomes["revoked"]),
            ("SESSION_ENDED", "SESSION_ENDED"),
            "{route}"
        );
    }
    if row.audience == Audience::Person {
        assert_eq!(outcomes["service"], "PERMISSION_DENIED", "{route}");
    }

    // The table tells the truth about what the services demand.
    if let Some(permission) = row.permission {
        for role in TeamRole::ALL {
            let expected = if role.permits(permission) { "ok" } else { "PERMISSION_DENIED" };
            assert_eq!(outcomes[role.as_str()], expected, "{route} by the {}", role.as_str());
        }
        assert_eq!(outcomes["stranger"], "NOT_FOUND", "{route}");
    }
}

/// What exists and what does not are one answer to a stranger.
async fn assert_existence_is_hidden(doors: &Doors, stranger: &Part, route: &str, message: bytes::Bytes) {
    let (_, wire) = doors.that_serve(row(route), true).next().expect("it is served");
    let mut refusals = Vec::new();
    for message in [message.clone(), about_nothing(route, &message)] {
        let outcome = wire.first(route, stranger.request(wire, row(route), message)).await;
        refusals.push(Refusal::of(&outcome.expect_err("a stranger is refused")).anonymised());
    }
    assert_eq!(refusals[0], refusals[1], "{route} tells a stranger what exists");
}

/// The same message with identifiers of nothing.
fn about_nothing(route: &str, message: &bytes::Bytes) -> bytes::Bytes {
    let mut message = descriptors::request(route, message);
    for field in message.descriptor().fields().filter(|field| field.name().ends_with("_id")) {
        if message.has_field(&field) {
            message.set_field(&field, Value::String(Uuid::now_v7().to_string()));
        }
    }
    message.encode_to_vec().into()
}

/// What somebody may do about their own, although others' would be too much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ones_own_needs_less() {
    let mut world = World::without_worker(Backend::Embedded, &[]).await;
    let (owner, member, guest) =
        (world.caller("owner").await, world.caller("member").await, world.caller("guest").await);
    let team = scene::team(&owner).await;
    owner.enlist(&team, &member, hivesync_proto::v1::TeamRole::Member).await;
    owner.enlist(&team, &guest, hivesync_proto::v1::TeamRole::Guest).await;
    scene::revoke_own_preview(&member, &team).await;
    scene::leave(&guest, &team).await;
    scene::leave(&member, &team).await;
    let own: Vec<&str> = TABLE.iter().filter(|row| row.own.is_some()).map(|row| row.route).collect();
    assert_eq!(own, ["hivesync.v1.TeamService/RemoveMember", "hivesync.v1.PreviewService/RevokePreview"]);
    world.stop_worker().await;
}
