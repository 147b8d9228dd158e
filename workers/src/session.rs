//! The one stream to the server: handshake, leases, beats, and coming back after it broke.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use hivesync_proto::{
    WORKER_PROTOCOL,
    v1::{
        self, Draining, Heartbeat, Hello, JobKind, LeaseAck, ServerMessage, SessionRequest, SessionResponse,
        Verdict, Welcome, WorkerMessage, server_message, worker_message::Kind,
    },
};
use thiserror::Error;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::{
    backoff::Backoff,
    connection::{Client, Connection},
    entropy,
    executor::Executor,
    identity::Identity,
    lease::{Event, LeaseToken},
    sandbox,
};

const SESSION_PATH: &str = "/hivesync.v1.WorkerService/Session";
const BUILD: &str = concat!("hivesync-worker/", env!("CARGO_PKG_VERSION"));

/// How long each step of the handshake may take.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Unanswered beats after which the stream is given up.
const UNANSWERED_BEATS_MAX: usize = 3;

/// Batches that wait for the network; a server that takes none is as good as gone.
const OUTBOUND_BATCHES_MAX: usize = 64;

/// Messages of one batch, by the contract.
const BATCH_MESSAGES_MAX: usize = 256;

/// What the server may ask for, whatever it says.
const BEAT_EVERY_MIN: Duration = Duration::from_millis(100);
const TTL_MIN: Duration = Duration::from_secs(1);
const GRACE_MAX: Duration = Duration::from_secs(30);

/// How soon at the latest a worker that was asked to reconnect does so.
const RECONNECT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why a stream ended.
#[derive(Debug, Error)]
enum SessionError {
    #[error("the server cannot be reached")]
    Connect(#[from] tonic::transport::Error),
    #[error("the server ended the stream: {}", .0.code())]
    Refused(#[from] Status),
    #[error("the server closed the stream")]
    Closed,
    #[error("the server did not answer in time")]
    Silent,
    #[error("the server takes no messages")]
    Backlog,
    #[error("the server does not keep to the protocol")]
    Protocol,
}

/// What a worker says about itself, and whom it works for.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: Arc<Connection>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) executor: Executor,
    pub(crate) kinds: Vec<JobKind>,
    pub(crate) slots: u32,
    /// Becomes true when the server has promised that no lease follows.
    pub(crate) drain_started: watch::Sender<bool>,
}

impl Session {
    /// Keeps a stream to the server, for ever.
    pub(crate) async fn run(&self) {
        let mut backoff = Backoff::new();
        loop {
            let pause = match self.serve(&mut backoff).await {
                Ok(pause) => pause,
                Err(SessionError::Refused(status)) if status.code() == Code::Unauthenticated => {
                    tracing::error!(
                        event = "session_refused",
                        "the server does not accept this worker: is WORKER_SHARED_SECRET the server's, and the clock right?"
                    );
                    backoff.next_pause()
                }
                Err(error) => {
                    tracing::warn!(event = "session_ended", %error, "the stream ended; connecting again");
                    backoff.next_pause()
                }
            };
            sleep(pause).await;
        }
    }

    /// Serves one stream to its end, and returns the pause before the next one.
    async fn serve(&self, backoff: &mut Backoff) -> Result<Duration, SessionError> {
        let client = self.connection.open().await?;
        let (mut stream, welcome) = Stream::open(client, self).await?;
        backoff.reset();
        tracing::info!(event = "session_opened", session_id = %welcome.session_id, "the stream is open");

        let beat_every = duration(welcome.heartbeat_every).max(BEAT_EVERY_MIN);
        let ttl = duration(welcome.lease_ttl).max(TTL_MIN);
        let mut beats = interval(beat_every);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_said_draining = false;
        let mut is_new_stream = true;
        loop {
            if self.executor.is_draining() && !has_said_draining {
                has_said_draining = true;
                stream.say(vec![WorkerMessage { kind: Some(Kind::Draining(Draining {})) }])?;
            }
            stream.say(self.executor.take_messages(is_new_stream))?;
            is_new_stream = false;
            tokio::select! {
                message = stream.hear() => {
                    if let Some(pause) = self.handle(&mut stream, message?, ttl)? {
                        return Ok(pause);
                    }
                }
                _ = beats.tick() => stream.beat(self.executor.held())?,
                () = self.executor.news() => {}
            }
        }
    }

    /// Deals with one message; a pause is returned if the stream is to be left.
    fn handle(
        &self,
        stream: &mut Stream,
        message: server_message::Kind,
        ttl: Duration,
    ) -> Result<Option<Duration>, SessionError> {
        use server_message::Kind;
        match message {
            Kind::Lease(lease) => {
                let lease_token = lease.lease_token.clone();
                let accepted = self.executor.accept(lease, ttl);
                stream.say(vec![WorkerMessage { kind: Some(lease_ack(lease_token, accepted)) }])?;
            }
            Kind::HeartbeatAck(ack) => {
                let sent_at = stream.answered(ack.sequence);
                for verdict in ack.verdicts {
                    let event = match (verdict.verdict(), sent_at) {
                        (Verdict::Renewed, Some(sent_at)) => Event::Renewed { sent_at },
                        (Verdict::Cancel, _) => Event::CancelAsked { grace: Duration::ZERO },
                        (Verdict::Lost, _) => Event::Lost,
                        _ => continue,
                    };
                    self.hear(&verdict.lease_token, event);
                }
            }
            Kind::Cancel(cancel) => {
                let grace = duration(cancel.grace).min(GRACE_MAX);
                self.hear(&cancel.lease_token, Event::CancelAsked { grace });
            }
            Kind::Revoke(revoke) => self.hear(&revoke.lease_token, Event::Lost),
            Kind::DrainStarted(_) => {
                self.drain_started.send_replace(true);
            }
            Kind::GoingAway(going_away) => {
                let within = duration(going_away.reconnect_within).min(RECONNECT_PAUSE_MAX);
                return Ok(Some(entropy::jitter(within)));
            }
            Kind::Challenge(_) | Kind::Welcome(_) => return Err(SessionError::Protocol),
        }
        Ok(None)
    }

