//! A whole worker against a server that a test plays by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the test plays the server, and starts tasks for it")]

use std::{
    collections::VecDeque,
    path::PathBuf,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{
        Cancel, Challenge, CleanupWork, CommitRequest, CommitResponse, DrainStarted, FailureClass,
        GetServerInfoRequest, GetServerInfoResponse, GoingAway, HeartbeatAck, Hello, JobKind, Lease,
        LeaseVerdict, PresignedRequest, PreviewVerifyWork, ReleaseRequest, ReleaseResponse, RepoSyncWork,
        ResumeVerdict, Revoke, ServerMessage, SessionRequest, SessionResponse, Verdict, VerifyFile, Welcome,
        commit_request, lease, server_message,
        worker_message::Kind,
        worker_service_server::{WorkerService, WorkerServiceServer},
    },
    worker_proof::{CallProof, METADATA_KEY, verify_session},
};
use hivesync_workers::{Worker, WorkerConfig, WorkerError};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status, Streaming, transport::Server};

const SECRET: &[u8] = b"a shared secret of thirty-two bytes";
const NONCE: [u8; 32] = [9; 32];
const JOB: &str = "0198f000-0000-7000-8000-00000000000a";
const TOKEN: [u8; 16] = [1; 16];

/// What any expectation may take before the test fails; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(20);

struct Fake {
    streams: mpsc::Sender<Link>,
    commits: mpsc::Sender<CommitRequest>,
    releases: mpsc::Sender<ReleaseRequest>,
    commit_refusals: Arc<Mutex<VecDeque<Code>>>,
}

fn check_proof<T>(request: &Request<T>, method: &str) {
    let proof = request.metadata().get(METADATA_KEY).expect("a proof").to_str().unwrap();
    let path = format!("/hivesync.v1.WorkerService/{method}");
    // The time is the worker's own; the window here is all of it.
    CallProof::verify(proof, SECRET, &path, 0, u64::MAX).expect("a proof that holds");
}

#[tonic::async_trait]
impl WorkerService for Fake {
    type SessionStream = ReceiverStream<Result<SessionResponse, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        check_proof(&request, "Session");
        let (outbound, responses) = mpsc::channel(64);
        let link =
            Link { inbound: request.into_inner(), outbound, batch: VecDeque::new(), answers_beats: true };
        self.streams.send(link).await.unwrap();
        Ok(Response::new(ReceiverStream::new(responses)))
    }

    async fn commit(&self, request: Request<CommitRequest>) -> Result<Response<CommitResponse>, Status> {
        check_proof(&request, "Commit");
        self.commits.send(request.into_inner()).await.unwrap();
        match self.commit_refusals.lock().unwrap().pop_front() {
            Some(code) => Err(Status::new(code, "refused")),
            None => Ok(Response::new(CommitResponse::default())),
        }
    }

    async fn release(&self, request: Request<ReleaseRequest>) -> Result<Response<ReleaseResponse>, Status> {
        check_proof(&request, "Release");
        self.releases.send(request.into_inner()).await.unwrap();
        Ok(Response::new(ReleaseResponse {}))
    }

    async fn get_server_info(
        &self,
        _: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        Ok(Response::new(GetServerInfoResponse::default()))
    }
}

/// The server's end of one stream.
struct Link {
    inbound: Streaming<SessionRequest>,
    outbound: mpsc::Sender<Result<SessionResponse, Status>>,
    batch: VecDeque<Kind>,
    answers_beats: bool,
}

impl Link {
    async fn say(&self, kind: server_message::Kind) {
        let messages = vec![ServerMessage { kind: Some(kind) }];
        self.outbound.send(Ok(SessionResponse { messages })).await.unwrap();
    }

    /// The next message; none when the worker has left the stream.
    async fn next(&mut self) -> Option<Kind> {
        timeout(PATIENCE, async {
            loop {
                match self.batch.pop_front() {
                    Some(Kind::Heartbeat(beat)) => {
                        let renewed =
                            |lease_token| LeaseVerdict { lease_token, verdict: Verdict::Renewed.into() };
                        let verdicts =
                            beat.leases.into_iter().map(|held| renewed(held.lease_token)).collect();
                        if self.answers_beats {
                            let ack = HeartbeatAck { sequence: beat.sequence, verdicts };
                            self.say(server_message::Kind::HeartbeatAck(ack)).await;
                        }
                    }
                    Some(Kind::Progress(_)) => {}
                    Some(kind) => return Some(kind),
                    None => {
                        let request = self.inbound.message().await.ok()??;
                        self.batch =
                            request.messages.into_iter().filter_map(|message| message.kind).collect();
                    }
                }
            }
        })
        .await
        .expect("a message")
    }

