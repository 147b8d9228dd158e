//! What browsers are told: which origins may call, and gRPC-Web in the forms that are none.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hivesync_proto::v1 as pb;
use hivesync_tests::{backend::Backend, caller::address_of, wire::CORRELATION_ID, world::World};
use prost::Message as _;
use reqwest::{Client, Method, RequestBuilder, Response, header};
use tonic::Code;

const ORIGIN: &str = "https://app.example.org";
const GET_ME: &str = "hivesync.v1.UserService/GetMe";
const REGISTER: &str = "hivesync.v1.AuthService/Register";
const BINARY: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";

fn request(world: &World, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("http://{}/{path}", world.app().addresses.public))
}

/// What a browser asks before it sends what a page wants to send.
async fn preflight(world: &World, origin: &str) -> Response {
    request(world, Method::OPTIONS, GET_ME)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(header::ACCESS_CONTROL_REQUEST_HEADERS, "authorization,content-type,x-grpc-web")
        .send()
        .await
        .expect("an answer")
}

fn listed(response: &Response, name: header::HeaderName) -> Vec<String> {
    let text = response.headers().get(name).map(|value| value.to_str().expect("ASCII")).unwrap_or_default();
    let mut items: Vec<_> = text.split(',').map(|item| item.trim().to_owned()).collect();
    items.sort_unstable();
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_origin_may_call_with_what_is_listed() {
    let world = World::without_worker(Backend::Embedded, &[("CORS_ORIGINS", ORIGIN)]).await;
    let answer = preflight(&world, ORIGIN).await;
    assert!(answer.status().is_success());
    assert_eq!(answer.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], ORIGIN);
    assert_eq!(listed(&answer, header::ACCESS_CONTROL_ALLOW_METHODS), ["POST"]);
    let headers = ["authorization", "content-type", "dpop", "grpc-timeout", "x-grpc-web", "x-user-agent"];
    assert_eq!(listed(&answer, header::ACCESS_CONTROL_ALLOW_HEADERS), headers);
    assert!(listed(&answer, header::VARY).iter().any(|name| name.eq_ignore_ascii_case("origin")));
    // No cookie and no other credential of a browser ever counts.
    assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_origin_is_told_anything() {
    let world = World::without_worker(Backend::Embedded, &[("CORS_ORIGINS", ORIGIN)]).await;
    for origin in [
        "https://app.example.org.evil.example",
        "https://evil.example",
        "https://example.org",
        "http://app.example.org",
        "https://app.example.org:444",
        "https://app.example.org/",
        "null",
        "*",
    ] {
        let answer = preflight(&world, origin).await;
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
    }
    let closed = World::without_worker(Backend::Embedded, &[]).await;
    let answer = preflight(&closed, ORIGIN).await;
    assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
}

/// A message, as gRPC-Web frames it.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("it fits");
    [[0].as_slice(), &length.to_be_bytes(), message].concat()
}

async fn post(world: &World, method: &str, kind: &str, body: impl Into<reqwest::Body>) -> Response {
    let request = request(world, Method::POST, method).header(header::CONTENT_TYPE, kind);
    request.header(header::ACCEPT, kind).body(body).send().await.expect("an answer")
}

#[track_caller]
fn assert_refused(response: &Response, code: Code) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["grpc-status"], (code as i32).to_string(), "{response:?}");
    assert!(response.headers().contains_key(CORRELATION_ID), "{response:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_web_is_spoken_in_bytes_and_in_text() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let account = pb::RegisterRequest {
        email: address_of("ada"),
        password: "Correct-Horse-7-Battery".to_owned(),
        display_name: "Ada".to_owned(),
    };
    let message = frame(&account.encode_to_vec());
    // An empty message, and then the trailers.
    let answer = post(&world, REGISTER, BINARY, message.clone()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], BINARY);
    let body = answer.bytes().await.expect("a body");
    assert_eq!(&body[..6], [0, 0, 0, 0, 0, 0x80], "{body:?}");
    assert!(String::from_utf8_lossy(&body[10..]).contains("grpc-status:0"), "{body:?}");

    let answer = post(&world, REGISTER, TEXT, BASE64.encode(message)).await;
    let text = answer.text().await.expect("a body");
    // Each piece is encoded for itself, so there may be padding in the middle.
    let decoded: Vec<u8> =
        text.split_inclusive('=').flat_map(|piece| BASE64.decode(piece).unwrap_or_default()).collect();
    assert!(String::from_utf8_lossy(&decoded).contains("grpc-status:0"), "{text}");
    assert_refused(&post(&world, GET_ME, BINARY, frame(&[])).await, Code::Unauthenticated);
    assert_refused(&post(&world, GET_ME, TEXT, BASE64.encode(frame(&[]))).await, Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_grpc_web_is_refused() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    for kind in ["application/json", "text/plain", "application/grpc", "application/grpc-web+json", ""] {
        assert_eq!(post(&world, GET_ME, kind, "{}").await.status(), 400, "{kind}");
    }
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let sent = request(&world, method, GET_ME).header(header::CONTENT_TYPE, BINARY).send().await;
        assert_eq!(sent.expect("an answer").status(), 405);
    }
    for (what, body) in [
        ("no frame", Vec::new()),
        ("half a frame", vec![0, 0, 0]),
        ("a frame that is cut off", vec![0, 0, 0, 0, 9, 1]),
        ("a compressed frame", vec![1, 0, 0, 0, 1, 0]),
        ("no message", frame(b"\xff\xff\xff")),
    ] {
        let answer = post(&world, REGISTER, BINARY, body).await;
        let code = answer.headers().get("grpc-status").map(|code| code.to_str().expect("ASCII").to_owned());
        assert_eq!(code.as_deref(), Some("3"), "{what}: {answer:?}");
        assert_refused(&answer, Code::InvalidArgument);
    }
    // What says that it is too large is not waited for.
    let large = [&[0], 5_242_880_u32.to_be_bytes().as_slice(), b"and so on"].concat();
    assert_refused(&post(&world, REGISTER, BINARY, large).await, Code::ResourceExhausted);
    assert_refused(&post(&world, REGISTER, TEXT, "no base64!").await, Code::InvalidArgument);
    let unknown = "hivesync.v1.UserService/GetYou";
    assert_refused(&post(&world, unknown, BINARY, frame(&[])).await, Code::Unimplemented);
}
