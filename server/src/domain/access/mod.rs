//! Who may do what in a team.
//!
//! A write that somebody asks for in a team begins with [`require`], and what it returns, a [`Grant`], is what the
//! slice's `store` takes: without a permission it does not compile. Somebody who is not a member is told the same as
//! for a team that does not exist.
//!
//! Which role a user has in a team is known to a slice that is ranked later. It answers through
//! [`Memberships`].

mod model;

use async_trait::async_trait;

pub use model::{Grant, OperatorGrant, Permission, TeamRole};

use crate::base::{
    ctx::Ctx,
    db::Tx,
    error::{Error, Reason, Result},
    ids::{TeamId, UserId},
};

/// Knows who is in which team.
#[async_trait]
pub trait Memberships: Send + Sync {
    /// The role of `user` in `team`; `None` if the user is not a member or there is no such team.
    async fn role_of(&self, ctx: &Ctx, tx: &Tx, team: TeamId, user: UserId) -> Result<Option<TeamRole>>;

    /// As [`Memberships::role_of`]; in a transaction that writes, the role stays as it is until that ends.
    async fn held_role_of(&self, ctx: &Ctx, tx: &Tx, team: TeamId, user: UserId) -> Result<Option<TeamRole>>;
}

/// Requires that the caller has `permission` in `team`. In a transaction that writes, the caller keeps it until that
/// ends: whoever takes it away waits, so that nothing is written on the strength of a role that is gone.
///
/// # Errors
/// `UNAUTHENTICATED` without a signed-in user, `NOT_FOUND` for somebody who is not a member,
/// `PERMISSION_DENIED` for a member whose role does not suffice.
pub async fn require(ctx: &Ctx, tx: &Tx, team: TeamId, permission: Permission) -> Result<Grant> {
    let user = ctx.user()?.id;
    let memberships = ctx.ports.get::<dyn Memberships>()?;
    let role = memberships.held_role_of(ctx, tx, team, user).await?.ok_or_else(Error::not_found)?;
    Grant::of_member(team, user, role, permission).ok_or_else(|| Error::new(Reason::PermissionDenied))
}

/// Requires that the caller is an operator of the platform.
///
/// # Errors
/// `UNAUTHENTICATED` without a signed-in user, `PERMISSION_DENIED` for one who is not an operator.
pub fn require_operator(ctx: &Ctx) -> Result<OperatorGrant> {
    OperatorGrant::of(ctx.user()?).ok_or_else(|| Error::new(Reason::PermissionDenied))
}
