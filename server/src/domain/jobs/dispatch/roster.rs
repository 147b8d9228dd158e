//! The streams of this server that take jobs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::message::Lease;
use crate::domain::jobs::model::JobKind;

/// One worker's stream, as the puller sees it.
#[derive(Clone)]
pub(super) struct Seat {
    pub session: Uuid,
    pub worker_id: String,
    pub incarnation_id: Uuid,
    pub kinds: Vec<JobKind>,
    /// Takes what was claimed for the worker.
    pub offers: mpsc::Sender<Box<Lease>>,
    /// Ends the stream, because the worker opened another.
    pub replaced: CancellationToken,
}

struct Entry {
    seat: Seat,
    free: u32,
    /// Claimed for the worker, and not yet seen by its stream.
    on_the_way: u32,
}

/// The streams of this server.
#[derive(Default)]
pub(super) struct Roster {
    entries: Mutex<HashMap<Uuid, Entry>>,
    changed: Notify,
}

impl Roster {
    fn entries(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many streams there are.
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Enters a stream; earlier ones of the same worker are ended. It leaves when the result is dropped.
    pub fn enter(self: &Arc<Self>, seat: Seat) -> Presence {
        let mut entries = self.entries();
        for entry in entries.values().filter(|entry| entry.seat.worker_id == seat.worker_id) {
            entry.seat.replaced.cancel();
        }
        let presence = Presence { roster: self.clone(), session: seat.session };
        entries.insert(seat.session, Entry { seat, free: 0, on_the_way: 0 });
        count(entries.len());
        presence
    }

    /// The stream with the most room that does any of `kinds`: how much room, and which of the kinds.
    pub fn freest(&self, kinds: &[JobKind]) -> Option<(Seat, u32, Vec<JobKind>)> {
        let entries = self.entries();
        let candidates = entries.values().filter_map(|entry| {
            let room = entry.free.saturating_sub(entry.on_the_way);
            let wanted: Vec<_> =
                kinds.iter().copied().filter(|kind| entry.seat.kinds.contains(kind)).collect();
            (room > 0 && !wanted.is_empty() && !entry.seat.replaced.is_cancelled())
                .then_some((entry, room, wanted))
        });
        let (entry, room, wanted) = candidates.max_by_key(|(_, room, _)| *room)?;
        Some((entry.seat.clone(), room, wanted))
    }

    /// Takes note of claims for a stream, until it has seen them.
    pub fn reserve(&self, session: Uuid, count: u32) {
        if let Some(entry) = self.entries().get_mut(&session) {
            entry.on_the_way = entry.on_the_way.saturating_add(count);
        }
    }

    /// Takes note that a claim has arrived, or has come to nothing.
    pub fn arrived(&self, session: Uuid) {
        if let Some(entry) = self.entries().get_mut(&session) {
            entry.on_the_way = entry.on_the_way.saturating_sub(1);
        }
    }

    /// Waits until a stream has more room than before.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

/// A stream's place in the roster.
pub(super) struct Presence {
    roster: Arc<Roster>,
    session: Uuid,
}

impl Presence {
    /// Says how many leases the worker takes now.
    pub fn set_free(&self, free: u32) {
        let mut entries = self.roster.entries();
        let Some(entry) = entries.get_mut(&self.session) else { return };
        let has_grown = free > entry.free;
        entry.free = free;
        drop(entries);
        if has_grown {
            self.roster.changed.notify_one();
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut entries = self.roster.entries();
        entries.remove(&self.session);
        count(entries.len());
    }
}

fn count(workers: usize) {
    metrics::gauge!("hivesync_workers_connected").set(u32::try_from(workers).unwrap_or(u32::MAX));
}
