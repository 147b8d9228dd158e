//! The user and the user's teams.

use std::{sync::Arc, time::SystemTime};

use crate::{
    cancel::CancelHandle,
    client::HiveSync,
    client_enum::client_enum,
    error::HiveSyncError,
    page::{request, split},
    runtime::run,
};

client_enum! {
    /// What a member may do in a team; each role may do all that the ones after it may.
    TeamRole = hivesync::teams::TeamRole {
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

/// The account of a user.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct User {
    /// Identifies the user.
    pub id: String,
    /// The address to sign in with.
    pub email: String,
    /// How the user is shown to others.
    pub display_name: String,
    /// The team that was made with the account.
    pub personal_team_id: String,
    /// When the account was made.
    pub created_at: SystemTime,
}

/// A group of users that owns projects.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Team {
    /// Identifies the team.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// Whether it was made with an account, for that user alone.
    pub personal: bool,
    /// The user's role in it.
    pub role: TeamRole,
    /// When it was made.
    pub created_at: SystemTime,
}

/// A part of a list of teams.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct TeamPage {
    /// The teams, oldest first.
    pub items: Vec<Team>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
}

#[uniffi::export]
impl HiveSync {
    /// The user's account, from the server.
    #[uniffi::method(default(cancel = None))]
    pub async fn me(&self, cancel: Option<Arc<CancelHandle>>) -> Result<User, HiveSyncError> {
        let users = self.client().users();
        run(cancel, async move { users.me().await.map(User::from) }).await
    }

    /// A page of the user's teams, oldest first; at most 200, and as many as the server likes if `size` is 0.
    #[uniffi::method(default(size = 0, token = None, cancel = None))]
    pub async fn list_teams(
        &self,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<TeamPage, HiveSyncError> {
        let teams = self.client().teams();
        run(cancel, async move {
            let (items, next) = split(teams.list(request(size, token)).await?);
            Ok(TeamPage { items, next })
        })
        .await
    }
}

impl From<hivesync::users::User> for User {
    fn from(user: hivesync::users::User) -> Self {
        Self {
            id: user.id.to_string(),
            email: user.email,
            display_name: user.display_name,
            personal_team_id: user.personal_team_id.to_string(),
            created_at: user.created_at.into(),
        }
    }
}

impl From<hivesync::teams::Team> for Team {
    fn from(team: hivesync::teams::Team) -> Self {
        Self {
            id: team.id.to_string(),
            name: team.name,
            personal: team.personal,
            role: team.role.into(),
            created_at: team.created_at.into(),
        }
    }
}
