//! How long it takes on an idle server from queueing a job until a worker has it.
//!
//! `cargo bench -p hivesync-tests --bench queue_latency`; PostgreSQL and Redis take part where the tests are
//! given them. The worker is one stream in this process, over the network of this machine. Two figures: from
//! the beginning of the transaction that queues the job, and from its commit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark talks to its user, fails by panicking, and is no part of the server"
)]

use std::time::Duration;

use hivesync_proto::v1 as pb;
use hivesync_server::{
    base::{
        clock::Stopwatch,
        ctx::Ctx,
        ids::{JobId, TeamId},
    },
    domain::jobs::{self, NewJob, OnConflict, Priority, Work},
};
use hivesync_tests::{backend::Backend, raw_worker::RawWorker, world::World};
use tokio::sync::mpsc;
use uuid::Uuid;

const WARM_UP: usize = 50;
const JOBS: usize = 1_000;

#[tokio::main]
async fn main() {
    // `cargo test` runs benchmarks once, to see that they work.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let jobs = if is_bench { JOBS } else { 3 };
    for backend in [Backend::Embedded, Backend::Production] {
        if backend.available() {
            measure(backend, jobs).await;
        }
    }
}

async fn measure(backend: Backend, jobs: usize) {
    let world = World::without_worker(backend, &[]).await;
    let base = world.app().base().clone();
    let secret = String::from_utf8(base.config.worker_shared_secret.expose().to_vec()).unwrap();
    let wire = world.wire_to(world.app().addresses.worker).await;
    let worker = RawWorker::connect(wire, "bench", &secret).await.unwrap();
    let (started, mut starts) = mpsc::channel(1);
    let working = tokio::spawn(work(worker, started));

    let (mut whole, mut committed) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + jobs {
        let ctx = Ctx::system(base.clone(), "bench").unwrap();
        let begun = Stopwatch::start();
        let tx = ctx.begin().await.unwrap();
        let job = jobs::enqueue(&ctx, &tx, new_job()).await.unwrap().job.id;
        tx.commit().await.unwrap();
        let queued = Stopwatch::start();
        assert_eq!(starts.recv().await, Some(job));
        if round >= WARM_UP {
            whole.push(begun.elapsed());
            committed.push(queued.elapsed());
        }
        // Idle again: the worker has handed in its result and asked for the next job.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    working.abort();
    report(backend, "from the beginning of its transaction", whole);
    report(backend, "from its commit", committed);
}

/// Says when each job has arrived, and hands in that it is done.
async fn work(mut worker: RawWorker, started: mpsc::Sender<JobId>) {
    loop {
        let lease = worker.take().await;
        if started.send(JobId(lease.job_id.parse().unwrap())).await.is_err() {
            return;
        }
        let result = pb::CleanupResult { mirrors_removed: 0, bytes_freed: 0 };
        let commit = pb::CommitRequest {
            job_id: lease.job_id,
            lease_token: lease.lease_token,
            commit_id: Uuid::new_v4().to_string(),
            outcome: Some(pb::commit_request::Outcome::Cleanup(result)),
        };
        worker.commit(commit).await.unwrap();
    }
}

fn new_job() -> NewJob {
    NewJob {
        work: Work::Cleanup { projects: Vec::new() },
        team: TeamId(Uuid::from_u128(1)),
        project: None,
        priority: Priority::Interactive,
        concurrency_key: None,
        on_conflict: OnConflict::Queue,
        requested_by: None,
    }
}

fn report(backend: Backend, from: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let quantile = |per_cent: usize| {
        times.get(times.len() * per_cent / 100).copied().unwrap_or_default().as_secs_f64() * 1_000.0
    };
    println!(
        "{backend:?}: a job starts {from} after p50 {:.2} ms, p99 {:.2} ms ({} jobs)",
        quantile(50),
        quantile(99),
        times.len()
    );
}
