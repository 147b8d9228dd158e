#![allow(clippy::disallowed_methods, reason = "a test asks the environment for its database")]

mod invariants;
mod leases;
mod queue;
pub(in crate::domain::jobs) mod world;
