//! Roles, permissions, and the proof that a caller has one.

use crate::base::{
    actor::{Actor, PlatformRole, User},
    error::{Error, Reason, Result},
    ids::{TeamId, UserId},
};

/// What a member may do in a team. Each role may do all that the lesser ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TeamRole {
    /// Reads.
    Guest,
    /// Works on projects.
    Member,
    /// Manages members and projects.
    Admin,
    /// The one to whom the team belongs.
    Owner,
}

impl TeamRole {
    /// Every role, least first.
    pub const ALL: [Self; 4] = [Self::Guest, Self::Member, Self::Admin, Self::Owner];

    /// How the role is written in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }

    /// Reads what [`TeamRole::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether the role includes `permission`.
    #[must_use]
    pub fn permits(self, permission: Permission) -> bool {
        self >= permission.least_role()
    }
}

/// Something that can be done in a team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See the team and its members.
    ReadTeam,
    /// Invite people.
    InviteMembers,
    /// Change roles and remove members.
    ManageMembers,
    /// See projects, their trees and files.
    ReadProject,
    /// Create and link projects.
    WriteProject,
    /// Delete projects, with everything that everybody published from them.
    DeleteProject,
    /// Have a repository fetched.
    SyncRepository,
    /// See and open previews.
    ReadPreview,
    /// Publish previews.
    PublishPreview,
    /// Revoke previews of others.
    ManagePreviews,
    /// See jobs.
    ReadJobs,
    /// Cancel jobs.
    CancelJobs,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 12] = [
        Self::ReadTeam,
        Self::InviteMembers,
        Self::ManageMembers,
        Self::ReadProject,
        Self::WriteProject,
        Self::DeleteProject,
        Self::SyncRepository,
        Self::ReadPreview,
        Self::PublishPreview,
        Self::ManagePreviews,
        Self::ReadJobs,
        Self::CancelJobs,
    ];

    /// The table of permissions: the least role that has each.
    #[must_use]
    pub const fn least_role(self) -> TeamRole {
        match self {
            Self::ReadTeam | Self::ReadProject | Self::ReadPreview | Self::ReadJobs => TeamRole::Guest,
            Self::WriteProject | Self::SyncRepository | Self::PublishPreview | Self::CancelJobs => {
                TeamRole::Member
            }
            Self::DeleteProject | Self::InviteMembers | Self::ManageMembers | Self::ManagePreviews => {
                TeamRole::Admin
            }
        }
    }
}

/// Proof that somebody may do something in a team. Only this slice makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    team: TeamId,
    user: Option<UserId>,
    role: TeamRole,
}

impl Grant {
    /// The grant of a member, if the role suffices.
    pub(super) fn of_member(
        team: TeamId,
        user: UserId,
        role: TeamRole,
        permission: Permission,
    ) -> Option<Self> {
        role.permits(permission).then_some(Self { team, user: Some(user), role })
    }

    /// The grant of the server itself, for what follows from an event or a job.
    ///
    /// # Errors
    /// `INTERNAL` if `actor` is somebody else.
    pub fn system(actor: &Actor, team: TeamId) -> Result<Self> {
        match actor {
            Actor::System => Ok(Self { team, user: None, role: TeamRole::Owner }),
            _ => Err(Error::new(Reason::Internal).because("a caller asked for the server's own grant")),
        }
    }

    /// The team it holds in.
    #[must_use]
    pub const fn team(&self) -> TeamId {
        self.team
    }

    /// Who holds it; `None` for the server itself.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        self.user
    }

    /// The role it follows from; the server itself acts as the owner.
    #[must_use]
    pub const fn role(&self) -> TeamRole {
        self.role
    }
}

/// Proof that the caller is an operator. Only this slice makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperatorGrant {
    user: UserId,
}

impl OperatorGrant {
    pub(super) fn of(user: &User) -> Option<Self> {
        (user.role == PlatformRole::Admin).then_some(Self { user: user.id })
    }

    /// Who holds it.
    #[must_use]
    pub const fn user(&self) -> UserId {
        self.user
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_guest_only_reads() {
        for permission in Permission::ALL {
            let reads = matches!(
                permission,
                Permission::ReadTeam
                    | Permission::ReadProject
                    | Permission::ReadPreview
                    | Permission::ReadJobs
            );
            assert_eq!(TeamRole::Guest.permits(permission), reads, "{permission:?}");
        }
    }

    #[test]
    fn a_greater_role_may_do_all_that_a_lesser_one_may() {
        for permission in Permission::ALL {
            assert!(TeamRole::ALL.is_sorted_by_key(|role| role.permits(permission)), "{permission:?}");
            assert!(TeamRole::Owner.permits(permission));
        }
    }

    #[test]
    fn a_role_that_does_not_suffice_gives_no_grant() {
        let (team, user) = (TeamId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        assert!(Grant::of_member(team, user, TeamRole::Member, Permission::ManageMembers).is_none());
        let grant = Grant::of_member(team, user, TeamRole::Admin, Permission::ManageMembers).unwrap();
        assert_eq!((grant.team(), grant.user(), grant.role()), (team, Some(user), TeamRole::Admin));
    }

    #[test]
    fn only_the_server_gets_the_servers_grant() {
        let team = TeamId(Uuid::from_u128(1));
        assert!(Grant::system(&Actor::System, team).is_ok());
        assert!(Grant::system(&Actor::Worker, team).is_err());
        assert!(Grant::system(&Actor::Anonymous, team).is_err());
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        for role in TeamRole::ALL {
            assert_eq!(TeamRole::parse(role.as_str()), Some(role));
        }
        assert_eq!(TeamRole::parse("Owner"), None);
    }
}
