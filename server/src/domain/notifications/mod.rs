//! What users are told: stored, listed, and streamed as it arrives.
//!
//! Each user has a sequence of 1, 2, 3 and so on without gaps, so that a client which knows the last number
//! it has seen misses nothing and sees nothing twice. A text names what happened in plain English, and never
//! holds a token, a path or an address. The newest 1,000 of a user are kept, and of those about the security of
//! the account the newest 200, so that strangers cannot drive them out.

mod events;
mod model;
mod ops;
mod rpc;
mod store;
#[cfg(test)]
mod tests;

pub use events::Notify;
pub use rpc::Rpc;
