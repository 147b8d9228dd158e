//! Streams that go on when their connection does not.

#[cfg(test)]
mod tests;

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream, stream::TryReadyChunksError};
use hivesync_proto::v1 as pb;
use tokio::{
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    api::{
        jobs::{Job, JobProgress, JobState, Jobs},
        notifications::{Notification, NotificationEvent, StartAt},
        rpc,
    },
    core::Core,
    error::{Error, ErrorKind, Result},
    task,
    transport::{answers::Answers, retry},
};

/// Events that wait for their reader. More are left with the server.
const BUFFER: usize = 64;
/// The server gives a sign of life every 20 s; without one for this long the stream is taken for dead.
const LIVENESS: Duration = Duration::from_secs(50);
/// How long one stream is asked to live; then the next follows on.
const NOTIFICATIONS_LIFE: Duration = Duration::from_secs(3_600);
const JOB_LIFE: Duration = Duration::from_secs(900);
/// Streams in a row that failed before they said anything, until the watcher of a job gives up.
const JOB_FAILURES_MAX: u32 = 12;
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(60);

/// Counts failures in a row and waits between them.
struct Backoff {
    failures: u32,
    failures_max: u32,
}

impl Backoff {
    fn new(failures_max: u32) -> Self {
        Self { failures: 0, failures_max }
    }

