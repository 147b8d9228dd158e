//! Content, and where it stands.

use uuid::Uuid;

use crate::base::blob::ObjectKey;

/// What a file holds: files with the same content are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Content {
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Its bytes. Part of the identity, so that a lie about the size stays its teller's own.
    pub size: u64,
}

/// How far a content is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobState {
    /// Announced; no address to upload to was given out.
    Missing,
    /// An address was given out.
    Staged,
    /// An object of the right size was seen.
    Arrived,
    /// A worker has read it and found it right.
    Verified,
}

impl BlobState {
    const ALL: [Self; 4] = [Self::Missing, Self::Staged, Self::Arrived, Self::Verified];

    /// How the state is written in rows.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Staged => "staged",
            Self::Arrived => "arrived",
            Self::Verified => "verified",
        }
    }

    /// Reads what [`BlobState::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether it still has to be uploaded, as far as the rows know.
    pub const fn is_missing(self) -> bool {
        matches!(self, Self::Missing | Self::Staged)
    }
}

/// A content of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Identifies the row.
    pub id: Uuid,
    /// What it is.
    pub content: Content,
    /// How far it is.
    pub state: BlobState,
    /// The object that holds it; present from [`BlobState::Staged`] on.
    pub object: Option<ObjectKey>,
}
