//! `hivesync.v1.TeamService`.

use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::{
    model::{CreateTeam, InviteMember, Team},
    ops::{invitations, members, teams},
};
use crate::{
    base::{
        error::{Error, Result},
        ids::{IdempotencyKey, InvitationId, TeamId, UserId},
        page::PageRequest,
        rpc::serve,
    },
    domain::{
        access::TeamRole,
        users::{Email, Name},
    },
};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::team_service_server::TeamService for Rpc {
    async fn create_team(
        &self,
        request: Request<pb::CreateTeamRequest>,
    ) -> Result<Response<pb::Team>, Status> {
        serve(request, |ctx, message| async move {
            let command = CreateTeam {
                name: Name::parse("name", &message.name)?,
                idempotency_key: IdempotencyKey::parse("idempotency_key", &message.idempotency_key)?,
            };
            Ok(render_team(teams::create(&ctx, command).await?))
        })
        .await
    }

    async fn get_team(&self, request: Request<pb::GetTeamRequest>) -> Result<Response<pb::Team>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            Ok(render_team(teams::get(&ctx, team).await?))
        })
        .await
    }

    async fn list_teams(
        &self,
        request: Request<pb::ListTeamsRequest>,
    ) -> Result<Response<pb::ListTeamsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let page = teams::list(&ctx, PageRequest::new(message.page_size, message.page_token)).await?;
            let page = page.map(render_team);
            Ok(pb::ListTeamsResponse { teams: page.items, next_page_token: page.next })
        })
        .await
    }

    async fn list_members(
        &self,
        request: Request<pb::ListMembersRequest>,
    ) -> Result<Response<pb::ListMembersResponse>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            let request = PageRequest::new(message.page_size, message.page_token);
            let page = members::list(&ctx, team, request).await?.map(render_member);
            Ok(pb::ListMembersResponse { members: page.items, next_page_token: page.next })
        })
        .await
    }

    async fn invite_member(
        &self,
        request: Request<pb::InviteMemberRequest>,
    ) -> Result<Response<pb::Invitation>, Status> {
        serve(request, |ctx, message| async move {
            let command = InviteMember {
                team: TeamId::parse("team_id", &message.team_id)?,
                role: parse_role(message.role())?,
                idempotency_key: IdempotencyKey::parse("idempotency_key", &message.idempotency_key)?,
                email: Email::new(&message.email),
            };
            Ok(render_offer(invitations::invite(&ctx, command).await?))
        })
        .await
    }

    async fn list_my_invitations(
        &self,
        request: Request<pb::ListMyInvitationsRequest>,
    ) -> Result<Response<pb::ListMyInvitationsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let request = PageRequest::new(message.page_size, message.page_token);
            let page = invitations::list(&ctx, request).await?.map(render_offer);
            Ok(pb::ListMyInvitationsResponse { invitations: page.items, next_page_token: page.next })
        })
        .await
    }

    async fn accept_invitation(
        &self,
        request: Request<pb::AcceptInvitationRequest>,
    ) -> Result<Response<pb::Member>, Status> {
        serve(request, |ctx, message| async move {
            let id = InvitationId::parse("invitation_id", &message.invitation_id)?;
            Ok(render_member(invitations::accept(&ctx, id).await?))
        })
        .await
    }

    async fn set_member_role(
        &self,
        request: Request<pb::SetMemberRoleRequest>,
    ) -> Result<Response<pb::Member>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            let user = UserId::parse("user_id", &message.user_id)?;
            let role = parse_role(message.role())?;
            Ok(render_member(members::set_role(&ctx, team, user, role).await?))
        })
        .await
    }

    async fn remove_member(
        &self,
        request: Request<pb::RemoveMemberRequest>,
    ) -> Result<Response<pb::RemoveMemberResponse>, Status> {
        serve(request, |ctx, message| async move {
            let team = TeamId::parse("team_id", &message.team_id)?;
            let user = UserId::parse("user_id", &message.user_id)?;
            members::remove(&ctx, team, user).await?;
            Ok(pb::RemoveMemberResponse {})
        })
        .await
    }
}

fn parse_role(role: pb::TeamRole) -> Result<TeamRole> {
    match role {
        pb::TeamRole::Owner => Ok(TeamRole::Owner),
        pb::TeamRole::Admin => Ok(TeamRole::Admin),
        pb::TeamRole::Member => Ok(TeamRole::Member),
        pb::TeamRole::Guest => Ok(TeamRole::Guest),
        pb::TeamRole::Unspecified => Err(Error::invalid("role", "must be set")),
    }
}

fn render_role(role: TeamRole) -> i32 {
    let role = match role {
        TeamRole::Owner => pb::TeamRole::Owner,
        TeamRole::Admin => pb::TeamRole::Admin,
        TeamRole::Member => pb::TeamRole::Member,
        TeamRole::Guest => pb::TeamRole::Guest,
    };
    role.into()
}

fn render_team((team, role): (Team, TeamRole)) -> pb::Team {
    pb::Team {
        id: team.id.to_string(),
        name: team.name,
        personal: team.personal,
        role: render_role(role),
        created_at: Some(team.created_at.into()),
    }
}

fn render_member((member, display_name): members::Named) -> pb::Member {
    pb::Member {
        team_id: member.team.to_string(),
        user_id: member.user.to_string(),
        display_name,
        role: render_role(member.role),
        joined_at: Some(member.joined_at.into()),
    }
}

fn render_offer((invitation, team_name): invitations::Offer) -> pb::Invitation {
    pb::Invitation {
        id: invitation.id.to_string(),
        team_id: invitation.team.to_string(),
        team_name,
        role: render_role(invitation.role),
        created_at: Some(invitation.created_at.into()),
        expires_at: Some(invitation.expires_at.into()),
    }
}