    fn reset(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next try, or gives the error back if another try is pointless.
    async fn pause(&mut self, error: Error) -> Result<()> {
        // Whoever watches many jobs waits for a place, and has not failed.
        if !matches!(error.kind(), ErrorKind::RateLimited { .. }) {
            self.failures = self.failures.saturating_add(1);
        }
        let transient = error.is_transient() || matches!(error.kind(), ErrorKind::Cancelled);
        if self.failures > self.failures_max || !transient {
            return Err(error);
        }
        let mut pause = retry::jittered(BACKOFF_FIRST, self.failures.saturating_sub(1), BACKOFF_MAX);
        if let ErrorKind::RateLimited { retry_after } = error.kind() {
            pause = pause.max((*retry_after).min(BACKOFF_MAX));
        }
        sleep(pause).await;
        Ok(())
    }
}

/// Why a stream that stood has ended. That its access token is refused now only means that the next
/// stream needs another one.
fn broken_off(status: &Status) -> Error {
    let error = Error::from_status(status);
    if retry::refuses_token(&error) { Error::new(ErrorKind::Offline) } else { error }
}

impl Jobs {
    /// The job as it stands, then each change, until it has ended. A lost connection is made again.
    ///
    /// # Errors
    ///
    /// An error is the last item of the stream.
    pub fn watch(&self, job_id: Uuid) -> impl Stream<Item = Result<Job>> + Send + use<> {
        let (core, backoff) = (self.0.clone(), Backoff::new(JOB_FAILURES_MAX));
        let watcher = JobWatcher { core, job_id, stream: None, backoff, last: None };
        stream::unfold(Some(watcher), |watcher| async move {
            let mut watcher = watcher?;
            match watcher.next().await {
                Ok(job) if job.state.is_ended() => Some((Ok(job), None)),
                Ok(job) => Some((Ok(job), Some(watcher))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

struct JobWatcher {
    core: Core,
    job_id: Uuid,
    stream: Option<Answers<pb::WatchJobResponse>>,
    backoff: Backoff,
    last: Option<Shown>,
}

/// What of a job can change, to leave out a state that was already shown.
type Shown = (JobState, u32, Option<JobProgress>);

impl JobWatcher {
    async fn next(&mut self) -> Result<Job> {
        loop {
            match self.receive().await {
                Ok(Some(job)) => {
                    self.backoff.reset();
                    let shown = (job.state, job.attempts, job.progress);
                    if self.last.replace(shown) != Some(shown) {
                        return Ok(job);
                    }
                }
                Ok(None) => {
                    self.stream = None;
                    self.backoff.pause(Error::new(ErrorKind::Offline)).await?;
                }
                Err(error) => {
                    self.stream = None;
                    self.backoff.pause(error).await?;
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Option<Job>> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let request = pb::WatchJobRequest { job_id: self.job_id.to_string() };
                self.stream.insert(self.core.server_streaming::<rpc::WatchJob>(request, JOB_LIFE).await?)
            }
        };
        let message = stream.message().await.map_err(|status| broken_off(&status))?;
        message.and_then(|response| response.job).map(Job::from_wire).transpose()
    }
}

/// The user's notifications from `start` on.
pub(crate) fn notifications(core: Core, start: StartAt) -> Notifications {
    let (events, receiver) = mpsc::channel(BUFFER);
    let follower = Follower { core, events, start, cursor: None, opened: false };
    Notifications { receiver, task: task::spawn(follower.run()) }
}

/// A live stream of notifications. Dropping it ends it.
pub struct Notifications {
    receiver: mpsc::Receiver<Result<NotificationEvent>>,
    task: JoinHandle<()>,
}

impl Notifications {
    /// The events, as many at a time as wait for their reader: at least one, at most `size_max`.
    pub fn batches(
        self,
        size_max: usize,
    ) -> impl Stream<Item = Result<Vec<NotificationEvent>>> + Send + use<> {
        self.try_ready_chunks(size_max.max(1)).flat_map(|batch| match batch {
            Ok(events) => stream::iter(vec![Ok(events)]),
            Err(TryReadyChunksError(events, error)) => {
                let before = (!events.is_empty()).then_some(Ok(events));
                stream::iter(before.into_iter().chain([Err(error)]).collect::<Vec<_>>())
            }
        })
    }
}

impl Stream for Notifications {
    type Item = Result<NotificationEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.receiver.poll_recv(context)
    }
}

impl Drop for Notifications {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads one stream after the other into the buffer.
struct Follower {
    core: Core,
    events: mpsc::Sender<Result<NotificationEvent>>,
    start: StartAt,
    /// The last sequence that was delivered, or that the stream began after.
    cursor: Option<u64>,
    opened: bool,
}

/// The reader of the events is gone.
struct Gone;

impl Follower {
    async fn run(mut self) {
        // A stream that is to tell everything waits for as long as its reader does.
        let mut backoff = Backoff::new(u32::MAX);
        loop {
            let opened_at = Instant::now();
            let outcome = match self.follow().await {
                Ok(outcome) => outcome,
                Err(Gone) => return,
            };
            if opened_at.elapsed() > LIVENESS {
                backoff.reset();
            }
            let error = outcome.err().unwrap_or_else(|| Error::new(ErrorKind::Offline));
            if let Err(error) = backoff.pause(error).await {
                // There is nobody to tell if the reader has gone meanwhile.
                let _ = self.events.send(Err(error)).await;
                return;
            }
        }
    }

    /// One stream, until it ends.
    async fn follow(&mut self) -> Result<Result<()>, Gone> {
        let mut stream = match self.open().await {
            Ok(stream) => stream,
            Err(error) => return Ok(Err(error)),
        };
        let mut greeted = false;
        loop {
            let batch = match timeout(LIVENESS, stream.message()).await {
                Ok(Ok(Some(batch))) => batch,
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Err(status)) => return Ok(Err(broken_off(&status))),
                Err(_) => return Ok(Err(Error::new(ErrorKind::Timeout))),
            };
            if !greeted {
                greeted = true;
                self.greet().await?;
            }
            if let Err(error) = self.deliver(batch).await? {
                return Ok(Err(error));
            }
        }
    }

    async fn open(&self) -> Result<Answers<pb::StreamNotificationsResponse>> {
        let (after_sequence, live_only) = match (self.cursor, self.start) {
            (Some(cursor), _) => (cursor, false),
            (None, StartAt::After(sequence)) => (sequence, false),
            (None, StartAt::Now) => (0, true),
        };
        let request = pb::StreamNotificationsRequest { after_sequence, live_only };
        self.core.server_streaming::<rpc::StreamNotifications>(request, NOTIFICATIONS_LIFE).await
    }

    async fn greet(&mut self) -> Result<(), Gone> {
        let event = if self.opened { NotificationEvent::Reconnected } else { NotificationEvent::Connected };
        self.opened = true;
        self.send(event).await
    }

    async fn deliver(&mut self, batch: pb::StreamNotificationsResponse) -> Result<Result<()>, Gone> {
        if self.cursor.is_none() {
            self.cursor = Some(match self.start {
                StartAt::After(sequence) => sequence,
                // Without a notification the cursor is where the stream begins; with some, just before.
                StartAt::Now => {
                    batch.notifications.first().map_or(batch.cursor, |first| first.sequence.saturating_sub(1))
                }
            });
        }
        for notification in batch.notifications {
            let delivered = self.cursor.unwrap_or_default();
            if notification.sequence <= delivered {
                continue;
            }
            if notification.sequence > delivered + 1 {
                let gap = NotificationEvent::Gap { first: delivered + 1, last: notification.sequence - 1 };
                self.send(gap).await?;
            }
            self.cursor = Some(notification.sequence);
            match Notification::from_wire(notification) {
                Ok(notification) => self.send(NotificationEvent::Notification(notification)).await?,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(()))
    }

    async fn send(&self, event: NotificationEvent) -> Result<(), Gone> {
        self.events.send(Ok(event)).await.map_err(|_| Gone)
    }
}
