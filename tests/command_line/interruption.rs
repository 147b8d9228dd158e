//! Ctrl-C: what a run has started on the server is stopped, and nothing else.

use std::sync::Arc;

use hivesync::{
    Client,
    jobs::{Job, JobState},
    keychain::MemoryStore,
    page::PageRequest,
    previews::PreviewState,
};
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::PASSWORD,
    raw_worker::RawWorker,
    repository::Repository,
    world::{WORKER_SECRET, World, in_time},
};
use rustix::process::{Signal, kill_process};
use uuid::Uuid;

use crate::{
    link::{Answers, Link},
    program::Program,
    terminal::{CTRL_C, Terminal},
};

/// A world in which nobody takes the jobs, with a user and a project called `site`.
async fn idle() -> (World, Actor, Repository, Uuid) {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await.id;
    (world, ada, repository, project)
}

async fn newest(ada: &Actor) -> Job {
    let team = ada.me.personal_team_id;
    let jobs = ada.client.jobs().list(team, None, PageRequest::first()).await.expect("jobs");
    jobs.items.into_iter().next().expect("there is a job")
}

/// Presses Ctrl-C when the program shows `text`.
fn interrupt(mut terminal: Terminal, text: &str) -> String {
    terminal.expect(text);
    terminal.type_in(CTRL_C);
    let (shown, status) = terminal.end();
    assert_eq!(status, 130, "{shown}");
    assert!(shown.contains("Interrupted."), "{shown}");
    shown
}

/// A world without a worker, whose answers to the program of its user arrive one by one.
struct Delayed {
    world: World,
    ada: Actor,
    program: Program,
    answers: Answers,
}

impl Delayed {
    async fn new() -> Self {
        let link = Link::new().await;
        let url = link.url();
        let world = World::without_worker(Backend::Embedded, &[("PUBLIC_URL", &url)]).await;
        let server = world.app().addresses.public;
        // The test's own client reaches the server at its own address.
        let client = Client::builder(format!("http://{server}")).secret_store(Arc::new(MemoryStore::new()));
        let ada = Actor::join(client.build().await.expect("a client"), "ada").await;
        let mut program = Program::new();
        program.set("HSYNC_SERVER", &url).set("HSYNC_EMAIL", &ada.email).set("HSYNC_PASSWORD", PASSWORD);
        Self { world, ada, program, answers: link.lead_to(server) }
    }
}

