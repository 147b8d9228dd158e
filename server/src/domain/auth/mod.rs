//! Signing in: passwords, devices, sessions and their tokens.
//!
//! A *session* is one sign-in on one device. It is continued by refresh tokens, each of which is good for
//! one exchange and only together with the device's key; a token that comes back after that ends the
//! session. Between exchanges, access tokens that live for minutes are verified without asking anybody.
//!
//! Invariants: no token and no password is at rest; a session has one current refresh token; every sign-in,
//! whatever becomes of it, costs one comparison of a password; the answer to a registration does not tell
//! whether the address was known; an ended session's access tokens are refused within a second;
//! a suspended account has no session.

mod access_tokens;
pub mod device_proof;
mod event;
mod limits;
mod model;
mod ops;
mod passwords;
mod revocations;
mod rpc;
mod store;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub use access_tokens::AccessTokens;
pub use event::{DeviceAdded, RefreshReused};
pub use model::device::Device;
pub use ops::{
    devices::find_device,
    sessions::{require_live_session, sweep},
    suspend::{reinstate, suspend},
};
pub use passwords::Passwords;
pub use revocations::{TOPIC as SESSIONS_ENDED, follow_revocations};
pub use rpc::Rpc;

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::Result,
        ids::{TeamId, UserId},
    },
    domain::users::Name,
};

/// Makes the team that belongs to an account.
#[async_trait]
pub trait PersonalTeams: Send + Sync {
    /// Makes `team` for `owner` alone, in the transaction that makes the account.
    async fn create(&self, ctx: &Ctx, tx: &Tx, team: TeamId, owner: UserId, name: &Name) -> Result<()>;
}
