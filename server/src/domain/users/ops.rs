//! What is done with accounts.

use std::collections::HashMap;

use super::{
    model::{Email, Name, User},
    store,
};
use crate::{
    base::{
        actor::{Actor, PlatformRole},
        clock::Timestamp,
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::UserId,
    },
    domain::audit::{self, Entry},
};

/// Writes a new account for `email`; whether the address was free. A row that was refused is not there.
///
/// # Errors
/// If the database does not answer.
pub async fn create(ctx: &Ctx, tx: &Tx, user: &User, email: &Email) -> Result<bool> {
    store::insert(tx, user, email.index(&ctx.keys)?).await
}

/// The account `id`.
///
/// # Errors
/// If the database does not answer.
pub async fn find(tx: &Tx, id: UserId) -> Result<Option<User>> {
    store::find(tx, id).await
}

/// The account `id`, which nobody changes until the transaction ends.
///
/// # Errors
/// If the database does not answer.
pub async fn find_held(tx: &Tx, id: UserId) -> Result<Option<User>> {
    store::find_held(tx, id).await
}

/// Waits until no other transaction that adds to the account `id` is open: what is counted of it after this is what it
/// has until the transaction ends.
///
/// # Errors
/// If the database does not answer.
pub async fn lock(tx: &Tx, id: UserId) -> Result<()> {
    store::lock(tx, id).await
}

/// Shuts the account `id` from `disabled_at` on, or opens it. Its sessions are somebody else's to end.
///
/// # Errors
/// If the database does not answer.
pub async fn set_disabled(tx: &Tx, id: UserId, disabled_at: Option<Timestamp>) -> Result<()> {
    store::set_disabled(tx, id, disabled_at).await
}

/// The account with the address `email`.
///
/// # Errors
/// If the database does not answer.
pub async fn find_by_email(ctx: &Ctx, tx: &Tx, email: &Email) -> Result<Option<User>> {
    store::find_by_email(tx, email.index(&ctx.keys)?).await
}

/// How the users of a page are shown to others. Users that are not there are left out.
///
/// # Errors
/// If the database does not answer.
pub async fn display_names(tx: &Tx, ids: &[UserId]) -> Result<HashMap<UserId, String>> {
    store::display_names(tx, ids).await
}

/// Gives the account with the address `email` another role on the platform. No call can do this: only
/// whoever commands the server's own machine. Tokens that are out keep the old role until they expire.
///
/// # Errors
/// `PERMISSION_DENIED` for anybody but the server itself, `NOT_FOUND` if there is no such account.
pub async fn set_role(ctx: &Ctx, email: &Email, role: PlatformRole) -> Result<()> {
    if ctx.actor != Actor::System {
        return Err(Error::new(Reason::PermissionDenied));
    }
    let tx = ctx.begin().await?;
    let user = find_by_email(ctx, &tx, email).await?.ok_or_else(Error::not_found)?;
    store::set_role(&tx, user.id, role).await?;
    audit::append(ctx, &tx, Entry::new("users.role").user(user.id));
    tx.commit().await
}

/// The caller's account.
pub(super) async fn get_me(ctx: &Ctx) -> Result<User> {
    find(&ctx.read(), ctx.user()?.id).await?.ok_or_else(|| Error::new(Reason::Unauthenticated))
}

/// Renames the caller.
pub(super) async fn update_me(ctx: &Ctx, display_name: Name) -> Result<User> {
    let id = ctx.user()?.id;
    let tx = ctx.begin().await?;
    let user = store::rename(&tx, id, &display_name).await?;
    let user = user.ok_or_else(|| Error::new(Reason::Unauthenticated))?;
    audit::append(ctx, &tx, Entry::new("users.update"));
    tx.commit().await?;
    Ok(user)
}
