//! What other slices ask of this one.

use async_trait::async_trait;

use super::{
    model::{Member, Team},
    store,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::Result,
        ids::{TeamId, UserId},
    },
    domain::{
        access::{Memberships, TeamRole},
        auth::PersonalTeams,
        users::Name,
    },
};

/// Answers for memberships and makes personal teams.
#[derive(Clone, Copy, Debug, Default)]
pub struct Teams;

#[async_trait]
impl Memberships for Teams {
    async fn role_of(&self, _ctx: &Ctx, tx: &Tx, team: TeamId, user: UserId) -> Result<Option<TeamRole>> {
        Ok(store::members::find(tx, team, user).await?.map(|member| member.role))
    }

    async fn held_role_of(
        &self,
        _ctx: &Ctx,
        tx: &Tx,
        team: TeamId,
        user: UserId,
    ) -> Result<Option<TeamRole>> {
        Ok(store::members::find_held(tx, team, user).await?.map(|member| member.role))
    }
}

#[async_trait]
impl PersonalTeams for Teams {
    async fn create(&self, ctx: &Ctx, tx: &Tx, team: TeamId, owner: UserId, name: &Name) -> Result<()> {
        let team =
            Team { id: team, name: name.as_str().to_owned(), personal: true, created_at: ctx.clock.now() };
        store::teams::insert(tx, &team).await?;
        store::members::insert(tx, &Member::founder(&ctx.entropy, &team, owner)?).await?;
        Ok(())
    }
}
