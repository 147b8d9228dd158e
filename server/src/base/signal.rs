//! Wake-ups: hints that something changed. A hint may be lost or come twice; whoever waits for one looks
//! into the database, and looks again after a while even if none came.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{
    broadcast::{self, error::RecvError},
    mpsc, watch,
};
use uuid::Uuid;

use super::{error::Result, kv::Kv, task::Tasks};

/// The channel on which servers wake each other.
const CHANNEL: &str = "signals";
/// Wake-ups that wait to be passed on; more are lost.
const LEAVING_MAX: usize = 4_096;

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

/// Where wake-ups are raised and awaited, within this process and, if it is shared, beyond it.
#[derive(Clone, Default)]
pub struct Signals {
    topics: Arc<Mutex<Topics>>,
    leaving: Arc<OnceLock<mpsc::Sender<String>>>,
}

type Topics = HashMap<(String, Uuid), watch::Sender<u64>>;

impl Signals {
    /// Wakes everybody who listens to `topic`, here and on the other servers.
    pub fn raise(&self, topic: Topic) {
        self.raise_here(topic.kind, topic.id);
        if let Some(leaving) = self.leaving.get() {
            // A wake-up is a hint: whoever misses it looks again after a while.
            let _ = leaving.try_send(format!("{} {}", topic.kind, topic.id));
        }
    }

    /// Wakes everybody in this process who listens to a topic that another server raised.
    fn raise_here(&self, kind: &str, id: Uuid) {
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

    /// Has servers that share `kv` wake each other.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the key store does not answer.
    pub async fn share(&self, kv: &Kv, tasks: &Tasks) -> Result<()> {
        tasks.spawn("signals in", self.clone().hear(kv.subscribe(CHANNEL).await?));
        let (sender, leaving) = mpsc::channel(LEAVING_MAX);
        if self.leaving.set(sender).is_ok() {
            tasks.spawn("signals out", pass_on(leaving, kv.clone()));
        }
        Ok(())
    }

    async fn hear(self, mut arriving: broadcast::Receiver<Bytes>) {
        loop {
            match arriving.recv().await {
                Ok(payload) => {
                    let text = String::from_utf8_lossy(&payload);
                    if let Some((kind, id)) = text.split_once(' ')
                        && let Ok(id) = id.parse()
                    {
                        self.raise_here(kind, id);
                    }
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }
}

async fn pass_on(mut leaving: mpsc::Receiver<String>, kv: Kv) {
    while let Some(payload) = leaving.recv().await {
        let _ = kv.publish(CHANNEL, payload).await;
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
