//! One worker's stream as a state machine: it is stepped by what happened and when, and says what is to be
//! done. It knows no network, no database and no clock, so that a test is its whole world.

use std::{collections::HashMap, time::Duration};

use super::message::{FromWorker, Lease, ToWorker, Verdict};
use crate::{
    base::{clock::Timestamp, ids::JobId},
    domain::jobs::model::{JobKind, LeaseId, LeaseToken, Progress, Resumed, Timing},
};

/// Beats without a lease in them, after which the worker no longer holds it.
const MISSING_BEATS_MAX: u8 = 2;
/// How long a job waits that a worker did not want.
const REJECTED_PAUSE: Duration = Duration::from_secs(1);

/// How often a job's progress is published at most.
const PUBLISH_EVERY: Duration = Duration::from_millis(250);

/// What happened.
#[derive(Debug)]
pub(super) enum Event {
    /// The worker said something.
    Said(FromWorker),
    /// A job was claimed for the worker.
    Offered(Box<Lease>),
    /// A job that the worker holds is to be cancelled.
    CancelAsked(LeaseToken),
    /// These leases were renewed up to `until`; those that were to be renewed and are not here are over.
    Renewed { sequence: u64, until: Timestamp, held: Vec<(LeaseToken, bool)> },
    /// This lease turned out to be over.
    Over(LeaseToken),
    /// Time has passed.
    Ticked,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Effect {
    /// Tell the worker.
    Send(ToWorker),
    /// Write that the lease was accepted.
    Accept(LeaseId, JobKind),
    /// Undo the claim; the job may start again after a pause.
    GiveBack(LeaseId, Duration),
    /// Renew these leases, and report with [`Event::Renewed`] under this sequence.
    Renew { sequence: u64, until: Timestamp, leases: Vec<LeaseId> },
    /// Write that the job was stopped as asked.
    Stopped(LeaseId),
    /// Publish how far the job is.
    Publish { job: JobId, epoch: u64, progress: Progress },
    /// Write that the worker was heard of, and whether it is draining.
    Touch { draining: bool },
    /// End the stream.
    Close(Closing),
}

/// Why a stream is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// The worker was silent for too long, or its connection is gone.
    Lost,
    /// The worker did not stop a job when it was asked to.
    Evicted,
    /// The worker does not keep to the protocol.
    Protocol,
    /// The worker opened another stream.
    Replaced,
    /// The server stops.
    GoingAway,
}

/// A lease on the way to the worker, or held by it.
#[derive(Debug)]
struct Held {
    job: JobId,
    kind: JobKind,
    epoch: u64,
    offered_at: Timestamp,
    accepted: bool,
    /// Up to when the lease is written.
    written_until: Timestamp,
    cancel_sent_at: Option<Timestamp>,
    missing_beats: u8,
    published_at: Option<Timestamp>,
    /// How far it is, if that is still to be published.
    unpublished: Option<Progress>,
}

impl Held {
    fn offered(job: JobId, kind: JobKind, epoch: u64, now: Timestamp) -> Self {
        Self {
            job,
            kind,
            epoch,
            offered_at: now,
            accepted: false,
            written_until: now,
            cancel_sent_at: None,
            missing_beats: 0,
            published_at: None,
            unpublished: None,
        }
    }

    /// Publishes how far the job is, unless that was done a moment ago.
    fn publish(&mut self, now: Timestamp) -> Option<Effect> {
        if self.published_at.is_some_and(|at| now.since(at) < PUBLISH_EVERY) {
            return None;
        }
        let progress = self.unpublished.take()?;
        self.published_at = Some(now);
        Some(Effect::Publish { job: self.job, epoch: self.epoch, progress })
    }
}

/// The state of one stream.
#[derive(Debug)]
pub(super) struct Session {
    timing: Timing,
    slots: u32,
    credits: u32,
    draining: bool,
    heard_at: Timestamp,
    touched_at: Timestamp,
    /// Up to when the worker may believe in its leases.
    promised_until: Timestamp,
    held: HashMap<LeaseToken, Held>,
    /// The beat that is answered once its leases are renewed.
    beat: Option<Beat>,
}

#[derive(Debug)]
struct Beat {
    sequence: u64,
    leases: Vec<LeaseToken>,
    /// Those of this stream that were to be renewed.
    due: Vec<LeaseToken>,
}

