//! What is for terminals only: colours, progress bars, QR codes.

use hivesync_proto::v1::{JobPhase, JobProgress, Progress, worker_message::Kind as FromWorker};
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    raw_worker::RawWorker,
    repository::Repository,
    world::{WORKER_SECRET, World, in_time},
};

use crate::program::Program;

/// Begins what sets a colour or a style.
const ESCAPE: char = '\x1b';

async fn with_project() -> (World, Actor, Repository, Program) {
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    ada.project("site", &repository).await;
    let program = Program::of(&world, &ada);
    (world, ada, repository, program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_is_drawn_on_a_terminal_only() {
    in_time(async {
        let (_world, _ada, _repository, program) = with_project().await;
        let piped = program.run(&["repo", "sync", "site"]);
        assert_eq!((piped.status, piped.stderr.as_str()), (0, ""), "{piped:?}");
        assert!(
            piped.stdout.starts_with("Synced site in ") && piped.stdout.lines().count() == 1,
            "{piped:?}"
        );

        let (shown, status) = program.on_terminal(&["repo", "sync", "site"]).end();
        assert_eq!(status, 0, "{shown}");
        // A bar is drawn over and over in one line, and is gone at the end.
        assert!(shown.contains("starts") && shown.contains("\x1b[2K"), "{shown:?}");
        assert!(shown.trim_end().lines().next_back().unwrap().contains("Synced site in "), "{shown:?}");

        let (shown, status) = program.on_terminal(&["repo", "sync", "site", "--json"]).end();
        assert_eq!(status, 0, "{shown}");
        assert!(
            !shown.contains(ESCAPE) && serde_json::from_str::<serde_json::Value>(&shown).is_ok(),
            "{shown:?}"
        );
    })
    .await;
}

/// What a worker says of its job is seen by who waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bar_shows_how_far_a_sync_is() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        ada.project("site", &Repository::sample()).await;
        let mut terminal = Program::of(&world, &ada).on_terminal(&["repo", "sync", "site"]);
        let wire = world.wire_to(world.app().addresses.worker).await;
        let mut worker = RawWorker::connect(wire, "w", WORKER_SECRET).await.expect("a worker");
        let lease_token = worker.take().await.lease_token;
        let said = JobProgress { phase: JobPhase::Receiving.into(), done: 4_100, total: 5_000, bytes: 0 };
        worker.say(FromWorker::Progress(Progress { lease_token, progress: Some(said) })).await;
        terminal.expect("receives objects");
        terminal.expect("4100/5000");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn colours_are_for_those_who_want_them() {
    in_time(async {
        let (_world, _ada, _repository, mut program) = with_project().await;
        let list = ["project", "list"];
        let (shown, _) = program.on_terminal(&list).end();
        assert!(shown.contains("\x1b[1msite\x1b[0m") && shown.contains("\x1b[33mpending"), "{shown:?}");
        let (shown, status) = program.on_terminal(&["project", "show", "absent"]).end();
        assert!(shown.contains("\x1b[31merror:\x1b[0m There is no project absent."), "{shown:?}");
        assert_eq!(status, 4);
        assert!(!program.succeed(&list).contains(ESCAPE));
        assert!(!program.run(&["project", "show", "absent"]).stderr.contains(ESCAPE));
        for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            program.set(name, value);
            let (shown, _) = program.on_terminal(&list).end();
            assert!(shown.contains("site") && !shown.contains(ESCAPE), "{name}: {shown:?}");
            program.unset("NO_COLOR").set("TERM", "xterm-256color");
        }
        program.set("NO_COLOR", "");
        assert!(program.on_terminal(&list).end().0.contains(ESCAPE), "empty is as good as not set");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_shown_as_a_code_and_opens_what_was_published() {
    in_time(async {
        let (world, ada, repository, program) = with_project().await;
        let directory = repository.path().display().to_string();
        let publish = ["preview", "publish", "site", &directory];
        let (shown, status) = program.on_terminal(&publish).end();
        assert_eq!(status, 0, "{shown}");
        let code = shown.lines().filter(|line| line.contains(['█', '▀', '▄'])).count();
        assert!(code > 20, "{shown}");
        let token = shown.trim_end().lines().next_back().unwrap().trim().to_owned();

        let piped = program.run(&publish);
        assert_eq!(piped.stdout.trim_end().lines().count(), 3, "{piped:?}");
        assert!(!piped.stdout.contains('█') && piped.stderr.is_empty(), "{piped:?}");

        let open = |token: &str, directory: &str| {
            let mut command = Program::of(&world, &ada);
            command.set("HOME", &program.home().display().to_string());
            command.run_with(&["preview", "open", directory, "--json"], token.as_bytes())
        };
        let received = program.home().join("received").display().to_string();
        let opened = open(&token, &received);
        assert_eq!(opened.status, 0, "{opened:?}");
        let page = std::fs::read(program.home().join("received/index.html")).unwrap();
        assert!(page.starts_with(b"<!doctype"));
        let refused = open("v4.local.nonsense", &format!("{received}-too"));
        assert_eq!(refused.status, 4, "{refused:?}");

        let mut terminal = program.on_terminal(&["preview", "open", &format!("{received}-typed")]);
        terminal.expect_secret("Token: ").await;
        terminal.type_in(&format!("{token}\r"));
        let (shown, status) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert!(!shown.contains(&token[..20]), "{shown}");
    })
    .await;
}
