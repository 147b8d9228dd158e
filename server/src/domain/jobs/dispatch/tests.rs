//! Whole streams, with a worker that is played by hand.

use std::{collections::VecDeque, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hivesync_proto::worker_proof::{CallProof, prove_session};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    Dispatch, authenticate,
    message::{FromWorker, Hello, Lease, ToWorker, Verdict, Welcome},
    stream,
};
use crate::{
    base::{
        actor::Actor,
        error::{Error, Reason, Result},
    },
    domain::jobs::{
        model::{JobKind, JobState, LeaseId, LeaseToken, Timing},
        tests::world::{World, done, team},
    },
};

const PATH: &str = "/hivesync.v1.WorkerService/Commit";

/// A worker that does what its test says.
struct Hand {
    say: mpsc::Sender<Result<Vec<FromWorker>>>,
    hear: mpsc::Receiver<Result<Vec<ToWorker>>>,
    heard: VecDeque<ToWorker>,
}

impl Hand {
    fn dial(world: &World, dispatch: &Dispatch) -> Self {
        let (say, inbound) = mpsc::channel(64);
        let (outbound, hear) = mpsc::channel(64);
        let mut ctx = world.ctx();
        ctx.actor = Actor::Worker;
        let roster = dispatch.roster.clone();
        world.base.tasks.spawn("stream", stream::serve(ctx, roster, inbound, outbound));
        Self { say, hear, heard: VecDeque::new() }
    }

    /// Connects as `name`, and takes `free` jobs.
    async fn connect(
        world: &World,
        dispatch: &Dispatch,
        name: &str,
        held: &[LeaseToken],
        free: u32,
    ) -> (Self, Welcome) {
        let mut hand = Self::dial(world, dispatch);
        hand.introduce(world, name, held, None).await;
        let ToWorker::Welcome(welcome) = hand.next().await.unwrap() else { panic!("no welcome") };
        hand.say(vec![FromWorker::Credits(free)]).await;
        (hand, welcome)
    }

    async fn introduce(&mut self, world: &World, name: &str, held: &[LeaseToken], proof: Option<Vec<u8>>) {
        let ToWorker::Challenge(nonce) = self.next().await.unwrap() else { panic!("no challenge") };
        let incarnation_id = Uuid::from_u128(1).to_string();
        let secret = world.base.config.worker_shared_secret.expose();
        let right = prove_session(secret, &nonce, name, &incarnation_id).to_vec();
        let hello = Hello {
            protocol: 1,
            worker_id: name.to_owned(),
            incarnation_id,
            build: "test/1".to_owned(),
            kinds: JobKind::ALL.to_vec(),
            slots: 4,
            sandbox_tier: 3,
            held_leases: held.to_vec(),
            proof: proof.unwrap_or(right),
        };
        self.say(vec![FromWorker::Hello(hello)]).await;
    }

    async fn say(&self, messages: Vec<FromWorker>) {
        self.say.send(Ok(messages)).await.unwrap();
    }

    /// What the server says next; nothing if it has ended the stream.
    async fn try_next(&mut self) -> Option<Result<ToWorker>> {
        while self.heard.is_empty() {
            match self.hear.recv().await? {
                Ok(batch) => self.heard.extend(batch),
                Err(error) => return Some(Err(error)),
            }
        }
        self.heard.pop_front().map(Ok)
    }

    async fn next(&mut self) -> Result<ToWorker> {
        self.try_next().await.unwrap_or_else(|| Err(Error::new(Reason::Cancelled)))
    }

    async fn take(&mut self) -> Lease {
        let ToWorker::Lease(lease) = self.next().await.unwrap() else { panic!("no lease") };
        self.say(vec![FromWorker::LeaseAck { token: lease.token, accepted: true }]).await;
        *lease
    }

    /// The verdicts on `leases`; whatever was on its way before is dropped. Once they are there, everything
    /// that was said before has been written.
    async fn beat(&mut self, leases: &[LeaseToken]) -> Vec<Verdict> {
        self.say(vec![FromWorker::Heartbeat { sequence: 1, leases: leases.to_vec() }]).await;
        loop {
            if let ToWorker::HeartbeatAck { verdicts, .. } = self.next().await.unwrap() {
                return verdicts.into_iter().map(|(_, verdict)| verdict).collect();
            }
        }
    }

    /// Waits until the server has ended the stream.
    async fn end(&mut self) {
        while let Some(Ok(_)) = self.try_next().await {}
    }
}

fn id(lease: &Lease) -> LeaseId {
    LeaseId { job: lease.job, token: lease.token }
}

