//! What is true of every call: who may make it, how large it is, and what comes back with a refusal.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use hivesync_proto::v1::{self as pb, ErrorReason as Reason};
use hivesync_server::edge::policy::{Audience, TABLE};
use hivesync_tests::{
    backend::Backend,
    caller::{PASSWORD, address_of, login},
    device::Device,
    on_each_backend,
    wire::{CORRELATION_ID, Credentials, refused, set},
    world::World,
};
use http::{HeaderValue, Method, Version};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use uuid::Uuid;

const LOGIN: &str = "hivesync.v1.AuthService/Login";
const GET_ME: &str = "hivesync.v1.UserService/GetMe";

on_each_backend!(
    every_call_wants_a_sign_in,
    empty_messages_are_answered,
    no_name_hides_what_it_is,
    each_listener_serves_its_own,
    the_server_is_healthy,
    too_many_sign_ins_have_to_wait,
);

async fn every_call_wants_a_sign_in(world: World) {
    let wire = world.wire().await;
    for row in TABLE.iter().filter(|row| matches!(row.audience, Audience::User | Audience::Person)) {
        let refusal = refused(wire.call::<(), ()>(row.route, (), Credentials::default()).await);
        assert_eq!(refusal.code, tonic::Code::Unauthenticated, "{}", row.route);
    }
}

/// An empty message is the simplest one that breaks rules; no service may stumble over it.
async fn empty_messages_are_answered(world: World) {
    let ada = world.caller("ada").await;
    let rows = TABLE
        .iter()
        .filter(|row| matches!(row.audience, Audience::User | Audience::Person | Audience::Public));
    for row in rows.filter(|row| !row.streaming) {
        if let Err(status) = ada.call::<(), ()>(row.route, ()).await {
            let refusal = hivesync_tests::wire::Refusal::of(&status);
            assert_ne!(refusal.reason, Reason::Internal, "{}", row.route);
            assert_ne!(refusal.reason, Reason::UnknownMethod, "{}", row.route);
        }
    }
}

/// Teams, projects, users and devices are shown to others by their names.
async fn no_name_hides_what_it_is(world: World) {
    let ada = world.caller("ada").await;
    for letter in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{3164}'] {
        let name = format!("a{letter}b");
        let idempotency_key = Uuid::new_v4().to_string();
        let team = pb::CreateTeamRequest { name: name.clone(), idempotency_key: idempotency_key.clone() };
        let project = pb::CreateProjectRequest {
            team_id: ada.team_id.clone(),
            name: name.clone(),
            repository_url: String::new(),
            idempotency_key,
        };
        let user = pb::UpdateMeRequest { display_name: name.clone() };
        let account = pb::RegisterRequest {
            email: address_of("bob"),
            password: PASSWORD.to_owned(),
            display_name: name.clone(),
        };
        let device = pb::LoginRequest {
            email: ada.email.clone(),
            password: PASSWORD.to_owned(),
            device_name: name,
            platform: pb::Platform::Desktop.into(),
        };
        let with = Credentials { access_token: None, device: Some(&ada.device) };
        for (field, outcome) in [
            ("name", ada.call("hivesync.v1.TeamService/CreateTeam", team).await),
            ("name", ada.call("hivesync.v1.ProjectService/CreateProject", project).await),
            ("display_name", ada.call("hivesync.v1.UserService/UpdateMe", user).await),
            ("display_name", ada.call("hivesync.v1.AuthService/Register", account).await),
            ("device_name", ada.wire.call(LOGIN, device, with).await.map(tonic::Response::into_inner)),
        ] {
            let refusal = refused::<()>(outcome);
            assert_eq!(refusal.reason, Reason::InvalidRequest, "{letter:?}");
            assert_eq!(refusal.fields, [field], "{letter:?}");
        }
    }
}

async fn each_listener_serves_its_own(world: World) {
    let addresses = &world.app().addresses;
    let listeners = [
        (addresses.public, [Audience::Public, Audience::User, Audience::Person, Audience::Local].as_slice()),
        (addresses.worker, &[Audience::Worker]),
        (addresses.admin, &[Audience::Operator]),
    ];
    for (address, served) in listeners {
        let wire = world.wire_to(address).await;
        for row in
            TABLE.iter().filter(|row| row.audience != Audience::Everywhere && !served.contains(&row.audience))
        {
            let refusal = refused(wire.call::<(), ()>(row.route, (), Credentials::default()).await);
            assert_eq!(refusal.reason, Reason::UnknownMethod, "{} at {address}", row.route);
        }
    }
}

