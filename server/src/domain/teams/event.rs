//! What happens here that others are told.

use serde::{Deserialize, Serialize};

use crate::base::{
    ids::{InvitationId, TeamId, UserId},
    outbox::Event,
};

/// Somebody was invited to a team.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberInvited {
    /// The invitation.
    pub invitation: InvitationId,
    /// The team.
    pub team: TeamId,
    /// What the team is called.
    pub team_name: String,
    /// Who was invited, if the address has an account.
    pub user: Option<UserId>,
    /// Who invited.
    pub invited_by: Option<UserId>,
}

impl Event for MemberInvited {
    const KIND: &'static str = "teams.member_invited";
}

/// Somebody accepted an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberJoined {
    /// The team.
    pub team: TeamId,
    /// What the team is called.
    pub team_name: String,
    /// Who joined.
    pub user: UserId,
}

impl Event for MemberJoined {
    const KIND: &'static str = "teams.member_joined";
}