/// Waits until a job is in a state; the queue raises a wake-up whenever that changes.
async fn until(world: &World, job: crate::base::ids::JobId, state: JobState) {
    let mut changes = world.base.signals.listen(crate::domain::jobs::topic_of(job));
    while world.state(job).await != state {
        changes.wait_at_most(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_queued_job_is_pushed_to_a_waiting_worker_and_runs_once() {
    for world in World::each().await {
        let dispatch = Dispatch::start(&world.base);
        let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 2).await;
        let job = world.queue(team(1)).await;
        let lease = hand.take().await;
        assert_eq!((lease.job, lease.epoch, lease.attempt), (job, 1, 1));
        assert_eq!(hand.beat(&[lease.token]).await, [Verdict::Renewed]);
        assert_eq!(world.job(job).await.tally.attempts, 1);
        assert_eq!(world.commit(id(&lease), done()).await.unwrap(), JobState::Succeeded);
        assert_eq!((world.audited("job.created").await, world.audited("job.finished").await), (1, 1));
        assert_eq!(world.audited("worker.connected").await, 1);
    }
}

#[tokio::test]
async fn a_worker_that_does_not_know_the_secret_is_refused_and_recorded() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    world.queue(team(1)).await;
    for proof in [vec![0; 32], Vec::new()] {
        let mut hand = Hand::dial(&world, &dispatch);
        hand.introduce(&world, "w", &[], Some(proof)).await;
        assert_eq!(hand.next().await.unwrap_err().reason(), Reason::InvalidWorkerProof);
        assert!(hand.try_next().await.is_none());
    }
    assert_eq!(world.audited("worker.refused").await, 2);
    assert_eq!(dispatch.workers_connected(), 0);
}

#[tokio::test]
async fn a_flood_of_refusals_is_recorded_as_a_trickle() {
    let world = World::on_sqlite().await;
    for _ in 0..60 {
        let refused = authenticate(&world.ctx(), None, PATH).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::InvalidWorkerProof);
    }
    assert_eq!(world.audited("worker.refused").await, 30);
}

#[tokio::test]
async fn a_proof_for_another_challenge_is_refused() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let secret = world.base.config.worker_shared_secret.expose();
    let proof = prove_session(secret, &[9; 32], "w", &Uuid::from_u128(1).to_string());
    let mut hand = Hand::dial(&world, &dispatch);
    hand.introduce(&world, "w", &[], Some(proof.to_vec())).await;
    assert_eq!(hand.next().await.unwrap_err().reason(), Reason::InvalidWorkerProof);
}

#[tokio::test]
async fn a_call_needs_a_proof_of_its_own_that_is_fresh() {
    let world = World::on_sqlite().await;
    let ctx = world.ctx();
    let secret = world.base.config.worker_shared_secret.expose();
    let proof = |age_secs: u64, nonce: u8| CallProof {
        worker_id: "w".to_owned(),
        incarnation_id: Uuid::from_u128(1).to_string(),
        made_at_unix_secs: u64::try_from(world.base.clock.now().as_secs()).unwrap() - age_secs,
        nonce: [nonce; 16],
    };
    let good = proof(0, 1).sign(secret, PATH);
    authenticate(&ctx, Some(&good), PATH).await.unwrap();
    let refused = [
        None,
        Some(good),
        Some(proof(0, 2).sign(b"another secret of more than 32 bytes", PATH)),
        Some(proof(0, 3).sign(secret, "/hivesync.v1.WorkerService/Release")),
        Some(proof(120, 4).sign(secret, PATH)),
        Some(STANDARD.encode("nonsense")),
    ];
    for (count, proof) in refused.into_iter().enumerate() {
        let error = authenticate(&ctx, proof.as_deref(), PATH).await.unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidWorkerProof);
        assert_eq!(world.audited("worker.refused").await, count + 1);
    }
}

#[tokio::test]
async fn an_unanswered_lease_goes_to_somebody_who_answers() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let (mut mute, _) = Hand::connect(&world, &dispatch, "mute", &[], 1).await;
    let job = world.queue(team(1)).await;
    let ToWorker::Lease(first) = mute.next().await.unwrap() else { panic!("no lease") };
    let (mut other, _) = Hand::connect(&world, &dispatch, "other", &[], 1).await;
    world.advance(Timing::STANDARD.ack + Duration::from_millis(1));
    let second = other.take().await;
    assert_eq!((second.job, second.attempt), (job, 1));
    assert_ne!(second.token, first.token);
    assert_eq!(world.commit(id(&first), done()).await.unwrap_err().reason(), Reason::Superseded);
    assert!(matches!(mute.next().await.unwrap(), ToWorker::Revoke(token) if token == first.token));
}