    async fn hello(&mut self) -> Hello {
        self.say(server_message::Kind::Challenge(Challenge { nonce: NONCE.to_vec() })).await;
        let Some(Kind::Hello(hello)) = self.next().await else { panic!("no hello") };
        verify_session(SECRET, &NONCE, &hello.worker_id, &hello.incarnation_id, &hello.proof).unwrap();
        hello
    }

    /// The whole handshake, up to the credits.
    async fn open(&mut self, keep: bool) -> Hello {
        let hello = self.hello().await;
        let resumed = hello
            .held_leases
            .iter()
            .map(|token| ResumeVerdict { lease_token: token.clone(), keep })
            .collect();
        self.say(server_message::Kind::Welcome(Welcome {
            session_id: "s".to_owned(),
            heartbeat_every: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
            lease_ttl: Some(prost_types::Duration { seconds: 12, nanos: 0 }),
            resumed,
        }))
        .await;
        let Some(Kind::Credits(_)) = self.next().await else { panic!("no credits") };
        hello
    }

    async fn lease(&mut self, token: [u8; 16], work: lease::Work) -> bool {
        self.say(server_message::Kind::Lease(Lease {
            job_id: JOB.to_owned(),
            lease_token: token.to_vec(),
            lease_epoch: 1,
            attempt: 1,
            time_limit: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
            work: Some(work),
            ..Lease::default()
        }))
        .await;
        loop {
            match self.next().await {
                Some(Kind::LeaseAck(ack)) => {
                    assert_eq!(ack.lease_token, token);
                    return ack.accepted;
                }
                Some(Kind::Credits(_)) => {}
                other => panic!("no acknowledgement: {other:?}"),
            }
        }
    }

    /// Waits until the worker says that it has this many free slots.
    async fn credits(&mut self, expected: u32) {
        loop {
            match self.next().await.expect("credits") {
                Kind::Credits(credits) if credits.free_slots == expected => return,
                _ => {}
            }
        }
    }
}

struct Bench {
    streams: mpsc::Receiver<Link>,
    commits: mpsc::Receiver<CommitRequest>,
    releases: mpsc::Receiver<ReleaseRequest>,
    commit_refusals: Arc<Mutex<VecDeque<Code>>>,
    shutdown: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
    /// Accepts connections and answers none of them.
    _mute: TcpListener,
    mute_url: String,
    _data_dir: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut WorkerConfig)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server_url = format!("http://{}", listener.local_addr().unwrap());
        let ((streams_in, streams), (commits_in, commits), (releases_in, releases)) =
            (mpsc::channel(8), mpsc::channel(8), mpsc::channel(8));
        let commit_refusals = Arc::default();
        let fake = Fake {
            streams: streams_in,
            commits: commits_in,
            releases: releases_in,
            commit_refusals: Arc::clone(&commit_refusals),
        };
        let server = Server::builder().add_service(WorkerServiceServer::new(fake));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        let data_dir = TempDir::new().unwrap();
        let mut config = WorkerConfig { server_url, ..config(&data_dir) };
        change(&mut config);
        let worker = Worker::new(config).unwrap();
        let shutdown = CancellationToken::new();
        let worker = tokio::spawn(worker.run(shutdown.clone().cancelled_owned()));
        let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mute_url = format!("http://{}/", mute.local_addr().unwrap());
        Self {
            streams,
            commits,
            releases,
            commit_refusals,
            shutdown,
            worker,
            _mute: mute,
            mute_url,
            _data_dir: data_dir,
        }
    }

    async fn stream(&mut self) -> Link {
        timeout(PATIENCE, self.streams.recv()).await.expect("a stream").unwrap()
    }

    async fn commit(&mut self) -> CommitRequest {
        timeout(PATIENCE, self.commits.recv()).await.expect("a commit").unwrap()
    }

    /// A job that never ends by itself.
    fn endless(&self) -> lease::Work {
        let download =
            PresignedRequest { method: "GET".to_owned(), url: self.mute_url.clone(), ..Default::default() };
        let file = VerifyFile { size: 1, sha256: vec![0; 32], download: Some(download) };
        lease::Work::PreviewVerify(PreviewVerifyWork { files: vec![file] })
    }
}

