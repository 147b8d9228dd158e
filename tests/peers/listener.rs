//! Other people's TLS and HTTP/2: what openssl, curl and h2load make of the server's listener.

use std::{net::SocketAddr, time::Duration};

use hivesync_server::base::clock::Clock;
use hivesync_tests::{
    certificate::Certificate,
    tool,
    wire::{Credentials, Wire, refused},
    world::{World, in_time},
};
use tokio::process::Command;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

const OPENSSL: &str = "HIVESYNC_TEST_OPENSSL";
const CURL: &str = "HIVESYNC_TEST_CURL";
const H2LOAD: &str = "HIVESYNC_TEST_H2LOAD";

const GET_ME: &str = "hivesync.v1.UserService/GetMe";
/// A message without fields, as gRPC frames it.
const EMPTY_MESSAGE: &[u8] = &[0; 5];
/// Today's libraries refuse versions before 1.2 themselves, unless told not to.
const ANY_CIPHER: &str = "DEFAULT:@SECLEVEL=0";

/// A handshake by `openssl s_client`, and what it says of it.
async fn shake(server: SocketAddr, certificate: &Certificate, options: &[&str]) -> (bool, String) {
    let Some(program) = tool::find(OPENSSL) else { unreachable!("the test has looked for it") };
    let mut command = Command::new(program);
    command.args(["s_client", "-connect", &server.to_string(), "-verify_return_error", "-CAfile"]);
    command.arg(certificate.root()).args(options);
    let output = tool::run(&mut command, b"").await;
    (output.status.success(), tool::words(&output))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_agrees_on_todays_versions_only() {
    if tool::find(OPENSSL).is_none() {
        return;
    }
    let certificate = Certificate::new();
    let world = World::over_tls(&certificate).await;
    let server = world.app().addresses.public;
    for (option, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (agreed, words) = shake(server, &certificate, &[option, "-alpn", "h2"]).await;
        assert!(agreed, "{words}");
        assert!(words.contains(&format!("New, {version}, Cipher is")), "{words}");
        assert!(words.contains("ALPN protocol: h2"), "{words}");
        assert!(words.contains("Verify return code: 0 (ok)"), "{words}");
    }
    for option in ["-tls1", "-tls1_1"] {
        let (agreed, words) = shake(server, &certificate, &[option, "-cipher", ANY_CIPHER]).await;
        assert!(!agreed, "{words}");
        // The server has said so, not the client to itself.
        assert!(words.contains("SSL alert number"), "{words}");
    }
    // A protocol that nobody here speaks ends the handshake, as it must (RFC 7301, 3.2).
    let (agreed, words) = shake(server, &certificate, &["-alpn", "smtp"]).await;
    assert!(!agreed && words.contains("alert no application protocol"), "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_speaks_http2_and_is_given_a_status() {
    let Some(program) = tool::find(CURL) else { return };
    let certificate = Certificate::new();
    let world = World::over_tls(&certificate).await;
    let server = world.app().addresses.public;
    let post = |address: String| {
        let mut command = Command::new(&program);
        command.args(["--silent", "--show-error", "--max-time", "30", "--cacert"]).arg(certificate.root());
        command.args(["--data-binary", "@-", "--header", "content-type: application/grpc"]);
        command.args(["--output", "-", "--write-out", "%{http_version} %{http_code} %header{grpc-status}"]);
        command.arg(address);
        command
    };
    // Every time: curl 7.88 loses an answer that comes, with the reset of its stream, before it has sent its message.
    for _ in 0..20 {
        let output = tool::run(&mut post(format!("https://{server}/{GET_ME}")), EMPTY_MESSAGE).await;
        let unauthenticated = tonic::Code::Unauthenticated as i32;
        assert_eq!(tool::words(&output).trim(), format!("2 200 {unauthenticated}"));
    }

    // No plaintext where TLS is spoken, and no trust in an authority that curl does not know.
    let output = tool::run(&mut post(format!("http://{server}/{GET_ME}")), EMPTY_MESSAGE).await;
    assert!(!output.status.success(), "{}", tool::words(&output));
    let stranger = Certificate::new();
    let mut doubting = post(format!("https://{server}/{GET_ME}"));
    doubting.arg("--cacert").arg(stranger.root());
    const PEER_NOT_VERIFIED: i32 = 60;
    assert_eq!(tool::run(&mut doubting, EMPTY_MESSAGE).await.status.code(), Some(PEER_NOT_VERIFIED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2load_has_every_call_answered() {
    let Some(program) = tool::find(H2LOAD) else { return };
    let certificate = Certificate::new();
    let world = World::over_tls(&certificate).await;
    let message = world.directory().join("message");
    std::fs::write(&message, EMPTY_MESSAGE).expect("writable");
    let mut command = Command::new(program);
    command.args(["--requests=4000", "--clients=4", "--max-concurrent-streams=64", "--data"]).arg(message);
    command.args(["--header", "content-type: application/grpc"]);
    command.arg(format!("https://{}/{GET_ME}", world.app().addresses.public));
    let words = tool::words(&tool::run(&mut command, b"").await);
    assert!(words.contains("Application protocol: h2"), "{words}");
    assert!(words.contains("4000 succeeded, 0 failed, 0 errored, 0 timeout"), "{words}");
}

/// A certificate that was renewed is served to whoever comes, and whoever is there stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renewed_certificate_disturbs_no_connection() {
    if tool::find(OPENSSL).is_none() {
        return;
    }
    let certificate = Certificate::new();
    let world = World::over_tls(&certificate).await;
    let server = world.app().addresses.public;
    let root = std::fs::read_to_string(certificate.root()).expect("readable");
    let wire = Wire::over_tls(&root, server.to_string(), Clock::system()).await;
    let question = HealthCheckRequest { service: String::new() };
    let mut health = HealthClient::new(wire.channel.clone());
    let mut watched = health.watch(question).await.expect("watched").into_inner();
    let first = watched.message().await.expect("the stream stands").expect("a status");
    assert_eq!(first.status(), ServingStatus::Serving);

    let serves = async |pem: &str| shake(server, &certificate, &["-tls1_3"]).await.1.contains(pem.trim());
    let former = std::fs::read_to_string(certificate.path()).expect("readable");
    assert!(serves(&former).await);
    certificate.renew();
    let renewed = std::fs::read_to_string(certificate.path()).expect("readable");
    in_time(async {
        while !serves(&renewed).await {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
    refused(wire.call::<(), ()>(GET_ME, (), Credentials::default()).await);

    // The stream that began with the former certificate is told what happens after.
    in_time(world.stop()).await;
    let last = watched.message().await.expect("the stream stands").expect("a status");
    assert_eq!(last.status(), ServingStatus::NotServing);
}
