//! What HiveSync does: one slice a noun, ranked. A slice imports `base` and the slices before it in this list,
//! never one after it; what it needs of a later one it asks through a port that it owns.

pub mod access;
pub mod audit;
pub mod auth;
pub mod jobs;
pub mod notifications;
pub mod projects;
pub mod users;
