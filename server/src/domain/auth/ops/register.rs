//! Creates an account.

use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        ids::{TeamId, UserId},
    },
    domain::{
        audit::{self, Entry, Outcome},
        auth::{
            PersonalTeams, limits, model::password_policy::Password, passwords::Passwords, store::credentials,
        },
        users::{self, Email, Name, User},
    },
};

/// A request to create an account.
#[derive(Clone)]
pub(in crate::domain::auth) struct Register {
    pub email: Email,
    pub password: Password,
    pub display_name: Name,
}

/// Creates an account with its team. Whoever registers an address that is taken gets the same answer after the same
/// work: the same rows are written, for an address that nobody has, and undone.
pub(in crate::domain::auth) async fn register(ctx: &Ctx, command: Register) -> Result<()> {
    limits::charge_register(ctx).await?;
    let password_hash = ctx.ports.get::<Passwords>()?.hash(ctx, &command.password).await?;
    let now = ctx.clock.now();
    let id = UserId(ctx.entropy.uuid(now)?);
    let team = TeamId(ctx.entropy.uuid(now)?);
    let user =
        User::new(&ctx.field_cipher, &ctx.entropy, (id, team), &command.email, &command.display_name, now)?;
    let unused = Email::new(&ctx.entropy.uuid(now)?.to_string());

    let tx = ctx.begin().await?;
    let is_taken = users::find_by_email(ctx, &tx, &command.email).await?.is_some();
    let mark = tx.set_mark().await?;
    let is_made = users::create(ctx, &tx, &user, if is_taken { &unused } else { &command.email }).await?;
    // Not made if somebody else has taken the address this very moment.
    if is_made {
        credentials::insert(&tx, id, password_hash, now).await?;
        ctx.ports.get::<dyn PersonalTeams>()?.create(ctx, &tx, team, id, &command.display_name).await?;
    }
    let entry = Entry::new("auth.register");
    let entry = if is_taken || !is_made {
        tx.return_to_mark(mark).await?;
        entry.outcome(Outcome::Refused)
    } else {
        tx.forget_mark(mark).await?;
        entry.user(id).team(team)
    };
    audit::append(ctx, &tx, entry);
    tx.commit().await
}
