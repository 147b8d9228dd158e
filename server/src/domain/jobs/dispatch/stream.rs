//! Carries out what a [`Session`] decides.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use hivesync_proto::WORKER_PROTOCOL;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    message::{FromWorker, Hello, Lease, ToWorker, Welcome},
    proof,
    roster::{Presence, Roster, Seat},
    session::{Closing, Effect, Event, Session},
};
use crate::{
    base::{
        clock,
        ctx::Ctx,
        error::{Error, Reason, Result},
        signal::Listener,
        status,
    },
    domain::jobs::{
        CANCELS,
        model::{Connected, Failure, FailureClass, JobKind, JobState, LeaseId, Resumed, Timing},
        ops,
    },
};

/// How long a worker may take to introduce itself.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(5);
/// How often a stream looks at the clock.
const TICK: Duration = Duration::from_millis(250);
/// Jobs on the way from the puller to a stream.
const OFFERS_MAX: usize = 64;

/// Batches of messages to the worker; the last item may be why the stream is ended.
pub(super) type Outbound = mpsc::Sender<Result<Vec<ToWorker>>>;
/// Batches of messages from the worker; ends with the connection.
pub(super) type Inbound = mpsc::Receiver<Result<Vec<FromWorker>>>;

/// Serves one stream from its handshake to its end.
pub(super) async fn serve(ctx: Ctx, roster: Arc<Roster>, mut inbound: Inbound, outbound: Outbound) {
    let opened = tokio::select! {
        opened = open(&ctx, &roster, &mut inbound, &outbound) => opened,
        () = clock::sleep(HANDSHAKE_LIMIT) => Err(Error::new(Reason::DeadlineExceeded)),
    };
    match opened {
        Ok(stream) => stream.run(inbound).await,
        // Whoever does not listen any more needs no reason.
        Err(error) => drop(outbound.send(Err(error)).await),
    }
}

/// The handshake: a challenge, an introduction that answers it, a welcome.
async fn open(ctx: &Ctx, roster: &Arc<Roster>, inbound: &mut Inbound, outbound: &Outbound) -> Result<Stream> {
    let challenge = ctx.entropy.bytes()?;
    let gone = || Error::new(Reason::Cancelled);
    outbound.send(Ok(vec![ToWorker::Challenge(challenge)])).await.map_err(|_| gone())?;
    let mut first = inbound.recv().await.ok_or_else(gone)??;
    let (Some(FromWorker::Hello(hello)), true) = (first.pop(), first.is_empty()) else {
        return Err(Error::invalid("messages", "must be `hello` alone"));
    };
    if hello.protocol != WORKER_PROTOCOL {
        return Err(Error::invalid("protocol", format!("must be {WORKER_PROTOCOL}")));
    }
    let incarnation_id = proof::verify_hello(ctx, &challenge, &hello).await?;
    Stream::open(ctx, roster, outbound, hello, incarnation_id).await
}

struct Stream {
    ctx: Ctx,
    session: Session,
    session_id: Uuid,
    worker_id: String,
    incarnation_id: Uuid,
    roster: Arc<Roster>,
    presence: Presence,
    replaced: CancellationToken,
    offers: mpsc::Receiver<Box<Lease>>,
    cancels: Listener,
    outbound: Outbound,
}

/// What a stream waits for.
enum Happening {
    Heard(Option<Result<Vec<FromWorker>>>),
    Offered(Box<Lease>),
    CancelsRaised,
    Ticked,
    Close(Closing),
}

