//! The verbs of the queue.

mod cancel;
mod commit;
mod enqueue;
mod lease;
mod overview;
mod read;
mod settle;
mod workers;

#[cfg(test)]
pub(super) use cancel::cancel;
pub(super) use commit::{commit, release};
pub use enqueue::{Queued, enqueue};
pub(super) use lease::{accept, cancelling, claim, next_due, next_overdue, renew, sweep};
pub(super) use overview::measure;
pub use overview::{queue_depth, workers};
pub(super) use read::{Sighting, get, list, publish_progress, request_cancel, watch};
pub(super) use settle::{fail, give_back, on_behalf_of};
pub(super) use workers::{connect, disconnect, forget_silent_workers, touch};
