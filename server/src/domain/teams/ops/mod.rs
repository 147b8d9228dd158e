//! What is done with teams.

pub(super) mod invitations;
pub(super) mod members;
pub(super) mod teams;
