//! The verbs of the queue.

mod cancel;
mod commit;
mod enqueue;
mod lease;
mod overview;
mod read;
mod settle;

#[cfg(test)]
pub(super) use cancel::cancel;
pub(super) use commit::{commit, release};
pub use enqueue::{Queued, enqueue};
pub(super) use lease::{accept, claim, connect, disconnect, renew, sweep};
pub use overview::{queue_depth, workers};
pub(super) use read::{Sighting, get, list, publish_progress, request_cancel, watch};
pub(super) use settle::{fail, give_back, on_behalf_of};