fn config(data_dir: &TempDir) -> WorkerConfig {
    WorkerConfig {
        server_url: "http://127.0.0.1:1".to_owned(),
        shared_secret: SECRET.to_vec().into(),
        worker_id: "worker-1".to_owned(),
        data_dir: data_dir.path().to_owned(),
        slots: 1,
        kinds: vec![JobKind::RepoSync, JobKind::PreviewVerify, JobKind::Cleanup],
        url_policy: UrlPolicy::default(),
        tls_root: None,
        drain_limit: Duration::from_millis(50),
    }
}

fn quick() -> lease::Work {
    lease::Work::Cleanup(CleanupWork::default())
}

#[tokio::test]
async fn proves_itself_runs_a_job_and_commits() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    let hello = link.open(true).await;
    assert_eq!((hello.protocol, hello.slots, hello.sandbox_tier), (1, 1, 3));
    assert!(hello.held_leases.is_empty());
    assert!(link.lease(TOKEN, quick()).await);
    let commit = bench.commit().await;
    assert_eq!((commit.job_id.as_str(), commit.lease_token.as_slice()), (JOB, TOKEN.as_slice()));
    assert!(matches!(commit.outcome, Some(commit_request::Outcome::Cleanup(_))));
    link.credits(1).await;
}

#[tokio::test]
async fn takes_a_lease_that_is_as_large_as_they_come() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    let lease::Work::PreviewVerify(mut work) = bench.endless() else { panic!("another kind") };
    // What a store signs takes some 600 bytes; headers and a long host name come on top.
    let signed = format!("{}?signature={}", bench.mute_url, "0".repeat(1_000));
    work.files[0].download.as_mut().unwrap().url = signed;
    work.files = vec![work.files[0].clone(); 5_000];
    assert!(link.lease(TOKEN, lease::Work::PreviewVerify(work)).await);
}

#[tokio::test]
async fn works_in_a_directory_that_is_named_from_where_it_starts() {
    let source = TempDir::new().unwrap();
    let status = Command::new("git").args(["init", "-q", "--bare"]).arg(source.path()).status().unwrap();
    assert!(status.success());
    let upwards: PathBuf = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect();
    let mut bench = Bench::with(|config| {
        config.data_dir = upwards.join(config.data_dir.strip_prefix("/").unwrap());
        config.url_policy.allow_file = true;
    })
    .await;
    let mut link = bench.stream().await;
    link.open(true).await;
    let work = RepoSyncWork {
        project_id: JOB.to_owned(),
        repository_url: format!("file://{}", source.path().display()),
        quota_bytes: 1 << 20,
    };
    assert!(link.lease(TOKEN, lease::Work::RepoSync(work)).await);
    let outcome = bench.commit().await.outcome;
    assert!(matches!(outcome, Some(commit_request::Outcome::RepoSync(_))), "{outcome:?}");
}

#[tokio::test]
async fn comes_back_when_it_is_refused_or_sent_away() {
    let mut bench = Bench::new().await;
    let link = bench.stream().await;
    link.outbound.send(Err(Status::new(Code::Unauthenticated, "no"))).await.unwrap();
    // A challenge that is none.
    let link = bench.stream().await;
    link.say(server_message::Kind::Challenge(Challenge { nonce: vec![1; 3] })).await;
    // A message out of turn.
    let mut link = bench.stream().await;
    link.hello().await;
    link.say(server_message::Kind::DrainStarted(DrainStarted {})).await;
    let mut link = bench.stream().await;
    let first = link.open(true).await.incarnation_id;
    link.say(server_message::Kind::GoingAway(GoingAway::default())).await;
    let mut link = bench.stream().await;
    assert_eq!(link.open(true).await.incarnation_id, first);
}

#[tokio::test]
async fn leaves_a_server_that_answers_no_beat() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    link.answers_beats = false;
    while link.next().await.is_some() {}
    bench.stream().await.open(true).await;
}

#[tokio::test]
async fn takes_no_more_than_it_can() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    assert!(link.lease(TOKEN, bench.endless()).await);
    assert!(!link.lease([2; 16], quick()).await, "no slot is free");
}

