//! Lists, changes and removes members.

use uuid::Uuid;

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Result},
        ids::{TeamId, UserId},
        page::{Page, PageRequest},
    },
    domain::{
        access::{self, Permission, TeamRole},
        audit::{self, Entry},
        teams::{
            model::{self, Member},
            store,
        },
        users,
    },
};

/// Owner and admins of a team that are named at once.
const ADMINS_TOLD_MAX: u64 = 50;

/// A member, and how the user is shown to others.
pub(in crate::domain::teams) type Named = (Member, String);

/// Who is in `team`.
///
/// # Errors
/// If the database does not answer.
pub async fn ids(tx: &Tx, team: TeamId) -> Result<Vec<UserId>> {
    store::members::ids(tx, team).await
}

/// Those of `users` who are in `team`.
///
/// # Errors
/// If the database does not answer.
pub async fn ids_among(
    tx: &Tx,
    team: TeamId,
    users: impl IntoIterator<Item = UserId>,
) -> Result<Vec<UserId>> {
    store::members::ids_among(tx, team, users.into_iter().collect()).await
}

/// The owner and the admins of `team`, at most 50 of them.
///
/// # Errors
/// If the database does not answer.
pub async fn admin_ids(tx: &Tx, team: TeamId) -> Result<Vec<UserId>> {
    store::members::ids_with_roles(tx, team, &[TeamRole::Owner, TeamRole::Admin], ADMINS_TOLD_MAX).await
}

/// The members of a team, oldest first.
pub(in crate::domain::teams) async fn list(
    ctx: &Ctx,
    team: TeamId,
    request: PageRequest,
) -> Result<Page<Named>> {
    let tx = ctx.read();
    access::require(ctx, &tx, team, Permission::ReadTeam).await?;
    let scope = format!("teams.members:{team}");
    let after = request.after(ctx, &scope)?.and_then(|key| Uuid::from_slice(&key).ok());
    let found = store::members::list(&tx, team, after, request.size + 1).await?;
    let page = Page::cut(ctx, &scope, &request, found, |last| last.id.as_bytes().to_vec())?;
    let ids: Vec<_> = page.items.iter().map(|member| member.user).collect();
    let mut names = users::display_names(&tx, &ids).await?;
    Ok(page.map(|member| {
        let name = names.remove(&member.user).unwrap_or_default();
        (member, name)
    }))
}

/// Gives a member another role. Invitations that the member may not make any more are withdrawn: accepted by
/// a second account, they would undo the loss.
pub(in crate::domain::teams) async fn set_role(
    ctx: &Ctx,
    team: TeamId,
    user: UserId,
    role: TeamRole,
) -> Result<Named> {
    let tx = ctx.begin().await?;
    store::members::lock(&tx, team, [ctx.user()?.id, user]).await?;
    let grant = access::require(ctx, &tx, team, Permission::ManageMembers).await?;
    let member = store::members::find(&tx, team, user).await?.ok_or_else(Error::not_found)?;
    member.yields_to(&grant)?;
    model::check_gift(&grant, role)?;
    let member = store::members::set_role(&tx, &grant, user, role).await?.ok_or_else(Error::not_found)?;
    if !role.permits(Permission::InviteMembers) {
        store::invitations::withdraw(&tx, &grant, user).await?;
    }
    let entry = Entry::new("teams.role_changed").team(team).subject(user.0);
    audit::append(ctx, &tx, entry);
    let named = named(&tx, member).await?;
    tx.commit().await?;
    Ok(named)
}

/// Removes a member and the member's open invitations, or lets the caller leave. Somebody who is not a member is removed already.
pub(in crate::domain::teams) async fn remove(ctx: &Ctx, team: TeamId, user: UserId) -> Result<()> {
    let caller = ctx.user()?.id;
    let leaves = caller == user;
    let permission = if leaves { Permission::ReadTeam } else { Permission::ManageMembers };
    let tx = ctx.begin().await?;
    store::members::lock(&tx, team, [caller, user]).await?;
    let grant = access::require(ctx, &tx, team, permission).await?;
    let Some(member) = store::members::find(&tx, team, user).await? else { return Ok(()) };
    member.yields_to(&grant)?;
    store::members::remove(&tx, &grant, user).await?;
    store::invitations::withdraw(&tx, &grant, user).await?;
    let event = if leaves { "teams.member_left" } else { "teams.member_removed" };
    audit::append(ctx, &tx, Entry::new(event).team(team).subject(user.0));
    tx.commit().await
}

/// `member`, and how the user is shown to others.
pub(super) async fn named(tx: &Tx, member: Member) -> Result<Named> {
    let name = users::display_names(tx, &[member.user]).await?.remove(&member.user);
    Ok((member, name.unwrap_or_default()))
}
