//! Secrets, code and addresses reach no log, no metric and no row, whatever goes right or wrong.

use std::fs;

use hivesync::{Secret, auth::Platform, previews::PreviewToken};
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::{Caller, PASSWORD},
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

    let mut canaries = drive(&installation, &repository).await;
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

    canaries.extend(anywhere);
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
