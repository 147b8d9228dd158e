//! Holds the source against the architecture: who may import whom, what each floor may know, names and sizes; and the
//! documents against the source.
//!
//! `source` reads the crates, `rules` judges what it read. Each rule is shown to fail on a counter-example, so that a
//! rule that sees nothing cannot pass unnoticed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod documents;
mod hygiene;
mod manifests;
mod rules;
mod skips;
mod source;