async fn the_server_is_healthy(world: World) {
    let wire = world.wire().await;
    let mut health = HealthClient::new(wire.channel);
    for service in ["", "hivesync.v1.AuthService", "hivesync.v1.PreviewService"] {
        let answer =
            health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "nobody".to_owned() }).await;
    assert_eq!(unknown.unwrap_err().code(), tonic::Code::NotFound);
}

async fn too_many_sign_ins_have_to_wait(world: World) {
    let backend = world.backend();
    drop(world);
    let world = World::without_worker(backend, &[("RATE_LIMITS", "on")]).await;
    let wire = world.wire().await;
    let device = Device::new();
    for _ in 0..200 {
        let refusal = refused(login(&wire, &address_of("ada"), "Wrong-Password-12", &device).await);
        if refusal.reason == Reason::RateLimited {
            assert_eq!(refusal.code, tonic::Code::ResourceExhausted);
            assert!(refusal.retry_after.expect("how long to wait") > Duration::ZERO);
            let metrics = format!("http://{}/metrics", world.app().addresses.metrics);
            let counted = reqwest::get(metrics).await.unwrap().text().await.unwrap();
            let lockouts = r#"hivesync_rate_limited_total{rule="auth.login.unknown_devices"}"#;
            assert!(counted.contains(lockouts), "{counted}");
            return;
        }
    }
    panic!("two hundred wrong passwords in a row were all tried");
}

/// Each proof is remembered; whoever makes many must run into the limit, not fill the memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_before_their_proofs_are_looked_at() {
    let world = World::without_worker(Backend::Embedded, &[("RATE_LIMITS", "on")]).await;
    let wire = world.wire().await;
    for _ in 0..200 {
        let outcome = wire.call::<(), ()>(LOGIN, (), Credentials::default());
        let refusal = refused(outcome.await);
        if refusal.reason == Reason::RateLimited {
            return;
        }
        assert_eq!(refusal.reason, Reason::InvalidDeviceProof);
    }
    panic!("two hundred calls in a row had their proofs looked at");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_over_the_limit_are_refused() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let wire = world.wire().await;
    let request = pb::RegisterRequest {
        email: address_of("ada"),
        password: "x".to_owned(),
        display_name: "x".repeat(5 * 1024 * 1024),
    };
    let outcome = wire.call::<_, pb::RegisterResponse>(
        "hivesync.v1.AuthService/Register",
        request,
        Credentials::default(),
    );
    assert_eq!(refused(outcome.await).reason, Reason::MessageTooLarge);
    let question = HealthCheckRequest { service: "x".repeat(2 * 1024) };
    let outcome = wire.call::<_, ()>("grpc.health.v1.Health/Check", question, Credentials::default());
    assert_eq!(refused(outcome.await).reason, Reason::MessageTooLarge);
    // The connection lives on.
    assert!(wire.call::<(), ()>(GET_ME, (), Credentials::default()).await.is_err());
}

