//! Secrets, code and addresses reach no log, no metric and no row, whatever goes right or wrong; nor what the client
//! library traces, nor what `hsync` says.

use std::{
    fs, io,
    sync::{Arc, Mutex, PoisonError},
};

use hivesync::{Secret, auth::Platform, previews::PreviewToken};
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::{Caller, PASSWORD},
    command_line::CommandLine,
    process::Installation,
    repository::Repository,
    world::WORKER_SECRET,
};

const CONTENT: &str = "canary-of-somebodys-source-code";
const PATH: &str = "canary-directory/canary-file.js";
const MISTYPED: &str = "Canary-Mistyped-9-Password";

/// What must be found nowhere, by name.
type Canaries = Vec<(&'static str, String)>;

#[tokio::test]
async fn no_sink_holds_a_secret() {
    let installation = Installation::start(Backend::Embedded).await;
    let repository = Repository::sample();
    repository.write(PATH, CONTENT.as_bytes());
    repository.commit("canary-commit-message");

    let traced = Traced::default();
    let writer = traced.clone();
    let trace =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone());
    // The test's own runtime has no other thread.
    let tracing = tracing::subscriber::set_default(trace.finish());
    let mut canaries = drive(&installation, &repository).await;
    drop(tracing);
    let said = talk(&installation, named(&canaries, "a preview token")).await;
    let directory = repository.path().display().to_string();
    let anywhere: Canaries = vec![
        ("the content of a file", CONTENT.to_owned()),
        ("the path of a file", "canary-file".to_owned()),
        ("a commit message", "canary-commit-message".to_owned()),
        ("the address of a repository", directory),
    ];
    for name in ["field_key", "jwt_secret", "preview_key"] {
        let file = installation.data_dir().join("secrets").join(name);
        canaries.push(("a key of the server", fs::read_to_string(file).expect("generated")));
    }
    // Rows hold addresses and paths, which are their purpose, but none of these.
    let rows = [read(&installation, "hivesync.db"), read(&installation, "hivesync.db-wal")].concat();
    search("the database", &rows, &canaries);

    // What is secret to everybody. `hsync` prints names and paths to their owner.
    let is_for_its_owner = |name: &str| name == "an e-mail address";
    let mut secrets: Canaries =
        canaries.iter().filter(|(name, _)| !is_for_its_owner(name)).cloned().collect();
    secrets.push(("the beginning of any access token", "eyJ".to_owned()));
    search("what hsync says", &said, &secrets);

    canaries.extend(anywhere);
    let traced = traced.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(String::from_utf8_lossy(&traced).contains("hivesync"), "the library has traced nothing");
    search("what the library traces", &traced, &canaries);
    for process in ["hivesync", "hivesync-worker"] {
        let log = installation.log_of(process);
        assert!(log.contains("correlation_id"), "{process} has logged nothing");
        search(process, log.as_bytes(), &canaries);
    }
    search("the metrics", installation.metrics().await.as_bytes(), &canaries);
}

/// Goes the whole path, and wrong turns on it; returns the secrets that were made on the way.
async fn drive(installation: &Installation, repository: &Repository) -> Canaries {
    let ada = installation.user("ada").await;
    let email = ada.email.clone();
    let wrong = installation.client("thief", Platform::Desktop).await;
    wrong.auth().login(&email, &Secret::new(MISTYPED)).await.expect_err("the password is wrong");

    let project = ada.project("site", repository).await;
    ada.sync(project.id).await;
    let published = ada.publish(project.id, &[(PATH, CONTENT.as_bytes())]).await.expect("published");
    let phone = Actor::sign_in(installation.client("phone", Platform::Ios).await, "ada").await;
    let opened = phone.client.previews().open(&published.token).await.expect("opened");
    assert_eq!(opened.read(PATH).await.expect("read").as_ref(), CONTENT.as_bytes());
    let broken = PreviewToken::new(&published.token.expose()[..100]);
    phone.client.previews().open(&broken).await.err().expect("a broken token opens nothing");

    let eve = Caller::join(installation.wire().await, "eve").await;
    vec![
        ("a password", PASSWORD.to_owned()),
        ("a mistyped password", MISTYPED.to_owned()),
        ("an e-mail address", email),
        ("a preview token", published.token.expose().to_owned()),
        ("an access token", eve.tokens.access_token.clone()),
        ("a refresh token", eve.tokens.refresh_token.clone()),
        ("the workers' secret", WORKER_SECRET.to_owned()),
    ]
}

/// What is traced, by whoever traces.
#[derive(Clone, Default)]
struct Traced(Arc<Mutex<Vec<u8>>>);

impl io::Write for Traced {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Goes right and wrong ways with `hsync`, and has it say all that it can; returns what it said.
async fn talk(installation: &Installation, token: &str) -> Vec<u8> {
    let shell = CommandLine::new(installation.public());
    let broken = &token[..100];
    let mut said = Vec::new();
    for (arguments, input, succeeds) in [
        (&["login", "ada@example.com", "--password-stdin"][..], MISTYPED, false),
        (&["login", "ada@example.com", "--password-stdin"], PASSWORD, true),
        (&["whoami", "--json"], "", true),
        (&["preview", "open", "broken"], broken, false),
        (&["preview", "open", "whole"], token, true),
        (&["logout"], "", true),
    ] {
        let output = shell.run(&[arguments, &["--verbose"]].concat(), input).await;
        assert_eq!(output.status.success(), succeeds, "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?} says nothing beside its output");
        said.extend([output.stdout, output.stderr].concat());
    }
    said
}

fn named<'a>(canaries: &'a Canaries, wanted: &str) -> &'a str {
    canaries.iter().find_map(|(name, canary)| (*name == wanted).then_some(canary)).expect("it was made")
}

fn read(installation: &Installation, name: &str) -> Vec<u8> {
    fs::read(installation.data_dir().join(name)).unwrap_or_default()
}

fn search(sink: &str, text: &[u8], canaries: &Canaries) {
    assert!(!text.is_empty(), "{sink} is empty");
    for (name, canary) in canaries {
        let canary = canary.trim().as_bytes();
        let found = text.windows(canary.len()).any(|window| window == canary);
        assert!(!found, "{sink} holds {name}");
    }
}
