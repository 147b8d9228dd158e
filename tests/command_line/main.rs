//! `hsync`, and `hivesync` itself, as a person and a script meet them: the real binary, against a real server, on a real
//! pseudo-terminal or in a pipe.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has its own time, processes and environment")]
#![allow(clippy::large_futures, reason = "a test is one future, and has a thread for itself")]

mod check;
mod commands;
mod completions;
mod documents;
mod failures;
mod hostile;
mod interruption;
mod link;
mod pipe;
mod power_cut;
mod program;
mod server;
mod session;
mod settings;
mod shape;
mod terminal;
mod terminal_output;