/// Also of what is no call, and is answered by what stands in front of the calls; only a trusted proxy names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_can_be_named() {
    const SENT: &str = "sent-by-the-client";
    for (proxies, is_trusted) in [("192.0.2.1/32", false), ("127.0.0.1/32", true)] {
        let world = World::without_worker(Backend::Embedded, &[("TRUSTED_PROXIES", proxies)]).await;
        let server = &world.app().addresses.public_url;
        let mut seen = HashSet::new();
        for (method, path) in [
            (Method::GET, "/"),
            (Method::POST, "/"),
            (Method::GET, "/hivesync.v1.UserService/GetMe"),
            (Method::POST, "/hivesync.v1.UserService/GetMe"),
            (Method::OPTIONS, "/hivesync.v1.UserService/GetMe"),
            (Method::GET, "/blobs/nothing"),
            (Method::OPTIONS, "/blobs/nothing"),
        ] {
            let url = server.join(path).unwrap();
            let request = reqwest::Client::new().request(method.clone(), url).header(CORRELATION_ID, SENT);
            let answer = request.send().await.unwrap();
            assert_eq!(answer.version(), Version::HTTP_11);
            let named: Vec<_> = answer.headers().get_all(CORRELATION_ID).into_iter().collect();
            let [name] = named.as_slice() else { panic!("{method} {path} is named {named:?}") };
            assert_eq!(*name == SENT, is_trusted, "{method} {path}");
            assert!(seen.insert((*name).clone()) || is_trusted, "{method} {path} has the name of another");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_methods_and_bodies_are_refused_in_our_words() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let wire = world.wire().await;
    for method in ["hivesync.v1.UserService/GetYou", "hivesync.v1.NobodyService/GetMe", "nothing/at-all"] {
        let refusal = refused(wire.call::<(), ()>(method, (), Credentials::default()).await);
        assert_eq!((refusal.code, refusal.reason), (tonic::Code::Unimplemented, Reason::UnknownMethod));
    }
    for garbage in
        [b"\xff\xff\xff".as_slice(), b"\x0a\xff\xff\xff\xff\x0f", b"\x08\x01", b"{}", b"\x0a\x02\xff\xfe"]
    {
        let outcome = wire.call_bytes(
            "hivesync.v1.AuthService/Register",
            bytes::Bytes::from_static(garbage),
            Credentials::default(),
        );
        let refusal = refused(outcome.await);
        assert_eq!(
            (refusal.code, refusal.reason),
            (tonic::Code::InvalidArgument, Reason::InvalidRequest),
            "{garbage:?}"
        );
        assert!(!refusal.text.to_lowercase().contains("decode"), "{}", refusal.text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_a_correlation_id_of_this_server() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.caller("ada").await;
    let with = Credentials { access_token: Some(&ada.tokens.access_token), device: None };
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let mut request = ada.wire.request(GET_ME, pb::GetMeRequest {}, with);
        // Nobody outside of the trusted proxies names the calls of this server.
        set(&mut request, CORRELATION_ID, "chosen-by-the-client");
        let answer = ada.wire.send::<_, pb::User>(GET_ME, request).await.unwrap();
        let id = answer.metadata().get(CORRELATION_ID).expect("an ID").to_str().unwrap().to_owned();
        assert_ne!(id, "chosen-by-the-client");
        seen.insert(id);
    }
    assert_eq!(seen.len(), 3);
}

/// Many small calls at once on one connection: a window that is too small makes the server's HTTP/2 take them for
/// a flood and drop the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_one_connection() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let wire = world.wire().await;
    let calls = (0..512).map(|_| wire.call::<(), ()>(GET_ME, (), Credentials::default()));
    for outcome in join_all(calls).await {
        assert_eq!(refused(outcome).reason, Reason::Unauthenticated);
    }
}

/// A socket costs the server a place, and what brings no call must not keep it. Whoever calls after that, over a
/// connection that the server has closed, does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_a_call_is_closed() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let wire = world.wire().await;
    let addresses = &world.app().addresses;
    let mut closed = Vec::new();
    for address in [addresses.public, addresses.worker, addresses.admin, addresses.metrics] {
        for sent in [b"".as_slice(), b"PRI * HT", b"GET / HTTP/1.1\r\nHost:"] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            closed.push(async move { stream.read_to_end(&mut Vec::new()).await });
        }
    }
    let closed = tokio::time::timeout(Duration::from_secs(30), join_all(closed)).await;
    assert_eq!(closed.expect("every one is closed").len(), 12);
    let refusal = refused(wire.call::<(), ()>(GET_ME, (), Credentials::default()).await);
    assert_eq!(refusal.reason, Reason::Unauthenticated);
}

/// A client says what it likes in a forwarded header; the proxy's own word behind it counts all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_byte_in_a_header_hides_a_denied_address() {
    const DENIED: &str = "203.0.113.9";
    for (setting, name, added) in [
        ("x-forwarded-for", "x-forwarded-for", DENIED.to_owned()),
        ("forwarded", "forwarded", format!("for={DENIED}")),
    ] {
        let settings = [
            ("TRUSTED_PROXIES", "127.0.0.1/32"),
            ("FORWARDED_HEADER", setting),
            ("DENIED_NETWORKS", "203.0.113.0/24"),
        ];
        let world = World::without_worker(Backend::Embedded, &settings).await;
        let url = world.app().addresses.public_url.join(GET_ME).unwrap();
        for byte in [b'a', b' ', b',', b'"', 0x80, 0xc3, 0xff] {
            let line = [&[byte, b',', b' '], added.as_bytes()].concat();
            let request =
                reqwest::Client::new().post(url.clone()).header("content-type", "application/grpc-web+proto");
            let request = request.header(name, HeaderValue::from_bytes(&line).unwrap());
            let answer = request.send().await.unwrap();
            let code = answer.headers().get("grpc-status").expect("a refusal");
            assert_eq!(code, &(tonic::Code::PermissionDenied as i32).to_string(), "{byte:#x}");
        }
    }
}
