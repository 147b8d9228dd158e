//! The user's own account.

use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rpc;
use crate::{
    core::Core,
    error::Result,
    wire::{self, wire_enum},
};

wire_enum! {
    /// What a user may do on the platform, beside the roles in teams.
    PlatformRole = PlatformRole {
        /// Ordinary use.
        User,
        /// Operation of the platform.
        Admin,
        /// Automation.
        Service,
    }
}

/// An account.
#[derive(Clone, Debug, Serialize)]
pub struct User {
    /// Identifies the user.
    pub id: Uuid,
    /// The address to sign in with.
    pub email: String,
    /// How the user is shown to others.
    pub display_name: String,
    /// What the user may do on the platform.
    pub role: PlatformRole,
    /// The team that was made with the account.
    pub personal_team_id: Uuid,
    /// When the account was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// Calls about the user's own account.
#[derive(Clone)]
pub struct Users(pub(crate) Core);

impl Users {
    /// The user's account.
    pub async fn me(&self) -> Result<User> {
        self.0.unary::<rpc::GetMe>(pb::GetMeRequest {}).await.and_then(User::from_wire)
    }

    /// Changes how the user is shown to others: 1 to 100 characters.
    pub async fn rename_me(&self, display_name: &str) -> Result<User> {
        let request = pb::UpdateMeRequest { display_name: display_name.to_owned() };
        self.0.unary::<rpc::UpdateMe>(request).await.and_then(User::from_wire)
    }
}

impl User {
    fn from_wire(user: pb::User) -> Result<Self> {
        Ok(Self {
            id: wire::id(&user.id)?,
            email: user.email,
            display_name: user.display_name,
            role: PlatformRole::from_wire(user.role),
            personal_team_id: wire::id(&user.personal_team_id)?,
            created_at: wire::time(user.created_at)?,
        })
    }
}
