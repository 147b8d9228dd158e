#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use hivesync_proto::v1::{
    self as pb,
    job_service_server::{JobService, JobServiceServer},
    notification_service_server::{NotificationService, NotificationServiceServer},
};
use prost_types::Timestamp;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::JOB_FAILURES_MAX;
use crate::{
    ErrorKind,
    fake_server::{FakeServer, refusal},
    jobs::JobState,
    notifications::{NotificationEvent, StartAt},
};

/// What a stream says, and how it ends.
#[derive(Clone)]
enum Step {
    /// These sequences.
    Batch(&'static [u64]),
    /// A job in this state.
    Job(pb::JobState),
    /// An end with a status.
    Break(Code, &'static str),
    /// Nothing any more, without an end.
    Silence,
}

/// One list of steps for each stream that is opened.
#[derive(Clone, Default)]
struct Streams {
    scripts: Arc<Mutex<VecDeque<Vec<Step>>>>,
    /// Where each stream was asked to start: the sequence, and whether only live.
    starts: Arc<Mutex<Vec<(u64, bool)>>>,
}

impl Streams {
    fn new(scripts: impl IntoIterator<Item = Vec<Step>>) -> Self {
        Self { scripts: Arc::new(Mutex::new(scripts.into_iter().collect())), ..Self::default() }
    }

    fn next<T: Send + 'static>(
        &self,
        message: fn(Step) -> Option<T>,
    ) -> BoxStream<'static, Result<T, Status>> {
        let steps = self.scripts.lock().unwrap().pop_front().unwrap_or_else(|| vec![Step::Silence]);
        stream::iter(steps)
            .then(move |step| async move {
                match step {
                    Step::Break(code, reason) => Err(refusal(code, reason)),
                    Step::Silence => std::future::pending().await,
                    step => Ok(message(step).unwrap()),
                }
            })
            .boxed()
    }
}

fn batch(step: Step) -> Option<pb::StreamNotificationsResponse> {
    let Step::Batch(sequences) = step else { return None };
    let notification = |sequence: &u64| pb::Notification {
        id: Uuid::nil().to_string(),
        sequence: *sequence,
        kind: pb::NotificationKind::PreviewReady as i32,
        created_at: Some(Timestamp::default()),
        ..pb::Notification::default()
    };
    let cursor = sequences.last().copied().unwrap_or(4);
    Some(pb::StreamNotificationsResponse {
        notifications: sequences.iter().map(notification).collect(),
        cursor,
    })
}

fn job(step: Step) -> Option<pb::WatchJobResponse> {
    let Step::Job(state) = step else { return None };
    let job = pb::Job {
        id: Uuid::nil().to_string(),
        state: state as i32,
        created_at: Some(Timestamp::default()),
        ..pb::Job::default()
    };
    Some(pb::WatchJobResponse { job: Some(job) })
}

#[tonic::async_trait]
impl NotificationService for Streams {
    type StreamNotificationsStream = BoxStream<'static, Result<pb::StreamNotificationsResponse, Status>>;

    async fn stream_notifications(
        &self,
        request: Request<pb::StreamNotificationsRequest>,
    ) -> Result<Response<Self::StreamNotificationsStream>, Status> {
        let request = request.into_inner();
        self.starts.lock().unwrap().push((request.after_sequence, request.live_only));
        Ok(Response::new(self.next(batch)))
    }

    async fn list_notifications(
        &self,
        _: Request<pb::ListNotificationsRequest>,
    ) -> Result<Response<pb::ListNotificationsResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn mark_notifications_read(
        &self,
        _: Request<pb::MarkNotificationsReadRequest>,
    ) -> Result<Response<pb::MarkNotificationsReadResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

#[tonic::async_trait]
impl JobService for Streams {
    type WatchJobStream = BoxStream<'static, Result<pb::WatchJobResponse, Status>>;

    async fn watch_job(
        &self,
        _: Request<pb::WatchJobRequest>,
    ) -> Result<Response<Self::WatchJobStream>, Status> {
        Ok(Response::new(self.next(job)))
    }

