//! The workers' side of the queue: their streams, and the claiming of jobs for them.
//!
//! One puller a server claims jobs for all its streams and is woken by whoever queues one. What a stream
//! does is decided by [`session`], which is stepped by events; [`stream`] carries that out.

mod message;
mod proof;
mod puller;
mod roster;
mod rpc;
mod session;
mod stream;
mod sweep;

use std::sync::Arc;

pub use proof::authenticate;
pub use rpc::Rpc;

use crate::base::ctx::Base;
use roster::Roster;

/// The streams of one server, and what serves them.
#[derive(Clone)]
pub struct Dispatch {
    roster: Arc<Roster>,
}

impl Dispatch {
    /// Starts to claim jobs for whatever workers come, and to end the leases of those that go.
    #[must_use]
    pub fn start(base: &Arc<Base>) -> Self {
        let roster = Arc::<Roster>::default();
        let (pulled, swept, served) = (base.clone(), base.clone(), roster.clone());
        base.tasks.supervise("jobs", move || puller::run(pulled.clone(), served.clone()));
        base.tasks.supervise("jobs-sweep", move || sweep::run(swept.clone()));
        Self { roster }
    }

    /// How many workers have a stream to this server.
    #[must_use]
    pub fn workers_connected(&self) -> usize {
        self.roster.len()
    }
}

#[cfg(test)]
mod tests;
