//! What every slice stands on. Knows no business rule.

pub mod actor;
pub mod blob;
pub mod boot;
pub mod clock;
pub mod config;
pub mod crypto;
pub mod ctx;
pub mod db;
pub mod entropy;
pub mod error;
#[cfg(test)]
pub mod fixture;
pub mod idempotency;
pub mod ids;
pub mod kv;
pub mod lifecycle;
pub mod limit;
pub mod outbox;
pub mod page;
pub mod places;
pub mod ports;
pub mod rpc;
pub mod secret;
pub mod signal;
pub mod status;
pub mod task;
pub mod telemetry;
pub mod user_streams;
