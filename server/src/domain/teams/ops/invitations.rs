//! Invites people, and lets them accept.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use super::members::{self, Named};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        idempotency,
        ids::InvitationId,
        outbox,
        page::{Page, PageRequest},
    },
    domain::{
        access::{self, Grant, Permission},
        audit::{self, Entry},
        teams::{
            event::{MemberInvited, MemberJoined},
            model::{Invitation, InviteMember, MEMBERS_MAX, Member, Sealing, TEAMS_MAX, Team},
            store,
        },
        users::{self, EmailIndex},
    },
};

/// The list's name in page tokens.
const SCOPE: &str = "teams.invitations";

/// An invitation, and what its team is called.
pub(in crate::domain::teams) type Offer = (Invitation, String);

/// Invites the owner of an address, who need not have an account yet.
pub(in crate::domain::teams) async fn invite(ctx: &Ctx, command: InviteMember) -> Result<Offer> {
    let tx = ctx.begin().await?;
    let grant = access::require(ctx, &tx, command.team, Permission::InviteMembers).await?;
    let team = store::teams::find(&tx, command.team).await?.ok_or_else(Error::not_found)?;
    let now = ctx.clock.now();
    let id = InvitationId(ctx.entropy.uuid(now)?);
    let email_index = command.email.index(&ctx.keys)?;
    if let Some(earlier) = claim(ctx, &tx, &command, &email_index, id).await? {
        let invitation = store::invitations::find(&tx, earlier).await?.ok_or_else(Error::not_found)?;
        return Ok((invitation, team.name));
    }
    check_room(ctx, &tx, &team).await?;
    let invitee = users::find_by_email(ctx, &tx, &command.email).await?.map(|user| user.id);
    if let Some(user) = invitee
        && store::members::find(&tx, team.id, user).await?.is_some()
    {
        return Err(Error::new(Reason::AlreadyExists));
    }
    let sealing =
        Sealing { cipher: &ctx.field_cipher, entropy: &ctx.entropy, email: &command.email, email_index };
    let invitation = Invitation::new(&grant, id, command.role, &sealing, now)?;
    store::invitations::insert(&tx, &grant, &invitation).await?;
    outbox::emit(ctx, &tx, &invited(&grant, &invitation, &team, invitee)).await?;
    audit::append(ctx, &tx, Entry::new("teams.invite").team(team.id).subject(id.0));
    tx.commit().await?;
    Ok((invitation, team.name))
}

/// The invitations that wait for the caller, oldest first.
pub(in crate::domain::teams) async fn list(ctx: &Ctx, request: PageRequest) -> Result<Page<Offer>> {
    let after = request.after(ctx, SCOPE)?.and_then(|key| Uuid::from_slice(&key).ok()).map(InvitationId);
    let tx = ctx.read();
    let email = own_email(ctx, &tx).await?;
    let now = ctx.clock.now();
    let found = store::invitations::list(&tx, email, after, request.size + 1, now).await?;
    let page = Page::cut(ctx, SCOPE, &request, found, |last| last.id.0.as_bytes().to_vec())?;
    let ids: Vec<_> = page.items.iter().map(|invitation| invitation.team).collect();
    let teams = store::teams::find_all(&tx, &ids).await?;
    let names: HashMap<_, _> = teams.into_iter().map(|team| (team.id, team.name)).collect();
    Ok(page.map(|invitation| {
        let name = names.get(&invitation.team).cloned().unwrap_or_default();
        (invitation, name)
    }))
}

/// Makes the caller a member. Accepting twice is accepting once.
pub(in crate::domain::teams) async fn accept(ctx: &Ctx, id: InvitationId) -> Result<Named> {
    let user = ctx.user()?.id;
    let tx = ctx.begin().await?;
    users::lock(&tx, user).await?;
    let email = own_email(ctx, &tx).await?;
    let now = ctx.clock.now();
    let Some(invitation) = store::invitations::accept(&tx, id, email, now).await? else {
        return accepted_before(ctx, &tx, id, email).await;
    };
    if store::members::count_of_user(&tx, user).await? >= TEAMS_MAX {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    let member = Member {
        id: ctx.entropy.uuid(now)?,
        team: invitation.team,
        user,
        role: invitation.role,
        joined_at: now,
    };
    if !store::members::insert(&tx, &member).await? {
        return Err(Error::new(Reason::AlreadyExists));
    }
    let team = store::teams::find(&tx, invitation.team).await?.ok_or_else(Error::not_found)?;
    outbox::emit(ctx, &tx, &MemberJoined { team: team.id, team_name: team.name, user }).await?;
    audit::append(ctx, &tx, Entry::new("teams.join").team(invitation.team).subject(id.0));
    let named = members::named(&tx, member).await?;
    tx.commit().await?;
    Ok(named)
}

/// What the caller became by accepting the invitation `id` before, and still is.
async fn accepted_before(ctx: &Ctx, tx: &Tx, id: InvitationId, email: EmailIndex) -> Result<Named> {
    let invitation = store::invitations::find(tx, id).await?;
    let invitation = invitation
        .filter(|invitation| invitation.email_index == email && invitation.accepted_at.is_some())
        .ok_or_else(Error::not_found)?;
    let member = store::members::find(tx, invitation.team, ctx.user()?.id).await?;
    members::named(tx, member.ok_or_else(Error::not_found)?).await
}

async fn claim(
    ctx: &Ctx,
    tx: &Tx,
    command: &InviteMember,
    email_index: &EmailIndex,
    id: InvitationId,
) -> Result<Option<InvitationId>> {
    let team = command.team.to_string();
    let email = URL_SAFE_NO_PAD.encode(email_index);
    let request = [team.as_str(), &email, command.role.as_str()];
    let earlier = idempotency::claim(ctx, tx, command.idempotency_key, &request, id.0).await?;
    Ok(earlier.map(InvitationId))
}

/// Whether one more fits. A personal team is for one.
async fn check_room(ctx: &Ctx, tx: &Tx, team: &Team) -> Result<()> {
    if team.personal {
        return Err(Error::new(Reason::PermissionDenied));
    }
    store::teams::lock(tx, team.id).await?;
    let members = store::members::count(tx, team.id).await?;
    let invitations = store::invitations::count_open(tx, team.id, ctx.clock.now()).await?;
    if members + invitations >= MEMBERS_MAX {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    Ok(())
}

async fn own_email(ctx: &Ctx, tx: &Tx) -> Result<EmailIndex> {
    let user = users::find(tx, ctx.user()?.id).await?;
    let user = user.ok_or_else(|| Error::new(Reason::Unauthenticated))?;
    user.email(&ctx.field_cipher)?.index(&ctx.keys)
}

fn invited(
    grant: &Grant,
    invitation: &Invitation,
    team: &Team,
    user: Option<crate::base::ids::UserId>,
) -> MemberInvited {
    MemberInvited {
        invitation: invitation.id,
        team: team.id,
        team_name: team.name.clone(),
        user,
        invited_by: grant.user(),
    }
}
