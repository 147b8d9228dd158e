//! What survives the sudden death of a process, or of what it depends on: everything that was answered, and nothing by
//! halves.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says what chance has chosen")]
#![allow(clippy::disallowed_methods, reason = "faults happen at moments of the real clock")]

mod canary;
mod client;
mod drain;
mod kill;
mod leftovers;
mod outage;
mod refusals;
mod session;
