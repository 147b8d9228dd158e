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

/// Creates an account with its team. Whoever registers an address that is taken gets the same answer after
/// the same work, most of which is the hashing.
pub(in crate::domain::auth) async fn register(ctx: &Ctx, command: Register) -> Result<()> {
    limits::charge_register(ctx).await?;
    let password_hash = ctx.ports.get::<Passwords>()?.hash(ctx, &command.password).await?;
    let now = ctx.clock.now();
    let id = UserId(ctx.entropy.uuid(now)?);
    let team = TeamId(ctx.entropy.uuid(now)?);
    let user =
        User::new(&ctx.field_cipher, &ctx.entropy, (id, team), &command.email, &command.display_name, now)?;

    let tx = ctx.begin().await?;
    if !users::create(ctx, &tx, &user, &command.email).await? {
        drop(tx);
        return audit::record(ctx, Entry::new("auth.register").outcome(Outcome::Refused)).await;
    }
    credentials::insert(&tx, id, password_hash, now).await?;
    ctx.ports.get::<dyn PersonalTeams>()?.create(ctx, &tx, team, id, &command.display_name).await?;
    audit::append(ctx, &tx, Entry::new("auth.register").user(id).team(team)).await?;
    tx.commit().await
}
