//! Other people's clients, and other languages' clients, against the real server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    reason = "a test may be told by the environment to be quick, and starts sites of its own"
)]

mod browser;
mod buf;
mod grpcio;
mod grpcurl;
mod kotlin;
mod listener;
mod python;
mod quick_start;
mod scenario;
mod swift;
mod tls;
