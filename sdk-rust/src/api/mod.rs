//! The calls, one file for each service of the contract.

pub mod admin;
pub mod auth;
pub mod jobs;
pub mod notifications;
pub mod previews;
pub mod projects;
pub(crate) mod rpc;
pub mod teams;
pub mod users;
