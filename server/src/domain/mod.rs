//! What HiveSync does: one slice a noun, ranked: access, audit, jobs, users, auth, teams, projects, previews,
//! notifications, admin. A slice imports `base` and the slices before it, never one after it; what it needs of a
//! later one it asks through a port that it owns.

pub mod access;
pub mod admin;
pub mod audit;
pub mod auth;
pub mod jobs;
pub mod notifications;
pub mod previews;
pub mod projects;
pub mod teams;
pub mod users;

#[cfg(test)]
mod fixture;
