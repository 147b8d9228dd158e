//! The story of `scenario.json`, told by the client of each language against the real server, over TLS.

use std::{collections::BTreeMap, fs, process::Stdio, time::Duration};

use hivesync_tests::{
    actor::Actor, backend::Backend, caller::PASSWORD, process::Installation, repository::Repository,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{ChildStdin, Command},
    time::timeout,
};

const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/scenario.json");
/// How long a driver may take for the whole story.
const STORY_MAX: Duration = Duration::from_secs(300);

/// Runs a driver, and demands that each of its steps comes out as the story says.
pub async fn hold(driver: Command) {
    timeout(STORY_MAX, tell(driver)).await.expect("the story ends in time");
}

async fn tell(mut driver: Command) {
    let story: Value = serde_json::from_slice(&fs::read(SCENARIO).unwrap()).unwrap();
    let mut installation = Installation::start_over_tls(Backend::Embedded).await;
    let ada =
        Actor::join(installation.client("harness", hivesync::auth::Platform::Desktop).await, "ada").await;
    let (repository, draft, work) =
        (Repository::sample(), Repository::sample(), tempfile::tempdir().unwrap());
    draft.write("draft.html", b"<!doctype html><p>Not yet.");
    let root = work.path().join("root.pem");
    fs::write(&root, installation.root_certificates().expect("TLS")).unwrap();
    let downloads = work.path().join("downloads");
    fs::create_dir(&downloads).unwrap();

    let mut driver = driver
        .env("HIVESYNC_SCENARIO", SCENARIO)
        .env("HIVESYNC_SERVER_URL", installation.url())
        .env("HIVESYNC_ROOT_CERTIFICATES", root)
        .env("HIVESYNC_REPOSITORY_URL", repository.url())
        .env("HIVESYNC_BUNDLE", repository.path())
        .env("HIVESYNC_DRAFT", draft.path())
        .env("HIVESYNC_DOWNLOADS", downloads)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the driver runs");
    let mut answers = driver.stdin.take().expect("piped");
    answer(&mut answers, json!({ "email": ada.email, "password": PASSWORD })).await;

    let mut lines = BufReader::new(driver.stdout.take().expect("piped")).lines();
    let mut outcomes = BTreeMap::new();
    while let Some(line) = lines.next_line().await.expect("the driver prints UTF-8") {
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("not JSON: {line}"));
        match (said["ask"].as_str(), said["step"].as_u64()) {
            (Some(what), _) => {
                oblige(&mut installation, what).await;
                answer(&mut answers, json!({ "done": what })).await;
            }
            (None, Some(step)) => drop(outcomes.insert(step, said["outcome"].clone())),
            _ => panic!("neither a question nor a step: {line}"),
        }
    }
    let status = driver.wait().await.expect("the driver ends");
    let expected = (1..).zip(story["steps"].as_array().expect("steps"));
    let differences: Vec<String> = expected
        .filter(|(number, step)| outcomes.get(number) != Some(&step["expect"]))
        .map(|(number, step)| match outcomes.get(&number) {
            Some(outcome) => format!("step {number}: {step}\n    {outcome}"),
            None => format!("step {number}: {step}\n    the driver did not come to it"),
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(status.success(), "the driver ended with {status}");
}

async fn answer(answers: &mut ChildStdin, answer: Value) {
    answers.write_all(format!("{answer}\n").as_bytes()).await.expect("the driver reads");
}

/// Does what a driver asks for.
async fn oblige(installation: &mut Installation, what: &str) {
    match what {
        "kill_server" => {
            installation.kill_server().await;
            installation.start_server().await;
        }
        "stop_worker" => installation.kill_worker().await,
        "start_worker" => installation.start_worker().await,
        _ => panic!("what is {what}?"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_client_tells_the_story() {
    hold(Command::new(env!("CARGO_BIN_EXE_scenario-driver"))).await;
}
