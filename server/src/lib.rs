//! The HiveSync server.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")
)]

pub mod app;
pub mod base;
pub mod domain;
pub mod edge;
