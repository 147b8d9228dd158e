use std::collections::HashSet;

use uuid::Uuid;

use super::*;
use crate::domain::jobs::model::LeasedWork;

const SLOTS: u32 = 4;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_micros(millis * 1_000)
}

fn token(number: u8) -> LeaseToken {
    LeaseToken([number; 16])
}

fn id(number: u8) -> LeaseId {
    LeaseId { job: JobId(Uuid::from_u128(u128::from(number))), token: token(number) }
}

fn lease(number: u8) -> Event {
    Event::Offered(Box::new(Lease {
        job: id(number).job,
        token: token(number),
        epoch: 1,
        attempt: 1,
        time_limit: Duration::from_secs(60),
        correlation: String::new(),
        work: LeasedWork::Cleanup { projects: Vec::new() },
    }))
}

fn ack(number: u8, accepted: bool) -> Event {
    Event::Said(FromWorker::LeaseAck { token: token(number), accepted })
}

fn beat(sequence: u64, numbers: &[u8]) -> Event {
    let leases = numbers.iter().map(|number| token(*number)).collect();
    Event::Said(FromWorker::Heartbeat { sequence, leases })
}

fn open() -> Session {
    let mut session = Session::open(Timing::STANDARD, SLOTS, &[], at(0));
    session.step(Event::Said(FromWorker::Credits(2)), at(0));
    session
}

/// A stream whose worker has accepted lease 1 at the beginning.
fn running() -> Session {
    let mut session = open();
    session.step(lease(1), at(0));
    session.step(ack(1, true), at(0));
    session
}

fn verdicts(effects: &[Effect]) -> Vec<(LeaseToken, Verdict)> {
    let acks = effects.iter().filter_map(|effect| match effect {
        Effect::Send(ToWorker::HeartbeatAck { verdicts, .. }) => Some(verdicts.clone()),
        _ => None,
    });
    acks.flatten().collect()
}

#[test]
fn credits_are_absolute_and_never_more_than_the_slots() {
    let mut session = open();
    assert_eq!(session.free(), 2);
    session.step(lease(1), at(0));
    assert_eq!(session.free(), 1);
    // This was sent before the lease arrived, and does not know of it.
    session.step(Event::Said(FromWorker::Credits(2)), at(1));
    assert_eq!(session.free(), 1);
    session.step(ack(1, true), at(2));
    session.step(Event::Said(FromWorker::Credits(200)), at(3));
    assert_eq!(session.free(), SLOTS);
}

#[test]
fn a_lease_is_written_when_it_is_accepted_and_only_then() {
    let mut session = open();
    let sent = session.step(lease(1), at(0));
    assert!(matches!(sent[..], [Effect::Send(ToWorker::Lease(_))]));
    let written = session.step(ack(1, true), at(5));
    assert!(matches!(written[..], [Effect::Accept(lease, JobKind::Cleanup)] if lease == id(1)));
    assert!(session.step(ack(1, true), at(6)).is_empty());
}

#[test]
fn an_unanswered_lease_is_undone_and_its_late_answer_is_not_taken() {
    let mut session = open();
    session.step(lease(1), at(0));
    assert!(session.step(Event::Ticked, at(2_000)).is_empty());
    let undone = session.step(Event::Ticked, at(2_001));
    assert!(matches!(
        undone[..],
        [Effect::Send(ToWorker::Revoke(token)), Effect::GiveBack(lease, Duration::ZERO)]
            if token == id(1).token && lease == id(1)
    ));
    assert_eq!(session.free(), 0, "whoever does not answer asks anew");
    let late = session.step(ack(1, true), at(2_100));
    assert!(matches!(late[..], [Effect::Send(ToWorker::Revoke(_))]));
}

#[test]
fn a_rejected_lease_goes_back_and_the_worker_gets_no_other_unasked() {
    let mut session = open();
    session.step(lease(1), at(0));
    let back = session.step(ack(1, false), at(1));
    assert!(matches!(back[..], [Effect::GiveBack(lease, REJECTED_PAUSE)] if lease == id(1)));
    assert_eq!(session.free(), 0);
}

