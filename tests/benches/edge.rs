//! What the edge costs: an authenticated unary RPC against the same service bare on tonic, in one run.
//!
//! `cargo bench -p hivesync-tests --bench edge` needs `h2load` (Debian: nghttp2-client). Each variant adds
//! one thing to the one before it, and all serve the same constant answer, so that the differences say
//! where the time goes. CPU is that of this process, which holds only the server.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to its user and fails by panicking"
)]

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use hivesync_proto::v1::{
    self as pb,
    user_service_server::{UserService, UserServiceServer},
};
use hivesync_server::{
    base::{
        clock::Stopwatch,
        limit::{Claim, Rule},
        rpc,
        task::Tasks,
    },
    edge::{
        listen::{self, Entrance},
        policy::Listener,
    },
};
use hivesync_tests::{backend::Backend, world::World};
use tonic::{Request, Response, Status, service::Routes};

/// Calls of one round; rounds; connections and streams of each.
const CALLS: u32 = 100_000;
const ROUNDS: usize = 5;
const CONNECTIONS: u32 = 4;
const STREAMS: u32 = 64;

fn user() -> pb::User {
    pb::User {
        id: "0190f0e0-0000-7000-8000-000000000000".into(),
        display_name: "Ada".into(),
        ..pb::User::default()
    }
}

/// The service as it would be without HiveSync.
struct Bare;

#[tonic::async_trait]
impl UserService for Bare {
    async fn get_me(&self, _: Request<pb::GetMeRequest>) -> Result<Response<pb::User>, Status> {
        Ok(Response::new(user()))
    }
    async fn update_me(&self, _: Request<pb::UpdateMeRequest>) -> Result<Response<pb::User>, Status> {
        Ok(Response::new(user()))
    }
}

/// The same answer through what every RPC of HiveSync does.
struct Served;

#[tonic::async_trait]
impl UserService for Served {
    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Result<Response<pb::User>, Status> {
        rpc::serve(request, |_, _| async { Ok(user()) }).await
    }
    async fn update_me(&self, request: Request<pb::UpdateMeRequest>) -> Result<Response<pb::User>, Status> {
        rpc::serve(request, |_, _| async { Ok(user()) }).await
    }
}

struct Variant {
    name: &'static str,
    address: SocketAddr,
    rates: Vec<f64>,
    cpu_micros: Vec<f64>,
}

#[tokio::main]
async fn main() {
    // `cargo test` runs benchmarks once, to see that they work; this one takes another program.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let caller = world.caller("ada").await;
    let tasks = Tasks::default();

    let mut variants = Vec::new();
    let mut add = |name, address| {
        variants.push(Variant { name, address, rates: Vec::new(), cpu_micros: Vec::new() });
    };
    let client_address = world.app().edge().client_address().clone();
    let entrance = Entrance::new(None, client_address, tasks.clone());
    add("bare tonic", bare().await);
    add(
        "our listener, no gate",
        listener(&entrance, Routes::new(UserServiceServer::new(Bare)).prepare()).await,
    );
    let router = || Routes::new(UserServiceServer::new(Served)).prepare();
    let gate = world.app().edge().gate(Listener::Public, router());
    add("+ gate: names, policy, token, rules, counters", listener(&entrance, gate).await);
    add("the real GetMe, with its row in SQLite", world.app().addresses.public);

    for round in 0..=ROUNDS {
        for variant in &mut variants {
            let (rate, cpu_micros) = run(variant.address, &caller.tokens.access_token).await;
            // The first round warms up.
            if round > 0 {
                variant.rates.push(rate);
                variant.cpu_micros.push(cpu_micros);
            }
        }
    }
    let bare_rate = median(&mut variants[0].rates);
    println!(
        "{CONNECTIONS} connections x {STREAMS} streams, {CALLS} calls a round, median of {ROUNDS} rounds\n"
    );
    println!("| variant | calls/s | ratio | server CPU, µs a call |\n|---|---|---|---|");
    for variant in &mut variants {
        let (rate, cpu) = (median(&mut variant.rates), median(&mut variant.cpu_micros));
        println!("| {} | {rate:.0} | {:.2} | {cpu:.1} |", variant.name, rate / bare_rate);
    }
    println!("\nA decision of both rate limits, in memory: {:.2} µs", decision_micros(&world).await);
    tasks.drain(Duration::from_secs(1)).await;
}

async fn bare() -> SocketAddr {
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let server = tonic::transport::Server::builder()
        .initial_connection_window_size(32 * 1024 * 1024)
        .initial_stream_window_size(4 * 1024 * 1024)
        .max_concurrent_streams(256)
        .add_service(UserServiceServer::new(Bare))
        .serve_with_incoming(tonic::transport::server::TcpIncoming::from(socket).with_nodelay(Some(true)));
    #[allow(clippy::disallowed_methods, reason = "the peer is not ours to supervise")]
    tokio::spawn(server);
    address
}

async fn listener<S>(entrance: &Entrance, service: S) -> SocketAddr
where
    S: tower::Service<
            http::Request<tonic::body::Body>,
            Response = http::Response<tonic::body::Body>,
            Error = std::convert::Infallible,
        > + Clone
        + Send
        + Sync
        + 'static,
    S::Future: Send,
{
    let socket = listen::bind("LISTEN_ADDR", "127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = socket.local_addr().unwrap();
    entrance.serve("bench", socket, service);
    address
}

/// Calls a second, and microseconds of this process's CPU for each.
async fn run(address: SocketAddr, token: &str) -> (f64, f64) {
    let directory = tempfile::tempdir().unwrap();
    let body = directory.path().join("body");
    fs::write(&body, [0_u8; 5]).unwrap();
    let (calls, connections, streams) = (CALLS.to_string(), CONNECTIONS.to_string(), STREAMS.to_string());
    let mut command = Command::new("h2load");
    command
        .args(["-n", &calls, "-c", &connections, "-m", &streams, "-w", "24", "-W", "24", "-d"])
        .arg(&body)
        .args(["-H", "content-type: application/grpc", "-H", "te: trailers"])
        .arg("-H")
        .arg(format!("authorization: Bearer {token}"))
        .arg(format!("http://{address}/hivesync.v1.UserService/GetMe"));
    let before = cpu_micros();
    let watch = Stopwatch::start();
    let output = tokio::task::block_in_place(|| command.output()).expect("h2load; install nghttp2-client");
    let took = watch.elapsed();
    let spent = cpu_micros() - before;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("{CALLS} succeeded, 0 failed")), "{text}");
    (f64::from(CALLS) / took.as_secs_f64(), spent / f64::from(CALLS))
}

/// User and system time of this process so far.
fn cpu_micros() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) * 10_000.0
}

/// What the two rules of an authenticated read cost. No load can show it, since they would refuse it.
async fn decision_micros(world: &World) -> f64 {
    const DECISIONS: u32 = 100_000;
    let by_user = Rule::new("bench.user", 6_000, Duration::from_secs(60));
    let by_address = Rule::new("bench.address", u32::MAX, Duration::from_secs(60));
    let watch = Stopwatch::start();
    for call in 0..DECISIONS {
        let claims = [Claim::new(by_user, call % 1_000), Claim::new(by_address, "127.0.0.1")];
        std::hint::black_box(world.app().base().limiter.decide(&claims).await);
    }
    watch.elapsed().as_secs_f64() * 1e6 / f64::from(DECISIONS)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
