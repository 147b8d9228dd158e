//! Typed identifiers: UUIDs (version 7, RFC 9562) that cannot be mistaken for one another.

use std::{fmt, str::FromStr};

use sea_orm::{DeriveValueType, TryFromU64};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::Error;

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, DeriveValueType, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// Parses the field `field` of a request.
            ///
            /// # Errors
            /// `INVALID_REQUEST` naming the field.
            pub fn parse(field: &'static str, text: &str) -> Result<Self, Error> {
                text.parse().map(Self).map_err(|_| Error::invalid(field, "must be a UUID"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }

        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    )*};
}

identifiers! {
    /// A user.
    UserId
    /// A device: a client that holds a key.
    DeviceId
    /// A session: one signed-in client.
    SessionId
    /// A team.
    TeamId
    /// An invitation to a team.
    InvitationId
    /// A project.
    ProjectId
    /// A job.
    JobId
    /// A preview.
    PreviewId
    /// A notification.
    NotificationId
    /// An event in the outbox.
    EventId
    /// A write, to its caller: a repeat has the same.
    IdempotencyKey
}
