//! Shuts accounts, and opens them again.

use super::sessions;
use crate::{
    base::{
        actor::Actor,
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::{
        audit::{self, Entry},
        auth::store::sessions::Ending,
        users::{self, Email, User},
    },
};

/// Shuts the account with the address `email`: its sessions end, and nobody signs in to it. What it published and
/// owns stays. No call can do this: only whoever commands the server's own machine.
///
/// # Errors
/// `PERMISSION_DENIED` for anybody but the server itself, `NOT_FOUND` if there is no such account.
pub async fn suspend(ctx: &Ctx, email: &Email) -> Result<()> {
    let (tx, user) = open(ctx, email).await?;
    users::set_disabled(&tx, user.id, Some(ctx.clock.now())).await?;
    let entry = Entry::new("users.suspended").user(user.id);
    sessions::end(ctx, tx, user.id, Ending::OfUser, entry).await
}

/// Opens an account that was shut. Its user signs in anew.
///
/// # Errors
/// As [`suspend`].
pub async fn reinstate(ctx: &Ctx, email: &Email) -> Result<()> {
    let (tx, user) = open(ctx, email).await?;
    users::set_disabled(&tx, user.id, None).await?;
    audit::append(ctx, &tx, Entry::new("users.reinstated").user(user.id));
    tx.commit().await
}

async fn open(ctx: &Ctx, email: &Email) -> Result<(Tx, User)> {
    if ctx.actor != Actor::System {
        return Err(Error::new(Reason::PermissionDenied));
    }
    let tx = ctx.begin().await?;
    let user = users::find_by_email(ctx, &tx, email).await?.ok_or_else(Error::not_found)?;
    Ok((tx, user))
}
