//! The audit log: what happened that matters to security, by whom, from where, and how it ended.
//!
//! An entry is written in the transaction that makes the change ([`append`]), so that there is no change
//! without its entry; a refusal or failure, which leaves no transaction behind, in one of its own
//! ([`record`]). Entries are numbered without gaps, and each digest covers the one before it, so that one
//! that is changed, removed or moved is found. An entry never holds code, tokens, paths or addresses of
//! e-mail.

mod model;
mod ops;
mod rpc;
mod store;
#[cfg(test)]
mod tests;

pub use model::{Entry, Outcome};
pub use ops::{append, record};
pub use rpc::Rpc;
