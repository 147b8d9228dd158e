//! Wake-ups: hints that something changed. A hint may be lost or come twice; whoever waits for one looks
//! into the database, and looks again after a while even if none came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;
use uuid::Uuid;

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Topic {
    /// The kind of thing, such as `jobs`.
    pub kind: &'static str,
    /// Which one; nil for all of the kind.
    pub id: Uuid,
}

impl Topic {
    /// Everything of a kind.
    #[must_use]
    pub const fn all(kind: &'static str) -> Self {
        Self { kind, id: Uuid::nil() }
    }

    /// One thing of a kind.
    #[must_use]
    pub const fn one(kind: &'static str, id: Uuid) -> Self {
        Self { kind, id }
    }
}

/// Where wake-ups are raised and awaited, within this process and, through a relay, beyond it.
#[derive(Clone, Default)]
pub struct Signals {
    topics: Arc<Mutex<Topics>>,
    relay: Arc<Mutex<Option<Relay>>>,
}

type Topics = HashMap<(String, Uuid), watch::Sender<u64>>;
type Relay = Box<dyn Fn(&Topic) + Send + Sync>;

impl Signals {
    /// Wakes everybody who listens to `topic`, here and on the other servers.
    pub fn raise(&self, topic: Topic) {
        self.raise_here(topic.kind, topic.id);
        if let Some(relay) = self.relay.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            relay(&topic);
        }
    }

    /// Wakes everybody in this process who listens to a topic that another server raised.
    pub fn raise_here(&self, kind: &str, id: Uuid) {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (kind.to_owned(), id);
        let Some(sender) = topics.get(&key) else { return };
        if sender.is_closed() {
            topics.remove(&key);
        } else {
            sender.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    /// Begins to listen to `topic`: every wake-up from now on counts, also one that comes before the
    /// first wait.
    #[must_use]
    pub fn listen(&self, topic: Topic) -> Listener {
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.retain(|_, sender| !sender.is_closed());
        let sender = topics.entry((topic.kind.to_owned(), topic.id)).or_insert_with(|| watch::channel(0).0);
        Listener(sender.subscribe())
    }

    /// Passes every wake-up on to the other servers through `relay`, which must not block.
    pub fn relay_through(&self, relay: impl Fn(&Topic) + Send + Sync + 'static) {
        *self.relay.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(relay));
    }
}

/// Waits for wake-ups of one topic.
pub struct Listener(watch::Receiver<u64>);

impl Listener {
    /// Waits until the topic was raised since the last wait.
    pub async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            // The topic was dropped while nobody listened; a later one has a new sender, and whoever
            // waits looks again after a while in any case.
            std::future::pending::<()>().await;
        }
    }

    /// Waits until the topic was raised, or `longest` has passed.
    pub async fn wait_at_most(&mut self, longest: std::time::Duration) {
        tokio::select! {
            () = self.wait() => {}
            () = super::clock::sleep(longest) => {}
        }
    }
}