#[tokio::test]
async fn repeats_a_commit_under_one_id_until_it_is_heard() {
    let mut bench = Bench::new().await;
    bench.commit_refusals.lock().unwrap().extend([Code::Unavailable, Code::Internal]);
    let mut link = bench.stream().await;
    link.open(true).await;
    link.lease(TOKEN, quick()).await;
    let ids =
        [bench.commit().await.commit_id, bench.commit().await.commit_id, bench.commit().await.commit_id];
    assert!(ids[0] == ids[1] && ids[1] == ids[2]);
    link.credits(1).await;
}

#[tokio::test]
async fn drops_a_commit_that_was_superseded() {
    let mut bench = Bench::new().await;
    bench.commit_refusals.lock().unwrap().extend([Code::FailedPrecondition]);
    let mut link = bench.stream().await;
    link.open(true).await;
    link.lease(TOKEN, quick()).await;
    let first = bench.commit().await.commit_id;
    link.credits(1).await;
    link.lease([2; 16], quick()).await;
    assert_ne!(bench.commit().await.commit_id, first);
}

#[tokio::test]
async fn stops_a_job_that_is_cancelled() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    assert!(link.lease(TOKEN, bench.endless()).await);
    link.say(server_message::Kind::Cancel(Cancel { lease_token: TOKEN.to_vec(), grace: None })).await;
    let commit = bench.commit().await;
    let Some(commit_request::Outcome::Failure(failure)) = commit.outcome else { panic!("no failure") };
    assert_eq!(failure.class(), FailureClass::Cancelled);
    link.credits(1).await;
}

#[tokio::test]
async fn drops_a_job_that_is_revoked() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    assert!(link.lease(TOKEN, bench.endless()).await);
    link.say(server_message::Kind::Revoke(Revoke { lease_token: TOKEN.to_vec() })).await;
    link.credits(1).await;
    assert!(bench.commits.try_recv().is_err() && bench.releases.try_recv().is_err());
}

#[tokio::test]
async fn keeps_its_leases_over_a_lost_stream_if_the_server_does() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    assert!(link.lease(TOKEN, bench.endless()).await);
    drop(link);
    let mut link = bench.stream().await;
    assert_eq!(link.open(true).await.held_leases, [TOKEN.to_vec()]);
    drop(link);
    let mut link = bench.stream().await;
    assert_eq!(link.open(false).await.held_leases, [TOKEN.to_vec()]);
    assert!(
        link.lease([2; 16], quick()).await || {
            link.credits(1).await;
            link.lease([2; 16], quick()).await
        }
    );
    assert_eq!(bench.commit().await.lease_token, [2; 16]);
    assert!(bench.commits.try_recv().is_err());
}

#[tokio::test]
async fn drains_and_gives_back_what_does_not_end() {
    let mut bench = Bench::new().await;
    let mut link = bench.stream().await;
    link.open(true).await;
    assert!(link.lease(TOKEN, bench.endless()).await);
    bench.shutdown.cancel();
    while !matches!(link.next().await, Some(Kind::Draining(_))) {}
    assert!(!link.lease([2; 16], quick()).await, "a lease that crossed the notice is refused");
    link.say(server_message::Kind::DrainStarted(DrainStarted {})).await;
    let release = timeout(PATIENCE, bench.releases.recv()).await.expect("a release").unwrap();
    assert_eq!(release.lease_token, TOKEN);
    while link.next().await.is_some() {}
    timeout(PATIENCE, bench.worker).await.unwrap().unwrap().unwrap();
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    let dir = TempDir::new().unwrap();
    let refused =
        |config: WorkerConfig| Worker::new(config).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused(WorkerConfig { shared_secret: vec![1; 31].into(), ..config(&dir) }).contains("32 bytes"));
    for worker_id in ["", ".", "..", "a/b", "A", "-a"] {
        assert!(refused(WorkerConfig { worker_id: worker_id.to_owned(), ..config(&dir) }).contains("name"));
    }
    for server_url in ["", "host:1", "ftp://host", "http://"] {
        assert!(
            refused(WorkerConfig { server_url: server_url.to_owned(), ..config(&dir) }).contains("address")
        );
    }
    assert!(refused(WorkerConfig { slots: 0, ..config(&dir) }).contains("slots"));
    assert!(!format!("{:?}", config(&dir)).contains("97, 32"), "the secret is not shown");
}
