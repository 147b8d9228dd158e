//! Runs leased jobs: as many at a time as there are slots, each until it ends, is stopped, or outlives its
//! lease.

use std::{
    collections::HashMap,
    mem,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{
        self, CancelAck, Credits, ErrorReason, ExecDone, FailureClass, HeldLease, JobKind, JobProgress,
        Progress, WorkerMessage, worker_message::Kind,
    },
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span};

use crate::{
    kinds::{self, JobContext, JobError, Outcome, ProgressSink, kind_of},
    lease::{Action, Event, Lease, LeaseToken},
    report::Reporter,
    sandbox::stop::{self, StopSender, StopSignal},
    task,
};

/// How often leases are looked at for expiry.
const TICK_EVERY: Duration = Duration::from_millis(100);

/// How often a job's progress is passed on.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// The most leases that are held, reports on their way included; as many as a heartbeat can name.
const HELD_MAX: usize = 256;

/// What a job that overran its time gets between the signals.
const TIME_LIMIT_GRACE: Duration = Duration::from_secs(2);

/// What every job of this worker is given.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) data_dir: PathBuf,
    pub(crate) tmp_dir: PathBuf,
    pub(crate) url_policy: UrlPolicy,
    pub(crate) http: reqwest::Client,
    pub(crate) kinds: Vec<JobKind>,
    pub(crate) slots: u32,
}

/// Runs jobs. A clone is the same executor.
#[derive(Clone, Debug)]
pub(crate) struct Executor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    surroundings: Surroundings,
    reporter: Reporter,
    state: Mutex<State>,
    /// There is something to say on the stream.
    news: Notify,
    /// How many leases are held.
    held: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<LeaseToken, Job>,
    is_draining: bool,
    credits_said: Option<u32>,
}

#[derive(Debug)]
struct Job {
    lease: Lease,
    stop: StopSender,
    /// Ends the report of a job that somebody else has now.
    abandoned: CancellationToken,
    progress: Option<JobProgress>,
    progress_said_at: Option<Instant>,
    /// To be said on the stream.
    has_ended: bool,
    was_cancelled: bool,
}

impl Executor {
    pub(crate) fn new(surroundings: Surroundings, reporter: Reporter) -> Self {
        Self(Arc::new(Shared {
            surroundings,
            reporter,
            state: Mutex::default(),
            news: Notify::new(),
            held: watch::Sender::new(0),
        }))
    }

    /// Starts a leased job, and says whether it did.
    pub(crate) fn accept(&self, mut lease: v1::Lease, ttl: Duration) -> bool {
        let Some(token) = LeaseToken::from_wire(&lease.lease_token) else { return false };
        let Some(work) = lease.work.take() else { return false };
        let kind = kind_of(&work);
        let Some(stop) = self.take_slot(token, kind, ttl) else { return false };
        let context = self.context_of(&lease, token, stop);
        let span = info_span!(
            "job",
            job_id = %lease.job_id,
            correlation_id = %lease.correlation_id,
            kind = kind.as_str_name(),
            attempt = lease.attempt,
            lease_epoch = lease.lease_epoch,
        );
        let executor = self.clone();
        let job = async move {
            let ended = executor.execute(token, context, work).await;
            executor.report(&lease.job_id, token, ended).await;
            executor.forget(token);
        };
        task::spawn(job.instrument(span));
        true
    }

    /// Takes a slot for a job, if there is one and the job is welcome; gives what tells the job to stop.
    fn take_slot(&self, token: LeaseToken, kind: JobKind, ttl: Duration) -> Option<StopSignal> {
        let mut state = self.state();
        let is_welcome = !state.is_draining
            && self.free_slots(&state) > 0
            && self.0.surroundings.kinds.contains(&kind)
            && !state.jobs.contains_key(&token);
        if !is_welcome {
            return None;
        }
        let (sender, stop) = stop::channel();
        state.jobs.insert(token, Job::new(Lease::new(ttl, Instant::now()), sender));
        self.0.held.send_replace(state.jobs.len());
        Some(stop)
    }

