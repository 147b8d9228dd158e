//! The rows of teams.

pub(super) mod invitations;
pub(super) mod members;
pub(super) mod teams;

use crate::{
    base::error::{Error, Result},
    domain::access::TeamRole,
};

fn role(text: &str) -> Result<TeamRole> {
    TeamRole::parse(text).ok_or_else(|| Error::internal("a member has an unknown role"))
}