impl Session {
    /// A stream that was opened at `now` by a worker with `slots`, which goes on with the leases in `resumed`.
    pub fn open(timing: Timing, slots: u32, resumed: &[Resumed], now: Timestamp) -> Self {
        let held = resumed.iter().map(|resumed| {
            let mut held = Held::offered(resumed.lease.job, resumed.kind, resumed.epoch, now);
            held.accepted = true;
            held.written_until = resumed.written_until;
            (resumed.lease.token, held)
        });
        Self {
            timing,
            slots,
            credits: 0,
            draining: false,
            heard_at: now,
            touched_at: now,
            promised_until: now + timing.ttl,
            held: held.collect(),
            beat: None,
        }
    }

    /// Leases that the worker takes now.
    pub fn free(&self) -> u32 {
        if self.draining { 0 } else { self.credits }
    }

    /// The leases that the worker has accepted, and up to when it may believe in them.
    pub fn promised(&self) -> (Vec<LeaseId>, Timestamp) {
        (self.leases(|held| held.accepted).collect(), self.promised_until)
    }

    /// The leases that the worker has not accepted.
    pub fn offered(&self) -> Vec<LeaseId> {
        self.leases(|held| !held.accepted).collect()
    }

    fn leases(&self, wanted: impl Fn(&Held) -> bool) -> impl Iterator<Item = LeaseId> {
        let wanted = self.held.iter().filter(move |(_, held)| wanted(held));
        wanted.map(|(token, held)| LeaseId { job: held.job, token: *token })
    }

