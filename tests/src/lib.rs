//! The harness of the front-door tests: the real server on ephemeral ports, its stores, and actors that are clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "a test says what it skips")]
#![allow(clippy::disallowed_methods, reason = "the world of a test has its own time, chance and tasks")]

pub mod actor;
pub mod authority;
pub mod backend;
pub mod binary;
pub mod caller;
pub mod certificate;
pub mod command_line;
pub mod device;
pub mod interleaving;
pub mod leftovers;
pub mod manifest;
pub mod process;
pub mod raw_worker;
pub mod relay;
pub mod repository;
pub mod rows;
pub mod seed;
pub mod tap;
pub mod tool;
pub mod wire;
pub mod worker;
pub mod world;