    fn context_of(&self, lease: &v1::Lease, token: LeaseToken, stop: StopSignal) -> JobContext {
        let surroundings = &self.0.surroundings;
        let executor = self.clone();
        JobContext {
            data_dir: surroundings.data_dir.clone(),
            tmp_dir: surroundings.tmp_dir.clone(),
            url_policy: surroundings.url_policy.clone(),
            lease_epoch: lease.lease_epoch,
            time_limit: lease.time_limit.and_then(|limit| limit.try_into().ok()).unwrap_or_default(),
            stop,
            progress: ProgressSink::new(move |progress| executor.take_progress(token, progress)),
            http: surroundings.http.clone(),
        }
    }

    /// Takes note of what the server says about a lease.
    pub(crate) fn hear(&self, token: LeaseToken, event: Event) {
        self.step(&mut self.state(), token, event);
    }

    /// The leases held, for a heartbeat or for a new stream.
    pub(crate) fn held(&self) -> Vec<HeldLease> {
        let state = self.state();
        let held = state.jobs.iter().filter(|(_, job)| !job.lease.is_over());
        held.map(|(token, _)| HeldLease { lease_token: token.to_wire(), rss_bytes: 0 }).collect()
    }

    /// Accepts no further job.
    pub(crate) fn start_draining(&self) {
        self.state().is_draining = true;
        self.0.news.notify_one();
    }

    /// Whether it accepts no further job.
    pub(crate) fn is_draining(&self) -> bool {
        self.state().is_draining
    }

    /// Stops what still runs, to be given back.
    pub(crate) fn end_draining(&self) {
        let mut state = self.state();
        let tokens: Vec<LeaseToken> = state.jobs.keys().copied().collect();
        for token in tokens {
            self.step(&mut state, token, Event::DrainEnded);
        }
    }

    /// Waits until no lease is held.
    pub(crate) async fn idle(&self) {
        // The sender lives as long as this executor.
        let _ = self.0.held.subscribe().wait_for(|held| *held == 0).await;
    }

    /// Waits until there is something to say on the stream.
    pub(crate) async fn news(&self) {
        self.0.news.notified().await;
    }

    /// What is to be said on the stream. After a reconnect, credits are said again.
    pub(crate) fn take_messages(&self, is_new_stream: bool) -> Vec<WorkerMessage> {
        let now = Instant::now();
        let mut state = self.state();
        let mut kinds = Vec::new();
        for (token, job) in &mut state.jobs {
            job.take_messages(*token, now, &mut kinds);
        }
        let free_slots = self.free_slots(&state);
        if is_new_stream || state.credits_said != Some(free_slots) {
            state.credits_said = Some(free_slots);
            kinds.push(Kind::Credits(Credits { free_slots }));
        }
        kinds.into_iter().map(|kind| WorkerMessage { kind: Some(kind) }).collect()
    }

    /// Ends jobs whose leases run out, and sees that progress is passed on; runs beside the streams, for
    /// ever.
    pub(crate) async fn watch_leases(&self) {
        let mut ticks = interval(TICK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let mut state = self.state();
            let tokens: Vec<LeaseToken> = state.jobs.keys().copied().collect();
            for token in tokens {
                self.step(&mut state, token, Event::Tick);
            }
            if state.jobs.values().any(|job| job.is_progress_due(now)) {
                self.0.news.notify_one();
            }
        }
    }

    /// Runs a job to its end, within its time. A job that panics has failed like any other.
    async fn execute(
        &self,
        token: LeaseToken,
        context: JobContext,
        work: v1::lease::Work,
    ) -> Result<Outcome, JobError> {
        tracing::info!(event = "job_started", "a job starts");
        let time_limit = context.time_limit;
        let mut running = task::spawn(kinds::run(context, work));
        let (joined, is_late) = tokio::select! {
            joined = &mut running => (joined, false),
            () = sleep(time_limit) => {
                if let Some(job) = self.state().jobs.get(&token) {
                    job.stop.ask(TIME_LIMIT_GRACE);
                }
                (running.await, true)
            }
        };
        let ended = joined.unwrap_or_else(|_| {
            Err(JobError::failed(FailureClass::Infra, ErrorReason::Internal, "the job's task panicked"))
        });
        if is_late && ended == Err(JobError::Stopped) {
            let detail = "the job ran for longer than it may";
            return Err(JobError::failed(FailureClass::AppError, ErrorReason::DeadlineExceeded, detail));
        }
        ended
    }