impl Stream {
    async fn open(
        ctx: &Ctx,
        roster: &Arc<Roster>,
        outbound: &Outbound,
        hello: Hello,
        incarnation_id: Uuid,
    ) -> Result<Self> {
        let now = ctx.clock.now();
        let session_id = ctx.entropy.uuid(now)?;
        let cancels = ctx.signals.listen(CANCELS);
        let (offers_in, offers) = mpsc::channel(OFFERS_MAX);
        let replaced = CancellationToken::new();
        // The puller sees the stream first, so that an earlier one of this worker ends before its leases
        // are settled; it has no room yet.
        let presence = roster.enter(Seat {
            session: session_id,
            worker_id: hello.worker_id.clone(),
            incarnation_id,
            kinds: hello.kinds.clone(),
            offers: offers_in,
            replaced: replaced.clone(),
        });
        let connected = Connected {
            worker_id: &hello.worker_id,
            incarnation_id,
            session_id,
            build: &hello.build,
            kinds: &hello.kinds,
            slots: hello.slots,
            sandbox_tier: hello.sandbox_tier,
            now,
        };
        let resumed = ops::connect(ctx, &connected, &hello.held_leases).await?;
        tracing::info!(event = "worker.connected", worker = %hello.worker_id, session = %session_id);

        let mut stream = Self {
            ctx: ctx.clone(),
            session: Session::open(Timing::STANDARD, hello.slots, &resumed, now),
            session_id,
            worker_id: hello.worker_id.clone(),
            incarnation_id,
            roster: roster.clone(),
            presence,
            replaced,
            offers,
            cancels,
            outbound: outbound.clone(),
        };
        stream.welcome(&hello, &resumed).await;
        Ok(stream)
    }

    async fn welcome(&mut self, hello: &Hello, resumed: &[Resumed]) {
        let keeps = |token| resumed.iter().any(|resumed| resumed.lease.token == token);
        let welcome = Welcome {
            session: self.session_id,
            beat: Timing::STANDARD.beat,
            ttl: Timing::STANDARD.ttl,
            resumed: hello.held_leases.iter().map(|token| (*token, keeps(*token))).collect(),
        };
        let cancelling = resumed.iter().filter(|resumed| resumed.cancelling);
        let events = cancelling.map(|resumed| Event::CancelAsked(resumed.lease.token)).collect();
        let _ = self.send(vec![ToWorker::Welcome(welcome)]);
        self.step(events).await;
    }

    async fn run(mut self, mut inbound: Inbound) {
        let mut tick = clock::sleep(TICK).boxed();
        let closing = loop {
            let happening = self.wait(&mut inbound, &mut tick).await;
            let closing = match happening {
                Happening::Heard(Some(Ok(batch))) => {
                    self.step(batch.into_iter().map(Event::Said).collect()).await
                }
                Happening::Heard(Some(Err(error))) => {
                    status::log(&error);
                    Some(Closing::Protocol)
                }
                Happening::Heard(None) => Some(Closing::Lost),
                Happening::Offered(lease) => {
                    let closing = self.step(vec![Event::Offered(lease)]).await;
                    self.roster.arrived(self.session_id);
                    closing
                }
                Happening::CancelsRaised => self.look_for_cancels().await,
                Happening::Ticked => self.step(vec![Event::Ticked]).await,
                Happening::Close(closing) => Some(closing),
            };
            if let Some(closing) = closing {
                break closing;
            }
            self.presence.set_free(self.session.free());
        };
        self.close(closing).await;
    }

    async fn wait(&mut self, inbound: &mut Inbound, tick: &mut BoxFuture<'static, ()>) -> Happening {
        let stopping = self.ctx.tasks.stopping();
        tokio::select! {
            heard = inbound.recv() => Happening::Heard(heard),
            Some(lease) = self.offers.recv() => Happening::Offered(lease),
            () = self.cancels.wait() => Happening::CancelsRaised,
            () = self.replaced.cancelled() => Happening::Close(Closing::Replaced),
            () = stopping.cancelled() => Happening::Close(Closing::GoingAway),
            () = &mut *tick => {
                *tick = clock::sleep(TICK).boxed();
                Happening::Ticked
            }
        }
    }

    /// Steps the session; why the stream is to be ended, if it is.
    async fn step(&mut self, mut events: Vec<Event>) -> Option<Closing> {
        while !events.is_empty() {
            let now = self.ctx.clock.now();
            let (mut messages, mut accepted, mut writes) = (Vec::new(), Vec::new(), Vec::new());
            let mut closing = None;
            for effect in events.into_iter().flat_map(|event| self.session.step(event, now)) {
                match effect {
                    Effect::Send(message) => messages.push(message),
                    Effect::Accept(lease, kind) => accepted.push((lease, kind)),
                    Effect::Close(why) => closing = closing.or(Some(why)),
                    write => writes.push(write),
                }
            }
            // The worker is told first: a lease starts sooner, and no promise depends on these writes.
            if self.send(messages).is_err() {
                return Some(Closing::Lost);
            }
            events = self.accept(&accepted).await;
            for write in writes {
                events.extend(self.write(write).await);
            }
            if closing.is_some() {
                return closing;
            }
        }
        None
    }