    fn hear(&self, token: &[u8], event: Event) {
        if let Some(token) = LeaseToken::from_wire(token) {
            self.executor.hear(token, event);
        }
    }

    fn hello(&self, nonce: &[u8], held_leases: Vec<Vec<u8>>) -> Result<Hello, SessionError> {
        let nonce = nonce.try_into().map_err(|_| SessionError::Protocol)?;
        Ok(Hello {
            protocol: WORKER_PROTOCOL,
            worker_id: self.identity.worker_id().to_owned(),
            incarnation_id: self.identity.incarnation_id().to_owned(),
            build: BUILD.to_owned(),
            kinds: self.kinds.iter().map(|kind| i32::from(*kind)).collect(),
            slots: self.slots,
            sandbox_tier: sandbox::TIER,
            held_leases,
            proof: self.identity.prove_session(&nonce),
        })
    }

    /// Goes on with the leases that the server kept, and drops the others.
    fn resume(&self, held: Vec<Vec<u8>>, welcome: &Welcome, hello_sent_at: Instant) {
        let kept: HashSet<&[u8]> = welcome
            .resumed
            .iter()
            .filter(|verdict| verdict.keep)
            .map(|verdict| &*verdict.lease_token)
            .collect();
        for token in held {
            let event =
                if kept.contains(&*token) { Event::Renewed { sent_at: hello_sent_at } } else { Event::Lost };
            self.hear(&token, event);
        }
    }
}

/// Both directions of one stream, and its beats.
struct Stream {
    outbound: mpsc::Sender<SessionRequest>,
    inbound: Streaming<SessionResponse>,
    batch: VecDeque<ServerMessage>,
    sequence: u64,
    unanswered: VecDeque<(u64, Instant)>,
}

impl Stream {
    /// Opens a stream and introduces the worker.
    async fn open(mut client: Client, session: &Session) -> Result<(Self, Welcome), SessionError> {
        let (outbound, requests) = mpsc::channel(OUTBOUND_BATCHES_MAX);
        let request = session.identity.sign(SESSION_PATH, ReceiverStream::new(requests));
        let response = in_time(async { Ok(client.session(request).await?) }).await?;
        let mut stream = Self {
            outbound,
            inbound: response.into_inner(),
            batch: VecDeque::new(),
            sequence: 0,
            unanswered: VecDeque::new(),
        };
        let server_message::Kind::Challenge(challenge) = in_time(stream.hear()).await? else {
            return Err(SessionError::Protocol);
        };
        let held: Vec<Vec<u8>> = session.executor.held().into_iter().map(|held| held.lease_token).collect();
        let hello = session.hello(&challenge.nonce, held.clone())?;
        let hello_sent_at = Instant::now();
        stream.say(vec![WorkerMessage { kind: Some(Kind::Hello(hello)) }])?;
        let server_message::Kind::Welcome(welcome) = in_time(stream.hear()).await? else {
            return Err(SessionError::Protocol);
        };
        session.resume(held, &welcome, hello_sent_at);
        Ok((stream, welcome))
    }

    /// The next message. Nothing is lost if the future is dropped.
    async fn hear(&mut self) -> Result<server_message::Kind, SessionError> {
        loop {
            // A kind that is newer than this worker is passed over.
            while let Some(message) = self.batch.pop_front() {
                if let Some(kind) = message.kind {
                    return Ok(kind);
                }
            }
            self.batch = self.inbound.message().await?.ok_or(SessionError::Closed)?.messages.into();
        }
    }

    fn say(&mut self, mut messages: Vec<WorkerMessage>) -> Result<(), SessionError> {
        while !messages.is_empty() {
            let rest = messages.split_off(messages.len().min(BATCH_MESSAGES_MAX));
            self.outbound.try_send(SessionRequest { messages }).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => SessionError::Backlog,
                mpsc::error::TrySendError::Closed(_) => SessionError::Closed,
            })?;
            messages = rest;
        }
        Ok(())
    }

    fn beat(&mut self, leases: Vec<v1::HeldLease>) -> Result<(), SessionError> {
        if self.unanswered.len() >= UNANSWERED_BEATS_MAX {
            return Err(SessionError::Silent);
        }
        self.sequence += 1;
        self.unanswered.push_back((self.sequence, Instant::now()));
        let heartbeat = Heartbeat { sequence: self.sequence, leases };
        self.say(vec![WorkerMessage { kind: Some(Kind::Heartbeat(heartbeat)) }])
    }

    /// When the beat was sent that the server answers now.
    fn answered(&mut self, sequence: u64) -> Option<Instant> {
        let (_, sent_at) = *self.unanswered.iter().find(|(sent, _)| *sent == sequence)?;
        self.unanswered.retain(|(sent, _)| *sent > sequence);
        Some(sent_at)
    }
}

async fn in_time<T>(step: impl Future<Output = Result<T, SessionError>>) -> Result<T, SessionError> {
    timeout(HANDSHAKE_LIMIT, step).await.map_err(|_| SessionError::Silent)?
}

fn lease_ack(lease_token: Vec<u8>, accepted: bool) -> Kind {
    Kind::LeaseAck(LeaseAck { lease_token, accepted })
}

/// A duration of the wire; nothing if it is absent or negative.
fn duration(wire: Option<prost_types::Duration>) -> Duration {
    wire.and_then(|wire| Duration::try_from(wire).ok()).unwrap_or_default()
}