/// Presses Ctrl-C when the server has `begun` something, and the answer that says so is under way.
async fn interrupt_before_answer(
    mut answers: Answers,
    mut terminal: Terminal,
    begun: impl AsyncFn() -> bool,
) -> String {
    let answer = loop {
        let answer = answers.next().await;
        if begun().await {
            break answer;
        }
    };
    terminal.type_in(CTRL_C);
    terminal.expect("^C");
    drop((answer, answers));
    let (shown, status) = terminal.end();
    assert_eq!(status, 130, "{shown}");
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_waits_is_cancelled() {
    in_time(async {
        let (world, ada, _repository, _) = idle().await;
        let terminal = Program::of(&world, &ada).on_terminal(&["repo", "sync", "site"]);
        let shown = interrupt(terminal, "waits for a worker");
        assert!(shown.contains("The job was cancelled."), "{shown}");
        assert_eq!(newest(&ada).await.state, JobState::Cancelled);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_cancelled_by_its_command() {
    in_time(async {
        let (world, ada, _repository, project) = idle().await;
        let queued = ada.client.projects().sync(project).await.unwrap();
        let cancel = ["job", "cancel", &queued.id.to_string()];
        let (shown, status) = Program::of(&world, &ada).on_terminal(&cancel).end();
        assert_eq!((shown.trim_end(), status), ("Cancelled.", 0));
        assert_eq!(newest(&ada).await.state, JobState::Cancelled);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_runs_is_cancelled_with_its_worker() {
    in_time(async {
        let (world, ada, _repository, _) = idle().await;
        let program = Program::of(&world, &ada);
        let mut terminal = program.on_terminal(&["repo", "sync", "site"]);
        terminal.expect("waits for a worker");
        let wire = world.wire_to(world.app().addresses.worker).await;
        let mut worker = RawWorker::connect(wire, "w", WORKER_SECRET).await.expect("a worker");
        let lease = worker.take().await;
        assert_eq!(lease.job_id, newest(&ada).await.id.to_string());
        terminal.type_in(CTRL_C);
        let (shown, status) = terminal.end();
        assert_eq!(status, 130, "{shown}");
        assert!(shown.contains("The job is being cancelled."), "{shown}");
        assert_eq!(newest(&ada).await.state, JobState::Cancelling);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_have_queued_goes_on() {
    in_time(async {
        let (world, ada, _repository, project) = idle().await;
        let queued = ada.client.projects().sync(project).await.unwrap();
        for command in [vec!["repo", "sync", "site"], vec!["job", "watch", &queued.id.to_string()]] {
            let shown = interrupt(Program::of(&world, &ada).on_terminal(&command), "waits for a worker");
            assert!(!shown.contains("cancelled"), "{shown}");
            let job = newest(&ada).await;
            assert_eq!((job.id, job.state), (queued.id, JobState::Queued));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_is_only_queued_is_left_to_its_worker() {
    in_time(async {
        let (world, ada, _repository, _) = idle().await;
        let queued = Program::of(&world, &ada).json(&["repo", "sync", "site", "--no-wait"]);
        let job = newest(&ada).await;
        assert_eq!((queued["id"].as_str(), job.state), (Some(job.id.to_string().as_str()), JobState::Queued));
    })
    .await;
}

/// The server has queued the sync, and its answer is under way: the run waits for it, because only then does it know
/// what to cancel.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_whose_answer_is_under_way_is_cancelled() {
    in_time(async {
        let Delayed { world: _world, ada, program, answers } = Delayed::new().await;
        ada.project("site", &Repository::sample()).await;
        let terminal = program.on_terminal(&["repo", "sync", "site"]);
        let queued = async || {
            let team = ada.me.personal_team_id;
            !ada.client.jobs().list(team, None, PageRequest::first()).await.unwrap().items.is_empty()
        };
        let shown = interrupt_before_answer(answers, terminal, queued).await;
        assert!(shown.contains("The job was cancelled."), "{shown}");
        assert_eq!(newest(&ada).await.state, JobState::Cancelled);
        let sessions = ada.client.auth().sessions(PageRequest::first()).await.unwrap().items;
        assert_eq!(sessions.len(), 1, "the run's own session has ended");
    })
    .await;
}

/// The run is interrupted while it signs in by the environment: the session that comes of it ends, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_in_whose_answer_is_under_way_is_undone() {
    in_time(async {
        let Delayed { world: _world, ada, program, answers } = Delayed::new().await;
        let project = ada.project("site", &Repository::sample()).await.id;
        let job = ada.client.projects().sync(project).await.unwrap().id.to_string();
        let terminal = program.on_terminal(&["job", "watch", &job]);
        let sessions = async || ada.client.auth().sessions(PageRequest::first()).await.unwrap().items.len();
        interrupt_before_answer(answers, terminal, async || sessions().await > 1).await;
        assert_eq!(sessions().await, 1);
    })
    .await;
}

/// A supervisor asks as Ctrl-C does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_asked_to_end_undoes_what_it_started() {
    in_time(async {
        let (world, ada, _repository, _) = idle().await;
        let mut terminal = Program::of(&world, &ada).on_terminal(&["repo", "sync", "site"]);
        terminal.expect("waits for a worker");
        kill_process(terminal.process(), Signal::TERM).expect("it runs");
        let (shown, status) = terminal.end();
        assert_eq!(status, 143, "{shown}");
        assert_eq!(newest(&ada).await.state, JobState::Cancelled);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_that_nobody_can_open_yet_is_revoked() {
    in_time(async {
        let (world, ada, repository, project) = idle().await;
        let directory = repository.path().display().to_string();
        let terminal = Program::of(&world, &ada).on_terminal(&["preview", "publish", "site", &directory]);
        let shown = interrupt(terminal, "verifies");
        assert!(shown.contains("The preview was revoked."), "{shown}");
        let previews = ada.client.previews().list(project, PageRequest::first()).await.unwrap().items;
        assert_eq!(previews.iter().map(|preview| preview.state).collect::<Vec<_>>(), [PreviewState::Revoked]);
        assert_eq!(newest(&ada).await.state, JobState::Cancelled, "nobody verifies it any more");
    })
    .await;
}

/// The server has made the preview, and the answer that names it is under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_whose_answer_is_under_way_is_revoked() {
    in_time(async {
        let Delayed { world: _world, ada, program, answers } = Delayed::new().await;
        let repository = Repository::sample();
        let project = ada.project("site", &repository).await.id;
        let directory = repository.path().display().to_string();
        let terminal = program.on_terminal(&["preview", "publish", "site", &directory]);
        let previews =
            async || ada.client.previews().list(project, PageRequest::first()).await.unwrap().items;
        let shown = interrupt_before_answer(answers, terminal, async || !previews().await.is_empty()).await;
        assert!(shown.contains("The preview was revoked."), "{shown}");
        assert_eq!(
            previews().await.iter().map(|preview| preview.state).collect::<Vec<_>>(),
            [PreviewState::Revoked]
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn following_ends_well_by_ctrl_c() {
    in_time(async {
        let (world, ada, _repository, _) = idle().await;
        let mut terminal = Program::of(&world, &ada).on_terminal(&["notifications", "--follow"]);
        terminal.expect("Waiting for notifications.");
        terminal.type_in(CTRL_C);
        let (shown, status) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        let sessions = ada.client.auth().sessions(PageRequest::first()).await.unwrap().items;
        assert_eq!(sessions.len(), 1, "the run's own session has ended");
    })
    .await;
}
