//! Makes, shows and lists teams.

use std::collections::HashMap;

use uuid::Uuid;

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        idempotency,
        ids::TeamId,
        page::{Page, PageRequest},
    },
    domain::{
        access::{self, Permission, TeamRole},
        audit::{self, Entry},
        teams::{
            model::{CreateTeam, Member, TEAMS_MAX, Team},
            store,
        },
        users,
    },
};

/// The list's name in page tokens.
const SCOPE: &str = "teams.mine";

/// Waits until no other transaction that adds to `team` is open: what is counted of it after this is what it has until
/// the transaction ends.
///
/// # Errors
/// If the database does not answer.
pub async fn lock(tx: &Tx, team: TeamId) -> Result<()> {
    store::teams::lock(tx, team).await
}

/// Makes a team that the caller owns.
pub(in crate::domain::teams) async fn create(ctx: &Ctx, command: CreateTeam) -> Result<(Team, TeamRole)> {
    let owner = ctx.user()?.id;
    let now = ctx.clock.now();
    let team = Team {
        id: TeamId(ctx.entropy.uuid(now)?),
        name: command.name.as_str().to_owned(),
        personal: false,
        created_at: now,
    };
    let tx = ctx.begin().await?;
    let request = [team.name.as_str()];
    if let Some(earlier) = idempotency::claim(ctx, &tx, command.idempotency_key, &request, team.id.0).await? {
        drop(tx);
        return get(ctx, TeamId(earlier)).await;
    }
    users::lock(&tx, owner).await?;
    if store::members::count_of_user(&tx, owner).await? >= TEAMS_MAX {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    store::teams::insert(&tx, &team).await?;
    store::members::insert(&tx, &Member::founder(&ctx.entropy, &team, owner)?).await?;
    audit::append(ctx, &tx, Entry::new("teams.create").team(team.id));
    tx.commit().await?;
    Ok((team, TeamRole::Owner))
}

/// A team of the caller, and the caller's role in it.
pub(in crate::domain::teams) async fn get(ctx: &Ctx, id: TeamId) -> Result<(Team, TeamRole)> {
    let tx = ctx.read();
    let grant = access::require(ctx, &tx, id, Permission::ReadTeam).await?;
    let team = store::teams::find(&tx, id).await?.ok_or_else(Error::not_found)?;
    Ok((team, grant.role()))
}

/// The caller's teams with the caller's roles, oldest first.
pub(in crate::domain::teams) async fn list(
    ctx: &Ctx,
    request: PageRequest,
) -> Result<Page<(Team, TeamRole)>> {
    let after = request.after(ctx, SCOPE)?.and_then(|key| Uuid::from_slice(&key).ok()).map(TeamId);
    let tx = ctx.read();
    let found = store::members::list_of_user(&tx, ctx.user()?.id, after, request.size + 1).await?;
    let page = Page::cut(ctx, SCOPE, &request, found, |last| last.team.0.as_bytes().to_vec())?;
    let ids: Vec<_> = page.items.iter().map(|member| member.team).collect();
    let teams = store::teams::find_all(&tx, &ids).await?;
    let mut teams: HashMap<_, _> = teams.into_iter().map(|team| (team.id, team)).collect();
    let items =
        page.items.iter().filter_map(|member| Some((teams.remove(&member.team)?, member.role))).collect();
    Ok(Page { items, next: page.next })
}
