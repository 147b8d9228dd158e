//! Previews: a bundle of files that a desktop publishes for a short time and one device opens.
//!
//! - A preview can be opened only after a worker has read every file of it and found it to be what the
//!   manifest says. Content is kept once for each project, never across projects: what another tenant has
//!   cannot be found out.
//! - Bytes go to and come from the object store directly, through addresses that are signed for one object
//!   and a short time. The name of an object is random, and written down before anybody learns of it, so
//!   that no object is ever unknown; an object is marked first, deleted then, and forgotten last.
//! - A token opens one preview on one device (or for one user) and has no row: it is sealed for that device's
//!   key. Whatever is wrong with a token, the answer is the same. Who opens a preview learns neither project
//!   nor publisher.

mod model;
mod ops;
mod preview_verify_job;
mod rpc;
mod store;
mod sweep;
mod token;

pub use model::{PreviewFailed, PreviewReady};
pub use ops::EndPreviews;
pub use preview_verify_job::PreviewVerifyJob;
pub use rpc::Rpc;
pub use sweep::sweep;
