//! Teams: who works with whom, and in which role.
//!
//! Every account has a personal team, of which it is the only member; other teams grow by invitation. A
//! team has one owner from its first moment on. Nobody gives a role greater than their own. Invitations
//! name an address by its keyed digest, and appear to whoever has that address.
//!
//! This slice answers for [`crate::domain::access::Memberships`] and
//! [`crate::domain::auth::PersonalTeams`] through [`Teams`].

mod event;
mod model;
mod ops;
mod port;
mod rpc;
mod store;
#[cfg(test)]
mod tests;

pub use event::{MemberInvited, MemberJoined};
pub use ops::members::{admin_ids, ids as member_ids, ids_among as members_among};
pub use ops::teams::lock;
pub use port::Teams;
pub use rpc::Rpc;
