//! Accounts: who somebody is.
//!
//! An e-mail address is sealed at rest and found through a keyed digest of its normal form, so that neither
//! a copy of the database nor its indexes give it away. Nobody but its owner is shown it.

mod model;
mod ops;
mod rpc;
mod store;

pub use model::{Email, EmailIndex, Name, User};
pub use ops::{create, display_names, find, find_by_email, find_held, lock, set_disabled, set_role};
pub use rpc::Rpc;
