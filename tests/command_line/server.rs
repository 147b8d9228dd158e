//! `hivesync` itself: the demonstration, the server for one's own machine, the schema.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
};

use hivesync_tests::{
    binary,
    caller::PASSWORD,
    command_line::{CommandLine, said},
    repository::Repository,
    world::in_time,
};
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use crate::{
    program::{Finished, Program},
    terminal::{CTRL_C, Terminal},
};

/// What `hivesync` exits with if something does not hold.
const FAILED: i32 = 1;

/// The steps of the demonstration, in their order.
const STEPS: [&str; 9] = [
    "start a server and a worker",
    "sign up, and sign in on a desktop and a phone",
    "create a project",
    "sync the repository",
    "publish a preview of HEAD",
    "open it on the phone",
    "publish again, unchanged",
    "try what must be refused",
    "read what arrived live on the phone",
];

fn hivesync(home: &Program, arguments: &[&str]) -> Finished {
    let mut command: Command = home.command(binary::path("hivesync"));
    command.args(arguments);
    Finished::of(command, b"")
}

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("one document: {finished:?}"))
}

/// The names in the timeline at the end of the story.
fn timeline(story: &str) -> Vec<&str> {
    let (_, timeline) = story.split_once("\nTimeline\n").expect("a timeline");
    let steps = timeline.lines().take_while(|line| !line.is_empty());
    steps
        .map(|line| {
            let (ms, name) = line.split_once(" ms  ").expect("a time and a name");
            assert!(ms.trim().parse::<f64>().is_ok(), "{line}");
            name
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outside_of_a_repository_the_demo_shows_a_sample_and_a_timeline() {
    let home = Program::new();
    let finished = hivesync(&home, &["demo"]);
    assert_eq!(finished.status, 0, "{finished:?}");
    let first = finished.stdout.lines().next();
    let sample = "Repository: a small sample, since this directory is not in a Git repository";
    assert_eq!(first, Some(sample), "{finished:?}");
    assert_eq!(timeline(&finished.stdout), STEPS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_the_repository_at_an_address() {
    let (home, repository) = (Program::new(), Repository::sample());
    let finished = hivesync(&home, &["demo", "--json", &repository.url()]);
    assert_eq!(finished.status, 0, "{finished:?}");
    let report = document(&finished);
    let steps = report["steps"].as_array().expect("steps");
    let steps: Vec<_> = steps.iter().map(|step| step["name"].as_str().expect("a name")).collect();
    assert_eq!(steps, STEPS);
    assert_eq!((&report["ok"], &report["sync"]["head_commit"]), (&true.into(), &repository.head().into()));
    assert_eq!(report["second_publish"]["uploaded_bytes"], 0);
    assert_eq!(report["refused"].as_array().map(Vec::len), Some(2));
}

/// From a directory inside of the repository; then its server stays until it is told to stop, and leaves nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_shows_the_repository_at_a_path_and_keeps_its_server() {
    in_time(async {
        let (mut home, repository) = (Program::new(), Repository::sample());
        let temporary = home.home().join("tmp");
        fs::create_dir(&temporary).expect("a directory");
        home.set("TMPDIR", &temporary.display().to_string());
        let inside = repository.path().join("app").display().to_string();
        let mut demo = Terminal::start(&home, &binary::path("hivesync"), &["demo", "--keep", &inside]);
        demo.expect("Ctrl-C stops it.");

        let shown = demo.shown();
        let top = repository.path().canonicalize().expect("it is there");
        assert!(shown.contains(&format!("Repository: {}\r\n", top.display())), "{shown}");
        let (_, address) = shown.split_once("It listens on http://").expect("it says where");
        let (address, _) = address.split_once('/').expect("it says so by a URL");
        TcpStream::connect(address).expect("the server is up");

        kill_process(demo.process(), Signal::TERM).expect("it can be told");
        let (shown, status) = demo.end();
        assert_eq!(status, 0, "{shown}");
        assert_eq!(fs::read_dir(&temporary).expect("readable").count(), 0, "it leaves nothing");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_fails_where_there_is_nothing_to_show() {
    let home = Program::new();
    let (plain, unborn) = (home.home().join("plain"), Repository::new());
    fs::create_dir(&plain).expect("a directory");
    for (path, lack) in [
        (plain.as_path(), "is not in a Git repository"),
        (unborn.path(), "has no commit yet"),
        (&home.home().join("nowhere"), "is not a directory"),
    ] {
        let path = path.display().to_string();
        let finished = hivesync(&home, &["demo", &path]);
        let said = format!("hivesync demo: {path} {lack}\n");
        assert_eq!((finished.status, finished.stderr), (FAILED, said), "{}", finished.stdout);
    }
}

/// What the server finds out only when it is at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_fails_with_its_first_step_that_does_not_hold() {
    let home = Program::new();
    let nowhere = format!("file://{}", home.home().join("nowhere").display());
    let finished = hivesync(&home, &["demo", "--json", &nowhere]);
    assert_eq!(finished.status, FAILED, "{finished:?}");
    let report = document(&finished);
    assert_eq!(report["ok"], false);
    let error = report["error"].as_str().expect("an error");
    assert!(error.starts_with("could not sync the repository: the sync ended as Failed"), "{error}");
    assert!(finished.stderr.contains(error), "{finished:?}");
}

/// A server of one's own, on a port that stays the same.
fn dev(home: &Program, address: SocketAddr) -> Terminal {
    let data = home.home().join("data").display().to_string();
    let mut dev = Terminal::start(home, &binary::path("hivesync"), &["dev", "--data-dir", &data]);
    dev.expect("Ctrl-C stops it.");
    let shown = dev.shown();
    assert!(shown.contains(&format!("HiveSync serves http://{address}/")), "{shown}");
    assert!(shown.contains("DEV MODE – NOT SECURE"), "{shown}");
    dev
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_signed_in_stays_so_when_the_dev_server_is_started_again() {
    in_time(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        drop(listener);
        let mut home = Program::new();
        home.set("LISTEN_ADDR", &address.to_string());
        for listener in ["WORKER_LISTEN_ADDR", "ADMIN_LISTEN_ADDR", "METRICS_LISTEN_ADDR"] {
            home.set(listener, "127.0.0.1:0");
        }
        let (shell, repository) = (CommandLine::new(address), Repository::sample());
        let runs: [&[&[&str]]; 2] = [
            &[
                &["login", "ada@example.org", "--register", "--name", "Ada", "--password-stdin"],
                &["project", "create", "site", "--url", &repository.url()],
            ],
            // Its worker has found the server again, too.
            &[&["whoami"], &["repo", "sync", "site"]],
        ];
        for commands in runs {
            let mut server = dev(&home, address);
            for arguments in commands {
                let output = shell.run(arguments, PASSWORD).await;
                assert!(output.status.success(), "{arguments:?}: {}", said(&output));
            }
            server.type_in(CTRL_C);
            let (shown, status) = server.end();
            assert_eq!(status, 0, "{shown}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_schema_is_brought_up_to_date_once() {
    let mut home = Program::new();
    let data = home.home().join("data").display().to_string();
    home.set("HIVESYNC_ENV", "local").set("DATA_DIR", &data);
    for said in ["Applied ", "The schema is up to date.\n"] {
        let finished = hivesync(&home, &["migrate"]);
        assert_eq!(finished.status, 0, "{finished:?}");
        assert!(finished.stdout.starts_with(said), "{finished:?}");
    }
}