    /// What is to be done about `event` at `now`.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Said(said) => {
                self.heard_at = now;
                self.hear(said, now)
            }
            Event::Offered(lease) => self.offer(*lease, now),
            Event::CancelAsked(token) => self.cancel(token, now),
            Event::Renewed { sequence, until, held } => self.renewed(sequence, until, &held, now),
            Event::Over(token) => match self.held.remove(&token) {
                Some(_) => vec![Effect::Send(ToWorker::Revoke(token))],
                None => Vec::new(),
            },
            Event::Ticked => self.tick(now),
        }
    }

    fn hear(&mut self, said: FromWorker, now: Timestamp) -> Vec<Effect> {
        match said {
            FromWorker::Hello(_) => vec![Effect::Close(Closing::Protocol)],
            FromWorker::Credits(free) => {
                let offered = self.held.values().filter(|held| !held.accepted).count();
                let offered = u32::try_from(offered).unwrap_or(u32::MAX);
                self.credits = free.min(self.slots).saturating_sub(offered);
                Vec::new()
            }
            FromWorker::LeaseAck { token, accepted: true } => self.accepted(token, now),
            FromWorker::LeaseAck { token, accepted: false } => self.rejected(token),
            FromWorker::Heartbeat { sequence, leases } => self.beat(sequence, leases, now),
            FromWorker::Progress { token, progress } => {
                let Some(held) = self.held.get_mut(&token) else { return Vec::new() };
                held.unpublished = Some(progress);
                held.publish(now).into_iter().collect()
            }
            FromWorker::ExecDone => Vec::new(),
            FromWorker::CancelAck(token) => self.stopped(token),
            FromWorker::Draining => {
                self.draining = true;
                vec![Effect::Send(ToWorker::DrainStarted), Effect::Touch { draining: true }]
            }
        }
    }

    fn offer(&mut self, lease: Lease, now: Timestamp) -> Vec<Effect> {
        let id = LeaseId { job: lease.job, token: lease.token };
        if self.draining {
            return vec![Effect::GiveBack(id, Duration::ZERO)];
        }
        self.credits = self.credits.saturating_sub(1);
        let held = Held::offered(lease.job, lease.work.kind(), lease.epoch, now);
        self.held.insert(lease.token, held);
        vec![Effect::Send(ToWorker::Lease(Box::new(lease)))]
    }

    fn accepted(&mut self, token: LeaseToken, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.held.get_mut(&token) else {
            return vec![Effect::Send(ToWorker::Revoke(token))];
        };
        if held.accepted {
            return Vec::new();
        }
        held.accepted = true;
        held.written_until = now + self.timing.written_ahead();
        self.promised_until = now + self.timing.ttl;
        vec![Effect::Accept(LeaseId { job: held.job, token }, held.kind)]
    }

    /// Whoever does not want what it asked for asks anew.
    fn rejected(&mut self, token: LeaseToken) -> Vec<Effect> {
        match self.held.get(&token) {
            Some(held) if !held.accepted => {
                let id = LeaseId { job: held.job, token };
                self.held.remove(&token);
                self.credits = 0;
                vec![Effect::GiveBack(id, REJECTED_PAUSE)]
            }
            _ => Vec::new(),
        }
    }

    fn stopped(&mut self, token: LeaseToken) -> Vec<Effect> {
        match self.held.get(&token) {
            Some(held) if held.cancel_sent_at.is_some() => {
                let id = LeaseId { job: held.job, token };
                self.held.remove(&token);
                vec![Effect::Stopped(id)]
            }
            _ => Vec::new(),
        }
    }

    fn beat(&mut self, sequence: u64, leases: Vec<LeaseToken>, now: Timestamp) -> Vec<Effect> {
        self.forget_missing(&leases);
        // What was written must also cover the beats that are answered without a write.
        let covered = now + self.timing.ttl + self.timing.beat;
        let due: Vec<_> = self.leases(|held| held.accepted && held.written_until < covered).collect();
        if due.is_empty() {
            return self.answer(sequence, &leases, now);
        }
        let tokens = due.iter().map(|lease| lease.token).collect();
        self.beat = Some(Beat { sequence, leases, due: tokens });
        vec![Effect::Renew { sequence, until: now + self.timing.written_ahead(), leases: due }]
    }

    /// A lease that the worker leaves out has ended: it was handed in over another call.
    fn forget_missing(&mut self, leases: &[LeaseToken]) {
        self.held.retain(|token, held| {
            held.missing_beats =
                if !held.accepted || leases.contains(token) { 0 } else { held.missing_beats + 1 };
            held.missing_beats < MISSING_BEATS_MAX
        });
    }

    fn renewed(
        &mut self,
        sequence: u64,
        until: Timestamp,
        renewed: &[(LeaseToken, bool)],
        now: Timestamp,
    ) -> Vec<Effect> {
        let Some(beat) = self.beat.take_if(|beat| beat.sequence == sequence) else { return Vec::new() };
        let mut effects = Vec::new();
        for (token, cancelling) in renewed {
            if let Some(held) = self.held.get_mut(token) {
                held.written_until = until;
                if *cancelling {
                    effects.extend(self.cancel(*token, now));
                }
            }
        }
        // What was to be renewed and was not belongs to somebody else now.
        for token in beat.due.iter().filter(|due| !renewed.iter().any(|(token, _)| token == *due)) {
            self.held.remove(token);
        }
        effects.extend(self.answer(sequence, &beat.leases, now));
        effects
    }

    fn answer(&mut self, sequence: u64, leases: &[LeaseToken], now: Timestamp) -> Vec<Effect> {
        self.promised_until = now + self.timing.ttl;
        let verdict = |token: &LeaseToken| match self.held.get(token) {
            None => Verdict::Lost,
            Some(held) if held.cancel_sent_at.is_some() => Verdict::Cancel,
            Some(_) => Verdict::Renewed,
        };
        let verdicts = leases.iter().map(|token| (*token, verdict(token))).collect();
        vec![Effect::Send(ToWorker::HeartbeatAck { sequence, verdicts })]
    }

    fn cancel(&mut self, token: LeaseToken, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.held.get_mut(&token) else { return Vec::new() };
        if !held.accepted {
            let id = LeaseId { job: held.job, token };
            self.held.remove(&token);
            return vec![Effect::Send(ToWorker::Revoke(token)), Effect::GiveBack(id, Duration::ZERO)];
        }
        if held.cancel_sent_at.is_some() {
            return Vec::new();
        }
        held.cancel_sent_at = Some(now);
        vec![Effect::Send(ToWorker::Cancel { token, grace: self.timing.grace })]
    }

    fn tick(&mut self, now: Timestamp) -> Vec<Effect> {
        if now.since(self.heard_at) > self.timing.silence {
            return vec![Effect::Close(Closing::Lost)];
        }
        let unstopped =
            |held: &Held| held.cancel_sent_at.is_some_and(|sent_at| now.since(sent_at) > self.timing.cancel);
        if self.held.values().any(unstopped) {
            return vec![Effect::Close(Closing::Evicted)];
        }
        let mut effects = self.undo_unanswered(now);
        effects.extend(self.held.values_mut().filter_map(|held| held.publish(now)));
        if now.since(self.touched_at) >= self.timing.ttl / 2 {
            self.touched_at = now;
            effects.push(Effect::Touch { draining: self.draining });
        }
        effects
    }

    /// Undoes claims that the worker did not answer in time. It gets no more until it asks anew.
    fn undo_unanswered(&mut self, now: Timestamp) -> Vec<Effect> {
        let patience = self.timing.ack;
        let unanswered: Vec<_> =
            self.leases(|held| !held.accepted && now.since(held.offered_at) > patience).collect();
        let mut effects = Vec::new();
        for id in unanswered {
            self.held.remove(&id.token);
            self.credits = 0;
            effects.push(Effect::Send(ToWorker::Revoke(id.token)));
            effects.push(Effect::GiveBack(id, Duration::ZERO));
        }
        effects
    }
}

#[cfg(test)]
mod tests;
