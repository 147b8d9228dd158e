//! What clients see: the client library beside a bare tonic client, how soon a notification arrives, and what an
//! idle stream costs the server.
//!
//! `cargo bench -p hivesync-tests --bench clients`, after `cargo build --release --workspace`: the memory of
//! streams is that of the real server, as a process.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark talks to its user, fails by panicking, and is no part of the server"
)]

use std::time::Duration;

use futures::{StreamExt as _, stream};
use hivesync::notifications::{NotificationEvent, StartAt};
use hivesync_proto::v1::{
    self as pb, notification_service_client::NotificationServiceClient,
    user_service_client::UserServiceClient,
};
use hivesync_server::{
    base::{
        clock::Stopwatch,
        ctx::Ctx,
        ids::{DeviceId, UserId},
        outbox,
    },
    domain::auth::DeviceAdded,
};
use hivesync_tests::{
    backend::Backend,
    caller::Caller,
    process::Installation,
    wire::{Wire, set},
    world::World,
};
use tonic::{Request, Streaming, metadata::AsciiMetadataValue, transport::Channel};
use uuid::Uuid;

const ROUNDS: usize = 200;
const WARM_UP_ROUNDS: usize = 10;
/// Short, so that both clients of a round meet the same machine.
const CALLS: usize = 256;
/// The most that a call of the client library may take, times the bare client's.
const RATIO_MAX: f64 = 1.05;
const TOLD: usize = 500;
const STREAMS: usize = 1_000;
/// Streams of one user; the server takes no more than 16.
const STREAMS_A_USER: usize = 10;
#[tokio::main]
async fn main() {
    // `cargo test` runs benchmarks once, to see that they work; these take minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    overhead().await;
    for backend in [Backend::Embedded, Backend::Production] {
        if backend.available() {
            notifications(backend).await;
        }
    }
    idle_streams().await;
}

/// The same RPC by the client library and by the generated client alone, in turns.
async fn overhead() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.user("ada").await;
    let token = world.caller("bob").await.tokens.access_token;
    let bare = UserServiceClient::new(world.wire().await.channel);

    println!(
        "GetMe, {CALLS} calls a round by each, median of {ROUNDS} rounds; client and server share the machine\n"
    );
    println!(
        "| in flight | bare tonic, calls/s | client library, calls/s | time of a call, ratio | its quartiles |\n\
         |---|---|---|---|---|"
    );
    let mut over = Vec::new();
    for in_flight in [1, 64] {
        let (mut bares, mut ours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..WARM_UP_ROUNDS + ROUNDS {
            let bare = || call_bare(bare.clone(), &token);
            let our = || async { drop(ada.client.users().me().await.unwrap()) };
            // Each goes first as often as the other.
            let (bare, our) = if round % 2 == 0 {
                let bare = seconds(in_flight, bare).await;
                (bare, seconds(in_flight, our).await)
            } else {
                let our = seconds(in_flight, our).await;
                (seconds(in_flight, bare).await, our)
            };
            if round >= WARM_UP_ROUNDS {
                bares.push(bare);
                ours.push(our);
                ratios.push(our / bare);
            }
        }
        let rate = |seconds: f64| CALLS as f64 / seconds;
        let (bare, our, ratio) = (median(&mut bares), median(&mut ours), median(&mut ratios));
        let (low, high) = (ratios[ROUNDS / 4], ratios[ROUNDS * 3 / 4]);
        println!("| {in_flight} | {:.0} | {:.0} | {ratio:.3} | {low:.3}..{high:.3} |", rate(bare), rate(our));
        over.extend((ratio > RATIO_MAX).then_some(in_flight));
    }
    assert!(over.is_empty(), "more than {RATIO_MAX} times the bare client with {over:?} in flight");
}

async fn call_bare(mut client: UserServiceClient<Channel>, token: &str) {
    let mut request = Request::new(pb::GetMeRequest {});
    request.set_timeout(Duration::from_secs(15));
    let mut bearer = AsciiMetadataValue::try_from(format!("Bearer {token}")).unwrap();
    bearer.set_sensitive(true);
    request.metadata_mut().insert("authorization", bearer);
    client.get_me(request).await.unwrap();
}

/// How long all calls take, so many at a time.
async fn seconds<F: Future<Output = ()>>(in_flight: usize, call: impl FnMut() -> F) -> f64 {
    let watch = Stopwatch::start();
    stream::repeat_with(call).take(CALLS).buffer_unordered(in_flight).for_each(|()| async {}).await;
    watch.elapsed().as_secs_f64()
}

/// From the commit of what causes a notification until its user's stream has it.
async fn notifications(backend: Backend) {
    let world = World::without_worker(backend, &[]).await;
    let bob = world.user("bob").await;
    let mut told = bob.client.notifications().follow(StartAt::Now);
    assert!(matches!(told.next().await, Some(Ok(NotificationEvent::Connected))));
    let ctx = Ctx::system(world.app().base().clone(), "bench").unwrap();
    let mut times = Vec::new();
    for _ in 0..TOLD {
        let event = DeviceAdded {
            user: UserId(bob.me.id),
            device: DeviceId(Uuid::new_v4()),
            name: "a phone".to_owned(),
        };
        let tx = ctx.begin().await.unwrap();
        outbox::emit(&ctx, &tx, &event).await.unwrap();
        tx.commit().await.unwrap();
        let emitted = Stopwatch::start();
        while !matches!(told.next().await, Some(Ok(NotificationEvent::Notification(_)))) {}
        times.push(emitted.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    let [p50, p99] = [50, 99].map(|per_cent| times[times.len() * per_cent / 100]);
    println!("{backend:?}: a notification is received after p50 {p50:.2} ms, p99 {p99:.2} ms ({TOLD})");
}

/// Resident memory of a server before and after streams are opened.
async fn idle_streams() {
    println!();
    for own_connections in [false, true] {
        let mut installation = Installation::start(Backend::Embedded).await;
        let mut tokens = Vec::new();
        for user in 0..STREAMS / STREAMS_A_USER {
            let caller = Caller::join(installation.wire().await, &format!("user-{user}")).await;
            tokens.push(caller.tokens.access_token);
        }
        // Hashing passwords has left memory behind, which streams would fill first.
        installation.stop().await;
        installation.start_server().await;
        // What the first stream of all takes is no stream's.
        drop(open_stream(installation.wire().await, &tokens[0]).await);
        let before = installation.server_memory_bytes();
        let mut held = Vec::new();
        for token in &tokens {
            let shared = installation.wire().await;
            for _ in 0..STREAMS_A_USER {
                let wire = if own_connections { installation.wire().await } else { shared.clone() };
                held.push(open_stream(wire, token).await);
            }
        }
        let each = installation.server_memory_bytes().saturating_sub(before) as f64 / STREAMS as f64;
        let connections = if own_connections { STREAMS } else { tokens.len() };
        println!(
            "{STREAMS} idle streams on {connections} connections: {:.1} KiB of the server's memory each",
            each / 1024.0
        );
    }
}

/// Opens a stream of notifications and waits until it stands.
async fn open_stream(wire: Wire, token: &str) -> Streaming<pb::StreamNotificationsResponse> {
    let mut request = Request::new(pb::StreamNotificationsRequest::default());
    set(&mut request, "authorization", &format!("Bearer {token}"));
    let opened = NotificationServiceClient::new(wire.channel).stream_notifications(request).await;
    let mut stream = opened.unwrap().into_inner();
    stream.message().await.unwrap().expect("a stream begins with a message");
    stream
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
