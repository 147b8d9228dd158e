#![allow(clippy::disallowed_methods, reason = "a test asks the environment for its database")]

mod invariants;
mod leases;
mod queue;
mod world;
