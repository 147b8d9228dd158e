//! The HiveSync client.
//!
//! [`Client`] is where everything starts. It signs in once, keeps the session in the operating system's
//! key store, renews its tokens when they are needed, repeats what may be repeated, and tells failures by
//! thirteen [kinds](ErrorKind).

mod api;
mod builder;
mod client;
mod clock;
mod core;
mod device_key;
mod entropy;
mod error;
#[cfg(test)]
mod fake_server;
pub mod keychain;
mod operation;
pub mod page;
mod platform;
mod secret;
mod session;
mod task;
#[cfg(feature = "cli")]
pub mod terminal;
mod transport;
mod watch;
mod wire;

pub use api::{admin, auth, jobs, notifications, previews, projects, teams, users};
pub use builder::ClientBuilder;
pub use client::Client;
pub use error::{Error, ErrorKind, ErrorReason, Result, SignedOutReason, StorageErrorKind};
pub use operation::Operation;
pub use secret::Secret;
pub use session::Account;