    async fn get_job(&self, _: Request<pb::GetJobRequest>) -> Result<Response<pb::Job>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn list_jobs(
        &self,
        _: Request<pb::ListJobsRequest>,
    ) -> Result<Response<pb::ListJobsResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn cancel_job(&self, _: Request<pb::CancelJobRequest>) -> Result<Response<pb::Job>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

fn serve(streams: &Streams) -> FakeServer {
    FakeServer::start_with(|routes| {
        routes.add_service(NotificationServiceServer::new(streams.clone()));
        routes.add_service(JobServiceServer::new(streams.clone()));
    })
}

fn short(event: NotificationEvent) -> String {
    match event {
        NotificationEvent::Notification(notification) => notification.sequence.to_string(),
        NotificationEvent::Gap { first, last } => format!("gap {first}-{last}"),
        event => format!("{event:?}").to_lowercase(),
    }
}

async fn events(streams: &Streams, start: StartAt, count: usize) -> Vec<String> {
    let client = serve(streams).signed_in().await;
    client.notifications().follow(start).map_ok(short).take(count).try_collect().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn notifications_go_on_after_a_break_and_none_comes_twice() {
    let lost = || Step::Break(Code::Unavailable, "UNAVAILABLE");
    let streams = Streams::new([
        vec![Step::Batch(&[]), Step::Batch(&[5, 6]), lost()],
        vec![lost()],
        vec![Step::Batch(&[]), Step::Batch(&[6, 7]), Step::Batch(&[10])],
    ]);
    let seen = events(&streams, StartAt::Now, 7).await;
    assert_eq!(seen, ["connected", "5", "6", "reconnected", "7", "gap 8-9", "10"]);
    assert_eq!(*streams.starts.lock().unwrap(), [(0, true), (6, false), (6, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_sign_of_life_is_replaced() {
    let streams = Streams::new([
        vec![Step::Batch(&[]), Step::Batch(&[3]), Step::Silence],
        vec![Step::Batch(&[]), Step::Batch(&[4])],
    ]);
    let seen = events(&streams, StartAt::After(2), 4).await;
    assert_eq!(seen, ["connected", "3", "reconnected", "4"]);
    assert_eq!(*streams.starts.lock().unwrap(), [(2, false), (3, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_ends_the_stream() {
    let streams =
        Streams::new([vec![Step::Batch(&[]), Step::Break(Code::PermissionDenied, "PERMISSION_DENIED")]]);
    let client = serve(&streams).signed_in().await;
    let outcomes: Vec<_> = client.notifications().follow(StartAt::Now).collect().await;
    assert_eq!(outcomes.len(), 2);
    assert_eq!(outcomes[1].as_ref().unwrap_err().kind(), &ErrorKind::Forbidden);
}

#[tokio::test(start_paused = true)]
async fn a_job_is_watched_to_its_end_over_breaks() {
    let streams = Streams::new([
        vec![Step::Job(pb::JobState::Queued), Step::Job(pb::JobState::Running)],
        vec![Step::Job(pb::JobState::Running), Step::Break(Code::Unauthenticated, "UNAUTHENTICATED")],
        vec![Step::Job(pb::JobState::Running), Step::Job(pb::JobState::Succeeded), Step::Silence],
    ]);
    let client = serve(&streams).signed_in().await;
    let states: Vec<_> =
        client.jobs().watch(Uuid::nil()).map_ok(|job| job.state).try_collect().await.unwrap();
    assert_eq!(states, [JobState::Queued, JobState::Running, JobState::Succeeded]);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_cannot_be_seen_is_not_watched_for_ever() {
    let streams = Streams::new(vec![vec![Step::Break(Code::Unavailable, "UNAVAILABLE")]; 100]);
    let client = serve(&streams).signed_in().await;
    let outcomes: Vec<_> = client.jobs().watch(Uuid::nil()).collect().await;
    assert_eq!(outcomes.len(), 1);
    assert_eq!(outcomes[0].as_ref().unwrap_err().kind(), &ErrorKind::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn who_watches_many_jobs_waits_for_a_place() {
    const REFUSALS: usize = JOB_FAILURES_MAX as usize + 1;
    let mut scripts = vec![vec![Step::Break(Code::ResourceExhausted, "RATE_LIMITED")]; REFUSALS];
    scripts.push(vec![Step::Job(pb::JobState::Succeeded)]);
    let client = serve(&Streams::new(scripts)).signed_in().await;
    let states: Vec<_> =
        client.jobs().watch(Uuid::nil()).map_ok(|job| job.state).try_collect().await.unwrap();
    assert_eq!(states, [JobState::Succeeded]);
}

/// A server that is stuck behind its own proxy answers pings for ever.
#[tokio::test(start_paused = true)]
async fn a_watch_goes_on_with_another_stream_when_one_falls_silent() {
    let streams = Streams::new([
        vec![Step::Job(pb::JobState::Running), Step::Silence],
        vec![Step::Job(pb::JobState::Succeeded)],
    ]);
    let client = serve(&streams).signed_in().await;
    let states: Vec<_> =
        client.jobs().watch(Uuid::nil()).map_ok(|job| job.state).try_collect().await.unwrap();
    assert_eq!(states, [JobState::Running, JobState::Succeeded]);
}