#[test]
fn a_lease_is_written_once_in_half_a_term_and_never_promised_beyond_what_is_written() {
    let mut session = running();
    let mut written_until = at(0) + Timing::STANDARD.written_ahead();
    let mut writes = 0;
    for number in 1_u8..=40 {
        let now = at(i64::from(number) * 3_000);
        let mut effects = session.step(beat(number.into(), &[1]), now);
        if let [Effect::Renew { sequence, until, .. }] = effects[..] {
            writes += 1;
            written_until = until;
            effects = session.step(Event::Renewed { sequence, until, held: vec![(token(1), false)] }, now);
        }
        assert_eq!(verdicts(&effects), [(token(1), Verdict::Renewed)]);
        assert!(session.promised().1 <= written_until, "beat {number}");
    }
    assert!((18..=21).contains(&writes), "{writes}");
}

#[test]
fn a_beat_is_not_answered_before_its_leases_are_renewed() {
    let mut session = running();
    let effects = session.step(beat(1, &[1]), at(6_000));
    assert!(matches!(effects[..], [Effect::Renew { sequence: 1, .. }]));
    let until = at(6_000) + Timing::STANDARD.written_ahead();
    let effects = session.step(Event::Renewed { sequence: 1, until, held: Vec::new() }, at(6_000));
    assert_eq!(verdicts(&effects), [(token(1), Verdict::Lost)]);
    assert!(session.promised().0.is_empty());
}

#[test]
fn a_lease_that_the_worker_makes_up_is_lost() {
    let mut session = running();
    let effects = session.step(beat(1, &[1, 9]), at(1_000));
    assert_eq!(verdicts(&effects), [(token(1), Verdict::Renewed), (token(9), Verdict::Lost)]);
}

#[test]
fn a_lease_that_the_worker_leaves_out_twice_is_not_renewed_any_more() {
    let mut session = running();
    session.step(beat(1, &[]), at(1_000));
    assert_eq!(session.promised().0, [id(1)]);
    session.step(beat(2, &[]), at(4_000));
    assert!(session.promised().0.is_empty());
}

#[test]
fn a_cancel_is_pushed_once_and_repeated_in_the_verdicts() {
    let mut session = running();
    let pushed = session.step(Event::CancelAsked(token(1)), at(1_000));
    assert!(matches!(pushed[..], [Effect::Send(ToWorker::Cancel { token: asked, .. })] if asked == token(1)));
    assert!(session.step(Event::CancelAsked(token(1)), at(1_100)).is_empty());
    assert_eq!(verdicts(&session.step(beat(1, &[1]), at(2_000))), [(token(1), Verdict::Cancel)]);
    let stopped = session.step(Event::Said(FromWorker::CancelAck(token(1))), at(3_000));
    assert!(matches!(stopped[..], [Effect::Stopped(lease)] if lease == id(1)));
}

#[test]
fn a_worker_that_does_not_stop_a_job_is_evicted() {
    let mut session = running();
    session.step(Event::CancelAsked(token(1)), at(0));
    for secs in 1..=30 {
        let beat = beat(secs, &[1]);
        session.step(beat, at(i64::try_from(secs).unwrap() * 1_000));
        let effects = session.step(Event::Ticked, at(i64::try_from(secs).unwrap() * 1_000));
        assert!(!effects.iter().any(|effect| matches!(effect, Effect::Close(_))), "{secs}");
    }
    let effects = session.step(Event::Ticked, at(30_001));
    assert!(matches!(effects[..], [Effect::Close(Closing::Evicted)]));
}

#[test]
fn a_silent_worker_is_let_go() {
    let mut session = running();
    let closes =
        |effects: Vec<Effect>| effects.iter().any(|effect| matches!(effect, Effect::Close(Closing::Lost)));
    assert!(!closes(session.step(Event::Ticked, at(9_500))));
    assert!(closes(session.step(Event::Ticked, at(9_501))));
}

