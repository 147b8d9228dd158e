//! Who makes a call.

use super::{
    error::{Error, Reason, Result},
    ids::{DeviceId, SessionId, UserId},
};

/// Who makes a call, as far as the edge has proved it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody known.
    Anonymous,
    /// A signed-in user.
    User(User),
    /// A worker that knows the shared secret.
    Worker,
    /// The server itself: a periodic task or the handler of an event.
    System,
}

/// A signed-in user, from a verified access token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// The session the token belongs to.
    pub session: SessionId,
    /// The device the session is bound to.
    pub device: DeviceId,
    /// What the user may do on the platform.
    pub role: PlatformRole,
}

/// What a user may do on the platform, beside the roles in teams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformRole {
    /// An ordinary account.
    User,
    /// An operator.
    Admin,
    /// Automation.
    Service,
}

impl PlatformRole {
    /// How the role is written in tokens and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Admin => "admin",
            Self::Service => "service",
        }
    }

    /// Reads what [`PlatformRole::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::User, Self::Admin, Self::Service].into_iter().find(|role| role.as_str() == text)
    }
}

impl Actor {
    /// The signed-in user.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the caller is not one.
    pub fn user(&self) -> Result<&User> {
        match self {
            Self::User(user) => Ok(user),
            _ => Err(Error::new(Reason::Unauthenticated)),
        }
    }
}
