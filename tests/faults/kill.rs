//! SIGKILL at any step of the path, and a start on what is left.

use std::{env, time::Duration};

use hivesync::{
    auth::Platform,
    jobs::JobState,
    notifications::NotificationKind,
    page::PageRequest,
    projects::{FileQuery, MirrorState},
};
use hivesync_tests::{actor::Actor, backend::Backend, process::Installation, repository::Repository};

const FILES: [(&str, &[u8]); 3] = [("a/b.js", b"let b;"), ("index.html", b"<!doctype html>"), ("zero", b"")];

/// Runs `step` while the server is killed `after` this time, and started again.
async fn through_a_kill<T>(
    installation: &mut Installation,
    after: Duration,
    step: impl Future<Output = T>,
) -> T {
    let kill = async {
        tokio::time::sleep(after).await;
        installation.kill_server().await;
    };
    let (outcome, ()) = tokio::join!(step, kill);
    outcome
}

/// The whole path, with the server killed so long after each step has begun.
async fn path_survives(backend: Backend, after: Duration) {
    let mut installation = Installation::start(backend).await;
    let repository = Repository::sample();
    let ada = installation.user("ada").await;
    let phone = Actor::sign_in(installation.client("phone", Platform::Ios).await, "ada").await;
    installation.kill_server().await;

    let projects = ada.client.projects();
    let url = repository.url();
    let create = projects.create(ada.me.personal_team_id, "site", Some(&url));
    let project = through_a_kill(&mut installation, after, create).await.expect("a repeat is harmless");
    let job = through_a_kill(&mut installation, after, ada.sync(project.id)).await;
    assert_eq!(job.state, JobState::Succeeded, "{job:?}");

    let synced = projects.get(project.id).await.unwrap();
    assert_eq!(synced.mirror_state, MirrorState::Ready);
    assert_eq!(synced.head_commit.as_deref(), Some(repository.head().as_str()));
    let file = projects.read_file(project.id, "index.html", FileQuery::default()).await.unwrap();
    assert!(file.read_all(1024).await.unwrap().starts_with(b"<!doctype"));
    let listed = projects.list(ada.me.personal_team_id, PageRequest::first()).await.unwrap().items;
    assert_eq!(listed.len(), 1, "created once, however often it was asked for");

    let publish = ada.publish(project.id, &FILES);
    let published = through_a_kill(&mut installation, after, publish).await.expect("an upload goes on");
    let previews = phone.client.previews();
    let open = previews.open(&published.token);
    let opened = through_a_kill(&mut installation, after, open).await.expect("opening is repeatable");
    for (path, bytes) in FILES {
        assert_eq!(opened.read(path).await.unwrap().as_ref(), bytes, "{path}");
    }
    told_once(&ada).await;
}

/// Nothing was told twice and nothing was lost between.
async fn told_once(ada: &Actor) {
    ada.told(NotificationKind::PreviewReady, None).await;
    let page = ada.client.notifications().list(false, PageRequest::first()).await.unwrap().page;
    let mut sequences: Vec<u64> = page.items.iter().map(|told| told.sequence).collect();
    sequences.reverse();
    assert_eq!(sequences, (1..=u64::try_from(sequences.len()).unwrap()).collect::<Vec<_>>());
    for kind in [NotificationKind::RepositorySynced, NotificationKind::PreviewReady] {
        assert_eq!(page.items.iter().filter(|told| told.kind == kind).count(), 1, "{kind:?}");
    }
}

/// Moments within a step at which the server dies.
fn moments() -> &'static [u64] {
    let all: &[u64] = &[0, 3, 10, 30, 80, 200];
    if env::var_os("HIVESYNC_TEST_QUICK").is_some() { &all[2..3] } else { all }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_of_the_server_on_embedded_stores() {
    for &millis in moments() {
        path_survives(Backend::Embedded, Duration::from_millis(millis)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_of_the_server_on_production_stores() {
    if Backend::Production.available() {
        for &millis in moments() {
            path_survives(Backend::Production, Duration::from_millis(millis)).await;
        }
    }
}

/// A worker that dies in the middle leaves its job to the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_survives_kills_of_the_worker() {
    let mut installation = Installation::start(Backend::Embedded).await;
    let repository = Repository::sample();
    let ada = installation.user("ada").await;
    let project = ada.project("site", &repository).await;
    for &millis in moments() {
        let job = ada.client.projects().sync(project.id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(millis)).await;
        installation.kill_worker();
        let job = ada.end_of(job.id).await;
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
    }
    let file = ada.client.projects().read_file(project.id, "index.html", FileQuery::default()).await.unwrap();
    assert!(file.read_all(1024).await.unwrap().starts_with(b"<!doctype"));
}