#[tokio::test]
async fn a_cancel_reaches_the_worker_at_once() {
    for world in World::each().await {
        let dispatch = Dispatch::start(&world.base);
        let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
        let job = world.queue(team(1)).await;
        let lease = hand.take().await;
        hand.beat(&[lease.token]).await;
        assert_eq!(world.cancel(job).await, JobState::Cancelling);
        assert!(matches!(hand.next().await.unwrap(), ToWorker::Cancel { token, .. } if token == lease.token));
        hand.say(vec![FromWorker::CancelAck(lease.token)]).await;
        until(&world, job, JobState::Cancelled).await;
        assert_eq!(world.diary.gave_up(job), [Reason::Cancelled]);
    }
}

#[tokio::test]
async fn a_draining_worker_gets_no_more_leases() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 4).await;
    hand.say(vec![FromWorker::Draining]).await;
    assert!(matches!(hand.next().await.unwrap(), ToWorker::DrainStarted));
    let job = world.queue(team(1)).await;
    let (mut other, _) = Hand::connect(&world, &dispatch, "other", &[], 1).await;
    assert_eq!(other.take().await.job, job);
    hand.say(vec![FromWorker::Heartbeat { sequence: 1, leases: Vec::new() }]).await;
    assert!(matches!(hand.next().await.unwrap(), ToWorker::HeartbeatAck { .. }));
}

#[tokio::test]
async fn a_worker_that_vanishes_is_replaced_when_its_lease_is_over() {
    for world in World::each().await {
        let dispatch = Dispatch::start(&world.base);
        let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
        let job = world.queue(team(1)).await;
        let lease = hand.take().await;
        hand.beat(&[lease.token]).await;
        drop(hand);
        let (mut other, _) = Hand::connect(&world, &dispatch, "other", &[], 1).await;
        while dispatch.workers_connected() > 1 {
            tokio::task::yield_now().await;
        }
        world.advance(Timing::STANDARD.ttl + Duration::from_secs(1));
        let again = other.take().await;
        assert_eq!((again.job, again.attempt), (job, 2));
        assert_eq!(world.commit(id(&lease), done()).await.unwrap_err().reason(), Reason::Superseded);
        assert_eq!(world.commit(id(&again), done()).await.unwrap(), JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_worker_that_reconnects_goes_on_with_its_leases() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let (mut first, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
    world.queue(team(1)).await;
    let lease = first.take().await;
    let held = [lease.token, LeaseToken([5; 16])];
    let (mut second, welcome) = Hand::connect(&world, &dispatch, "w", &held, 0).await;
    assert_eq!(welcome.resumed, [(lease.token, true), (held[1], false)]);
    first.end().await;
    assert_eq!(second.beat(&held).await, [Verdict::Renewed, Verdict::Lost]);
    assert_eq!(world.commit(id(&lease), done()).await.unwrap(), JobState::Succeeded);
}

#[tokio::test]
async fn a_silent_worker_is_let_go() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
    world.advance(Timing::STANDARD.silence + Duration::from_millis(1));
    hand.end().await;
    assert_eq!(dispatch.workers_connected(), 0);
}

#[tokio::test]
async fn a_stopping_server_says_so() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
    hand.beat(&[]).await;
    world.base.tasks.drain(Duration::ZERO).await;
    assert!(matches!(hand.next().await.unwrap(), ToWorker::GoingAway(_)));
    assert!(hand.try_next().await.is_none());
}

#[tokio::test]
async fn a_job_that_cannot_be_prepared_fails_without_a_worker() {
    let world = World::on_sqlite().await;
    world.diary.refuse_leases(Some(Reason::NotFound));
    let dispatch = Dispatch::start(&world.base);
    let (mut hand, _) = Hand::connect(&world, &dispatch, "w", &[], 1).await;
    let job = world.queue(team(1)).await;
    until(&world, job, JobState::Failed).await;
    assert_eq!(world.job(job).await.failure, Some(Reason::NotFound));
    world.diary.refuse_leases(None);
    let next = world.queue(team(1)).await;
    assert_eq!(hand.take().await.job, next, "its room is not lost");
}

#[tokio::test]
async fn whoever_does_not_keep_to_the_protocol_is_cut_off() {
    let world = World::on_sqlite().await;
    let dispatch = Dispatch::start(&world.base);
    let mut hand = Hand::dial(&world, &dispatch);
    assert!(matches!(hand.next().await.unwrap(), ToWorker::Challenge(_)));
    hand.say(vec![FromWorker::Credits(4)]).await;
    assert_eq!(hand.next().await.unwrap_err().reason(), Reason::InvalidRequest);
    assert!(hand.try_next().await.is_none());
}
