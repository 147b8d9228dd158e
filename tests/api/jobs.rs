//! Jobs, as their users see them.

use futures::StreamExt as _;
use hivesync::{ErrorReason, jobs::JobState, page::PageRequest};
use hivesync_tests::{backend::Backend, on_each_backend, repository::Repository, world::World};
use uuid::Uuid;

on_each_backend!(
    a_job_is_listed_and_watched,
    jobs_of_others_are_not_there,
    waiting_jobs_are_cancelled_at_once
);

async fn a_job_is_listed_and_watched(world: World) {
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    let queued = ada.client.projects().sync(project.id).await.unwrap();
    let states: Vec<JobState> =
        ada.client.jobs().watch(queued.id).map(|job| job.unwrap().state).collect::<Vec<_>>().await;
    assert_eq!(states.last(), Some(&JobState::Succeeded), "{states:?}");
    let listed = ada
        .client
        .jobs()
        .list(ada.me.personal_team_id, Some(project.id), PageRequest::first())
        .await
        .unwrap();
    assert_eq!(listed.items.iter().map(|job| job.id).collect::<Vec<_>>(), [queued.id]);
    let job = ada.client.jobs().get(queued.id).await.unwrap();
    assert_eq!((job.state, job.attempts), (JobState::Succeeded, 1));
    assert!(job.started_at.is_some() && job.finished_at.is_some());
}

async fn jobs_of_others_are_not_there(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    let job = ada.client.projects().sync(project.id).await.unwrap();
    for id in [job.id, Uuid::now_v7()] {
        let jobs = eve.client.jobs();
        let watched = Box::pin(jobs.watch(id)).next().await.unwrap();
        for outcome in [jobs.get(id).await, jobs.cancel(id).await, watched] {
            assert_eq!(outcome.unwrap_err().reason(), Some(ErrorReason::NotFound));
        }
    }
}

async fn waiting_jobs_are_cancelled_at_once(world: World) {
    let backend = world.backend();
    drop(world);
    let world = World::without_worker(backend, &[]).await;
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    let job = ada.client.projects().sync(project.id).await.unwrap();
    assert_eq!(job.state, JobState::Queued);
    // While one waits, another request gets the same.
    assert_eq!(ada.client.projects().sync(project.id).await.unwrap().id, job.id);
    assert_eq!(ada.client.jobs().cancel(job.id).await.unwrap().state, JobState::Cancelled);
    // What has ended stays as it ended.
    assert_eq!(
        ada.client.jobs().cancel(job.id).await.map(|job| job.state).unwrap_or(JobState::Cancelled),
        JobState::Cancelled
    );
    assert_eq!(ada.client.jobs().get(job.id).await.unwrap().state, JobState::Cancelled);
}

/// A queue without anybody to take from it keeps its jobs until somebody comes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_wait_for_a_worker() {
    let mut world = World::without_worker(Backend::Embedded, &[]).await;
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    let job = ada.client.projects().sync(project.id).await.unwrap();
    world.start_worker().await;
    assert_eq!(ada.end_of(job.id).await.state, JobState::Succeeded);
}
