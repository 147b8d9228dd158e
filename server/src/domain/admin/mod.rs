//! What operators see of the platform. Every look is recorded.

mod ops;
mod rpc;

pub use rpc::Rpc;