    async fn report(&self, job_id: &str, token: LeaseToken, ended: Result<Outcome, JobError>) {
        let outcome = match ended {
            Ok(outcome) => Some(outcome),
            Err(JobError::Failed(failure)) => {
                tracing::warn!(
                    event = "job_failed",
                    class = failure.class().as_str_name(),
                    reason = failure.reason().as_str_name(),
                    detail = failure.detail,
                    "a job failed"
                );
                Some(Outcome::Failure(failure))
            }
            Err(JobError::Stopped) => None,
            Err(JobError::Superseded) => {
                return tracing::info!(event = "job_superseded", "the work is dropped");
            }
        };
        let (action, abandoned) = {
            let mut state = self.state();
            let action = self.step(&mut state, token, Event::Ended { has_result: outcome.is_some() });
            let Some(job) = state.jobs.get_mut(&token) else { return };
            job.has_ended = true;
            job.was_cancelled = action == Some(Action::CommitCancelled);
            (action, job.abandoned.clone())
        };
        self.0.news.notify_one();
        let reporter = &self.0.reporter;
        let reported = async {
            match (action, outcome) {
                (Some(Action::Commit), Some(outcome)) => reporter.commit(job_id, token, outcome).await,
                (Some(Action::CommitCancelled), _) => {
                    let failure =
                        kinds::failure(FailureClass::Cancelled, ErrorReason::Cancelled, "stopped as asked");
                    reporter.commit(job_id, token, Outcome::Failure(failure)).await;
                }
                (Some(Action::Release), _) => reporter.release(job_id, token).await,
                _ => tracing::info!(event = "job_dropped", "the lease is lost; the work is dropped"),
            }
        };
        tokio::select! {
            () = abandoned.cancelled() => tracing::info!(event = "job_dropped", "the lease is lost"),
            () = reported => {}
        }
    }

    fn forget(&self, token: LeaseToken) {
        let mut state = self.state();
        state.jobs.remove(&token);
        self.0.held.send_replace(state.jobs.len());
        self.0.news.notify_one();
    }

    fn take_progress(&self, token: LeaseToken, progress: JobProgress) {
        let mut state = self.state();
        let Some(job) = state.jobs.get_mut(&token) else { return };
        job.progress = Some(progress);
        if job.is_progress_due(Instant::now()) {
            self.0.news.notify_one();
        }
    }

    fn step(&self, state: &mut State, token: LeaseToken, event: Event) -> Option<Action> {
        let job = state.jobs.get_mut(&token)?;
        let action = job.lease.step(event, Instant::now())?;
        match action {
            Action::Stop { grace } => job.stop.ask(grace),
            Action::Drop => job.abandoned.cancel(),
            Action::Commit | Action::CommitCancelled | Action::Release => {}
        }
        Some(action)
    }

    fn free_slots(&self, state: &State) -> u32 {
        if state.is_draining || state.jobs.len() >= HELD_MAX {
            return 0;
        }
        let executing = state.jobs.values().filter(|job| job.lease.is_executing()).count();
        self.0.surroundings.slots.saturating_sub(u32::try_from(executing).unwrap_or(u32::MAX))
    }

    /// No code panics while it holds the lock, so a poisoned one is as good as any.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    fn new(lease: Lease, stop: StopSender) -> Self {
        Self {
            lease,
            stop,
            abandoned: CancellationToken::new(),
            progress: None,
            progress_said_at: None,
            has_ended: false,
            was_cancelled: false,
        }
    }

    fn is_progress_due(&self, now: Instant) -> bool {
        self.progress.is_some()
            && self.progress_said_at.is_none_or(|said_at| now.duration_since(said_at) >= PROGRESS_EVERY)
    }

    fn take_messages(&mut self, token: LeaseToken, now: Instant, kinds: &mut Vec<Kind>) {
        let lease_token = token.to_wire();
        if self.is_progress_due(now) {
            self.progress_said_at = Some(now);
            kinds.push(Kind::Progress(Progress {
                lease_token: lease_token.clone(),
                progress: self.progress.take(),
            }));
        }
        if mem::take(&mut self.was_cancelled) {
            kinds.push(Kind::CancelAck(CancelAck { lease_token: lease_token.clone() }));
        }
        if mem::take(&mut self.has_ended) {
            kinds.push(Kind::ExecDone(ExecDone { lease_token }));
        }
    }
}
