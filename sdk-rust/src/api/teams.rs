//! Teams, their members and invitations.

use futures::Stream;
use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rpc;
use crate::{
    core::Core,
    entropy,
    error::Result,
    page::{self, Page, PageRequest},
    wire::{self, wire_enum},
};

wire_enum! {
    /// What a member may do in a team; each role may do all that the ones after it may.
    TeamRole = TeamRole {
        /// Everything, including to give the team away. Exactly one member is the owner.
        Owner,
        /// Manage members and projects.
        Admin,
        /// Work on projects.
        Member,
        /// Read.
        Guest,
    }
}

/// A group of users that owns projects.
#[derive(Clone, Debug, Serialize)]
pub struct Team {
    /// Identifies the team.
    pub id: Uuid,
    /// What it is called.
    pub name: String,
    /// Whether it was made with an account, for that user alone.
    pub personal: bool,
    /// The caller's role in it.
    pub role: TeamRole,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A user in a team.
#[derive(Clone, Debug, Serialize)]
pub struct Member {
    /// The team.
    pub team_id: Uuid,
    /// The user.
    pub user_id: Uuid,
    /// How the user is shown to others.
    pub display_name: String,
    /// What the user may do in the team.
    pub role: TeamRole,
    /// When the user joined.
    #[serde(with = "time::serde::rfc3339")]
    pub joined_at: OffsetDateTime,
}

/// An offer to join a team.
#[derive(Clone, Debug, Serialize)]
pub struct Invitation {
    /// Identifies the invitation.
    pub id: Uuid,
    /// The team.
    pub team_id: Uuid,
    /// What the team is called.
    pub team_name: String,
    /// The role that accepting it gives.
    pub role: TeamRole,
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it lapses.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Calls about teams.
#[derive(Clone)]
pub struct Teams(pub(crate) Core);

impl Teams {
    /// Creates a team that the caller owns. Its name has 1 to 100 characters.
    pub async fn create(&self, name: &str) -> Result<Team> {
        let request =
            pb::CreateTeamRequest { name: name.to_owned(), idempotency_key: entropy::id().to_string() };
        self.0.unary::<rpc::CreateTeam>(request).await.and_then(Team::from_wire)
    }

    /// One team of the caller.
    pub async fn get(&self, team_id: Uuid) -> Result<Team> {
        let request = pb::GetTeamRequest { team_id: team_id.to_string() };
        self.0.unary::<rpc::GetTeam>(request).await.and_then(Team::from_wire)
    }

    /// A page of the caller's teams, oldest first; at most 200.
    pub async fn list(&self, page: PageRequest) -> Result<Page<Team>> {
        let request = pb::ListTeamsRequest { page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListTeams>(request).await?;
        Page::new(response.teams, response.next_page_token, Team::from_wire)
    }

    /// All teams of the caller, oldest first.
    pub fn all(&self) -> impl Stream<Item = Result<Team>> + use<'_> {
        page::stream(|page| self.list(page))
    }

    /// A page of a team's members, oldest first; at most 200.
    pub async fn members(&self, team_id: Uuid, page: PageRequest) -> Result<Page<Member>> {
        let request = pb::ListMembersRequest {
            team_id: team_id.to_string(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListMembers>(request).await?;
        Page::new(response.members, response.next_page_token, Member::from_wire)
    }

    /// All members of a team, oldest first.
    pub fn all_members(&self, team_id: Uuid) -> impl Stream<Item = Result<Member>> + use<'_> {
        page::stream(move |page| self.members(team_id, page))
    }

    /// Invites a person by e-mail address, to any role but owner.
    pub async fn invite(&self, team_id: Uuid, email: &str, role: TeamRole) -> Result<Invitation> {
        let request = pb::InviteMemberRequest {
            team_id: team_id.to_string(),
            email: email.to_owned(),
            role: role.to_wire(),
            idempotency_key: entropy::id().to_string(),
        };
        self.0.unary::<rpc::InviteMember>(request).await.and_then(Invitation::from_wire)
    }

    /// A page of the invitations that wait for the caller's answer, oldest first; at most 200.
    pub async fn my_invitations(&self, page: PageRequest) -> Result<Page<Invitation>> {
        let request = pb::ListMyInvitationsRequest { page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListMyInvitations>(request).await?;
        Page::new(response.invitations, response.next_page_token, Invitation::from_wire)
    }

    /// Accepts an invitation that was made to the caller.
    pub async fn accept(&self, invitation_id: Uuid) -> Result<Member> {
        let request = pb::AcceptInvitationRequest { invitation_id: invitation_id.to_string() };
        self.0.unary::<rpc::AcceptInvitation>(request).await.and_then(Member::from_wire)
    }

    /// Changes a member's role, to any but owner.
    pub async fn set_role(&self, team_id: Uuid, user_id: Uuid, role: TeamRole) -> Result<Member> {
        let request = pb::SetMemberRoleRequest {
            team_id: team_id.to_string(),
            user_id: user_id.to_string(),
            role: role.to_wire(),
        };
        self.0.unary::<rpc::SetMemberRole>(request).await.and_then(Member::from_wire)
    }

    /// Removes a member; with the caller's own id, leaves the team.
    pub async fn remove(&self, team_id: Uuid, user_id: Uuid) -> Result<()> {
        let request = pb::RemoveMemberRequest { team_id: team_id.to_string(), user_id: user_id.to_string() };
        self.0.unary::<rpc::RemoveMember>(request).await.map(drop)
    }
}

impl Team {
    fn from_wire(team: pb::Team) -> Result<Self> {
        Ok(Self {
            id: wire::id(&team.id)?,
            name: team.name,
            personal: team.personal,
            role: TeamRole::from_wire(team.role),
            created_at: wire::time(team.created_at)?,
        })
    }
}

impl Member {
    fn from_wire(member: pb::Member) -> Result<Self> {
        Ok(Self {
            team_id: wire::id(&member.team_id)?,
            user_id: wire::id(&member.user_id)?,
            display_name: member.display_name,
            role: TeamRole::from_wire(member.role),
            joined_at: wire::time(member.joined_at)?,
        })
    }
}

impl Invitation {
    fn from_wire(invitation: pb::Invitation) -> Result<Self> {
        Ok(Self {
            id: wire::id(&invitation.id)?,
            team_id: wire::id(&invitation.team_id)?,
            team_name: invitation.team_name,
            role: TeamRole::from_wire(invitation.role),
            created_at: wire::time(invitation.created_at)?,
            expires_at: wire::time(invitation.expires_at)?,
        })
    }
}
