//! Holds the server against its contract: every RPC documented, marked, guarded, and every error catalogued.

#![allow(
    clippy::disallowed_methods,
    reason = "a test may be told by the environment to write its golden files"
)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod audited;
mod authorization;
mod cast;
mod descriptors;
mod errors;
mod golden;
mod idempotency;
mod paging;
mod personal_data;
mod policy;
mod provoked;
mod reference;
mod scene;
mod shelf;
