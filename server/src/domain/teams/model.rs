//! Teams, members and invitations.

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::{
        clock::Timestamp,
        crypto::{FieldCipher, FieldName},
        entropy::Entropy,
        error::{Error, Reason, Result},
        ids::{IdempotencyKey, InvitationId, TeamId, UserId},
    },
    domain::{
        access::{Grant, TeamRole},
        users::{Email, EmailIndex, Name},
    },
};

/// How long an invitation can be accepted.
const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The most members of a team, together with its open invitations.
pub(super) const MEMBERS_MAX: u64 = 500;
/// The most teams that somebody is in.
pub(super) const TEAMS_MAX: u64 = 200;

/// A group of users that owns projects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Team {
    /// Identifies the team.
    pub id: TeamId,
    /// What it is called.
    pub name: String,
    /// Whether it was made with an account, for that user alone.
    pub personal: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A user in a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Identifies the membership.
    pub id: Uuid,
    /// The team.
    pub team: TeamId,
    /// The user.
    pub user: UserId,
    /// What the user may do in the team.
    pub role: TeamRole,
    /// When the user joined.
    pub joined_at: Timestamp,
}

impl Member {
    /// The membership that comes with a team.
    pub(super) fn founder(entropy: &Entropy, team: &Team, user: UserId) -> Result<Self> {
        let (team, joined_at) = (team.id, team.created_at);
        Ok(Self { id: entropy.uuid(joined_at)?, team, user, role: TeamRole::Owner, joined_at })
    }

    /// Whether the holder of `grant` may change or remove this member. The owner stays, and nobody has a
    /// hand on somebody greater.
    pub(super) fn yields_to(&self, grant: &Grant) -> Result<()> {
        if self.role == TeamRole::Owner || self.role > grant.role() {
            return Err(Error::new(Reason::PermissionDenied));
        }
        Ok(())
    }
}

/// Whether the holder of `grant` may give `role` to somebody: no more than they have, and never ownership.
pub(super) fn check_gift(grant: &Grant, role: TeamRole) -> Result<()> {
    if role == TeamRole::Owner || role > grant.role() {
        return Err(Error::new(Reason::PermissionDenied));
    }
    Ok(())
}

/// An offer to join a team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Identifies the invitation.
    pub id: InvitationId,
    /// The team.
    pub team: TeamId,
    /// Who may accept it, sealed.
    pub(super) email: String,
    /// Who may accept it, to be found.
    pub(super) email_index: EmailIndex,
    /// The role that accepting it gives.
    pub role: TeamRole,
    /// Who made it.
    pub invited_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it lapses.
    pub expires_at: Timestamp,
    /// When it was accepted, if it was.
    pub accepted_at: Option<Timestamp>,
}

/// What an invitation is sealed and found with.
pub(super) struct Sealing<'a> {
    pub cipher: &'a FieldCipher,
    pub entropy: &'a Entropy,
    pub email: &'a Email,
    pub email_index: EmailIndex,
}

impl Invitation {
    /// Invites an address to the team of `grant`.
    pub(super) fn new(
        grant: &Grant,
        id: InvitationId,
        role: TeamRole,
        sealing: &Sealing<'_>,
        now: Timestamp,
    ) -> Result<Self> {
        check_gift(grant, role)?;
        let field = FieldName { table: "invitations", column: "email", row: id.0.as_bytes() };
        Ok(Self {
            id,
            team: grant.team(),
            email: sealing.cipher.seal(sealing.entropy, field, sealing.email.as_str().as_bytes())?,
            email_index: sealing.email_index,
            role,
            invited_by: grant.user(),
            created_at: now,
            expires_at: now + INVITATION_LIFE,
            accepted_at: None,
        })
    }
}

/// What is asked for when a team is made.
#[derive(Clone, Debug)]
pub(super) struct CreateTeam {
    pub name: Name,
    pub idempotency_key: IdempotencyKey,
}

/// What is asked for when somebody is invited.
#[derive(Clone)]
pub(super) struct InviteMember {
    pub team: TeamId,
    pub email: Email,
    pub role: TeamRole,
    pub idempotency_key: IdempotencyKey,
}
