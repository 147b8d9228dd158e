//! The verbs of the queue.

mod cancel;
mod enqueue;

pub use enqueue::enqueue;
