//! From messages of the contract to the types of this crate.

use prost_types::Timestamp;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::{Error, ErrorKind, Result};

/// What an answer that breaks the contract becomes.
pub(crate) fn broken() -> Error {
    Error::new(ErrorKind::UpgradeRequired)
}

pub(crate) fn id(text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| broken())
}

/// An identifier that may be left empty.
pub(crate) fn optional_id(text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() { Ok(None) } else { id(text).map(Some) }
}

pub(crate) fn time(stamp: Option<Timestamp>) -> Result<OffsetDateTime> {
    optional_time(stamp)?.ok_or_else(broken)
}

pub(crate) fn optional_time(stamp: Option<Timestamp>) -> Result<Option<OffsetDateTime>> {
    let Some(stamp) = stamp else { return Ok(None) };
    let nanos = i128::from(stamp.seconds) * 1_000_000_000 + i128::from(stamp.nanos);
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map(Some).map_err(|_| broken())
}

pub(crate) fn optional_text(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

pub(crate) fn digest(bytes: &[u8]) -> Result<[u8; 32]> {
    bytes.try_into().map_err(|_| broken())
}

/// Declares an enum of this crate beside one of the contract. Values that this version does not know
/// become `Unknown`.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident = $wire:ident { $($(#[$variant_doc:meta])* $variant:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
            /// A value that this version does not know.
            Unknown,
        }

        impl $name {
            #[allow(dead_code, reason = "not every enum is read from the wire")]
            pub(crate) fn from_wire(value: i32) -> Self {
                match hivesync_proto::v1::$wire::try_from(value) {
                    $(Ok(hivesync_proto::v1::$wire::$variant) => Self::$variant,)+
                    _ => Self::Unknown,
                }
            }

            #[allow(dead_code, reason = "not every enum is written to the wire")]
            pub(crate) fn to_wire(self) -> i32 {
                match self {
                    $(Self::$variant => hivesync_proto::v1::$wire::$variant as i32,)+
                    Self::Unknown => 0,
                }
            }
        }
    };
}
pub(crate) use wire_enum;