#[test]
fn no_lease_follows_the_promise_of_a_drain() {
    let mut session = running();
    let effects = session.step(Event::Said(FromWorker::Draining), at(1_000));
    assert!(matches!(effects[..], [Effect::Send(ToWorker::DrainStarted), Effect::Touch { draining: true }]));
    session.step(Event::Said(FromWorker::Credits(4)), at(1_001));
    assert_eq!(session.free(), 0);
    let effects = session.step(lease(2), at(1_002));
    assert!(matches!(effects[..], [Effect::GiveBack(lease, Duration::ZERO)] if lease == id(2)));
    assert_eq!(verdicts(&session.step(beat(1, &[1]), at(2_000))), [(token(1), Verdict::Renewed)]);
}

#[test]
fn of_much_progress_the_latest_is_published() {
    let mut session = running();
    let progress = |done| {
        let progress =
            Progress { phase: crate::domain::jobs::model::JobPhase::Receiving, done, total: 100, bytes: 0 };
        Event::Said(FromWorker::Progress { token: token(1), progress })
    };
    let published = |effects: Vec<Effect>| {
        effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Publish { progress, .. } => Some(progress.done),
                _ => None,
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(published(session.step(progress(1), at(0))), [1]);
    for done in 2..50 {
        assert!(published(session.step(progress(done), at(100))).is_empty());
    }
    assert_eq!(published(session.step(Event::Ticked, at(250))), [49]);
    assert!(published(session.step(Event::Ticked, at(500))).is_empty());
}

#[test]
fn a_second_hello_breaks_the_protocol() {
    let hello = super::super::message::Hello {
        protocol: 1,
        worker_id: String::new(),
        incarnation_id: String::new(),
        build: String::new(),
        kinds: Vec::new(),
        slots: 1,
        sandbox_tier: 1,
        held_leases: Vec::new(),
        proof: Vec::new(),
    };
    let effects = open().step(Event::Said(FromWorker::Hello(hello)), at(1));
    assert!(matches!(effects[..], [Effect::Close(Closing::Protocol)]));
}

/// Xorshift (G. Marsaglia, 2003): the same seed gives the same run.
fn roll(state: &mut u64, sides: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state % sides
}

/// Whatever the worker says in whatever order, every claim is either accepted or undone, and never both.
#[test]
fn every_offer_is_settled_once() {
    for seed in 1..200 {
        let (mut dice, mut session) = (seed, open());
        let (mut accepted, mut undone) = (HashSet::new(), HashSet::new());
        let (mut offered, mut millis) = (0_u8, 0);
        for _ in 0..200 {
            millis += i64::try_from(roll(&mut dice, 900)).unwrap();
            let number = u8::try_from(roll(&mut dice, u64::from(offered) + 1)).unwrap();
            let event = match roll(&mut dice, 9) {
                0 | 1 if offered < u8::MAX => {
                    offered += 1;
                    lease(offered)
                }
                2 | 3 => ack(number, roll(&mut dice, 3) > 0),
                4 => beat(1, &[number]),
                5 => Event::CancelAsked(token(number)),
                6 => Event::Said(FromWorker::CancelAck(token(number))),
                7 => Event::Said(FromWorker::Credits(u32::from(number))),
                _ => Event::Ticked,
            };
            for effect in session.step(event, at(millis)) {
                match effect {
                    Effect::Accept(lease, _) => assert!(accepted.insert(lease.token), "seed {seed}"),
                    Effect::GiveBack(lease, _) => assert!(undone.insert(lease.token), "seed {seed}"),
                    _ => {}
                }
            }
            assert!(session.free() <= SLOTS);
        }
        let open: HashSet<_> = session.offered().into_iter().map(|lease| lease.token).collect();
        assert!(accepted.is_disjoint(&undone), "seed {seed}");
        for number in 1..=offered {
            let settled = [&accepted, &undone, &open].iter().any(|set| set.contains(&token(number)));
            assert!(settled, "seed {seed}: offer {number} is forgotten");
        }
    }
}