    /// Tells the worker, if it listens: one that takes no more messages is as good as gone.
    fn send(&self, messages: Vec<ToWorker>) -> Result<(), ()> {
        if messages.is_empty() {
            return Ok(());
        }
        self.outbound.try_send(Ok(messages)).map_err(drop)
    }

    async fn accept(&self, accepted: &[(LeaseId, JobKind)]) -> Vec<Event> {
        if accepted.is_empty() {
            return Vec::new();
        }
        match ops::accept(&self.ctx, accepted).await {
            Ok(over) => over.into_iter().map(|lease| Event::Over(lease.token)).collect(),
            Err(error) => {
                // The result counts as the acceptance; without one the lease expires.
                status::log(&error);
                Vec::new()
            }
        }
    }

    async fn write(&self, effect: Effect) -> Option<Event> {
        let (event, written) = match effect {
            Effect::Renew { sequence, until, leases } => {
                match ops::renew(&self.ctx, &leases, until).await {
                    Ok(held) => {
                        let held = held.into_iter();
                        let held =
                            held.map(|(token, state)| (token, state == JobState::Cancelling)).collect();
                        (Some(Event::Renewed { sequence, until, held }), Ok(()))
                    }
                    // The beat stays without an answer, so that the worker does not rely on it.
                    Err(error) => (None, Err(error)),
                }
            }
            Effect::GiveBack(lease, pause) => (None, ops::give_back(&self.ctx, lease, pause).await),
            Effect::Stopped(lease) => {
                let stopped = Failure::new(FailureClass::Cancelled, Reason::Cancelled);
                (None, ops::fail(&self.ctx, lease, stopped).await)
            }
            Effect::Publish { job, epoch, progress } => {
                (None, ops::publish_progress(&self.ctx, job, epoch, progress).await)
            }
            Effect::Touch { draining } => (None, ops::touch(&self.ctx, self.session_id, draining).await),
            Effect::Send(_) | Effect::Accept(..) | Effect::Close(_) => (None, Ok(())),
        };
        if let Err(error) = written {
            status::log(&error);
        }
        event
    }

    async fn look_for_cancels(&mut self) -> Option<Closing> {
        match ops::cancelling(&self.ctx, &self.worker_id, self.incarnation_id).await {
            Ok(leases) => {
                self.step(leases.into_iter().map(|lease| Event::CancelAsked(lease.token)).collect()).await
            }
            Err(error) => {
                // The next renewal finds it.
                status::log(&error);
                None
            }
        }
    }

    async fn close(mut self, closing: Closing) {
        tracing::info!(event = "worker.disconnected", worker = %self.worker_id, ?closing);
        drop(self.presence);
        match closing {
            Closing::GoingAway => {
                drop(self.outbound.try_send(Ok(vec![ToWorker::GoingAway(Timing::STANDARD.ttl)])));
            }
            Closing::Protocol => {
                let error = Error::invalid("messages", "are not what the protocol allows here");
                drop(self.outbound.try_send(Err(error)));
            }
            Closing::Lost | Closing::Evicted | Closing::Replaced => {}
        }
        drop(self.outbound);

        self.offers.close();
        let mut unclaimed = self.session.offered();
        while let Ok(lease) = self.offers.try_recv() {
            unclaimed.push(LeaseId { job: lease.job, token: lease.token });
        }
        let (mut promised, until) = self.session.promised();
        if closing == Closing::Replaced {
            // They are the new stream's now.
            promised.clear();
            unclaimed.clear();
        }
        for lease in unclaimed {
            if let Err(error) = ops::give_back(&self.ctx, lease, Duration::ZERO).await {
                status::log(&error);
            }
        }
        let is_lost = matches!(closing, Closing::Lost | Closing::Evicted | Closing::Protocol);
        if let Err(error) = ops::disconnect(&self.ctx, self.session_id, &promised, until, is_lost).await {
            status::log(&error);
        }
    }
}
