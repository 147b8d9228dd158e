//! What a server costs that nobody uses: how soon it serves, what memory it holds, how soon it goes when it is told to,
//! and what the binaries weigh. The library for other languages is weighed where it is built, by `sdk-ffi/library`.
//!
//! `cargo bench -p hivesync-tests --bench footprint`, after `cargo build --release --workspace`: the binaries are those
//! beside the benchmark. `cargo test` takes one round with the binaries of its own profile, to see that it works.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark talks to its user, fails by panicking, and is no part of the server"
)]

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use hivesync_server::base::clock::Stopwatch;
use hivesync_tests::binary;
use rustix::process::{Pid, Signal, kill_process};

const ROUNDS: usize = 15;
/// How long a server is left alone before its memory is read.
const IDLE: Duration = Duration::from_secs(2);
/// How often it is asked whether it serves, and at most how many times.
const ASK_INTERVAL: Duration = Duration::from_millis(1);
const ASK_MAX: u32 = 60_000;
const BINARIES: [&str; 3] = ["hivesync", "hivesync-worker", "hsync"];

/// What one life of a server took.
struct Life {
    start_ms: f64,
    memory_bytes: f64,
    end_ms: f64,
}

#[tokio::main]
async fn main() {
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, idle) = if is_bench { (ROUNDS, IDLE) } else { (1, Duration::ZERO) };
    println!(
        "`hivesync serve` on embedded stores, median of {rounds} rounds; its files are in the page cache\n"
    );
    println!("| start | to serving, ms | idle memory (RSS), MiB | SIGTERM to exit, ms |\n|---|---|---|---|");
    let (mut first, mut next) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let directory = tempfile::tempdir().unwrap();
        first.push(live(directory.path(), idle).await);
        next.push(live(directory.path(), idle).await);
    }
    show("the first, which makes schema and secrets", &first);
    show("any other", &next);

    println!("\n| binary | bytes |\n|---|---|");
    for name in BINARIES {
        println!("| `{name}` | {} |", fs::metadata(binary::path(name)).unwrap().len());
    }
}

fn show(start: &str, lives: &[Life]) {
    const MIB: f64 = 1_048_576.0;
    let of = |figure: fn(&Life) -> f64| median(lives.iter().map(figure).collect());
    let (start_ms, memory, end_ms) =
        (of(|life| life.start_ms), of(|life| life.memory_bytes), of(|life| life.end_ms));
    println!("| {start} | {start_ms:.1} | {:.1} | {end_ms:.1} |", memory / MIB);
}

/// Starts a server on what is in `directory`, leaves it alone, and tells it to stop.
async fn live(directory: &Path, idle: Duration) -> Life {
    let watch = Stopwatch::start();
    let (mut server, metrics) = start(directory);
    until_ready(&mut server, metrics).await;
    let start_ms = milliseconds(&watch);
    tokio::time::sleep(idle).await;
    let memory_bytes = memory_bytes(&server);
    let watch = Stopwatch::start();
    kill_process(Pid::from_child(&server), Signal::TERM).unwrap();
    assert!(server.wait().unwrap().success());
    Life { start_ms, memory_bytes, end_ms: milliseconds(&watch) }
}

/// The process, and where it says whether it serves.
fn start(directory: &Path) -> (Child, SocketAddr) {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = listeners.map(|listener| listener.local_addr().unwrap());
    let names = ["LISTEN_ADDR", "WORKER_LISTEN_ADDR", "ADMIN_LISTEN_ADDR", "METRICS_LISTEN_ADDR"];
    let server = Command::new(binary::path("hivesync"))
        .arg("serve")
        .env_clear()
        .env("HIVESYNC_ENV", "local")
        .env("DATA_DIR", directory.join("data"))
        .envs(names.into_iter().zip(addresses.map(|address| address.to_string())))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (server, addresses[3])
}

async fn until_ready(server: &mut Child, metrics: SocketAddr) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for _ in 0..ASK_MAX {
        let answer = client.get(format!("http://{metrics}/readyz")).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        assert!(server.try_wait().unwrap().is_none(), "the server has ended");
        tokio::time::sleep(ASK_INTERVAL).await;
    }
    panic!("the server does not become ready");
}

fn memory_bytes(server: &Child) -> f64 {
    const KIB: f64 = 1024.0;
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).expect("proc(5)");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("proc(5) says VmRSS");
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() * KIB
}

fn milliseconds(watch: &Stopwatch) -> f64 {
    watch.elapsed().as_secs_f64() * 1_000.0
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
