//! What jobs do, what a worker is given for it, and what comes out.

use serde::{Deserialize, Serialize};

use super::JobKind;
use crate::base::{
    blob::Presigned,
    ids::{PreviewId, ProjectId},
};

/// What a job is to do, as it is stored for good: names what is worked on, and holds no secret and nothing about a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Fetch a repository into its mirror.
    RepoSync {
        /// The project whose mirror it is.
        project: ProjectId,
    },
    /// Check the files of a preview.
    PreviewVerify {
        /// The preview.
        preview: PreviewId,
    },
    /// Remove mirrors that nothing refers to any more.
    Cleanup {
        /// The projects they belonged to.
        projects: Vec<ProjectId>,
    },
}

impl Work {
    /// Which kind of job does it.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::RepoSync { .. } => JobKind::RepoSync,
            Self::PreviewVerify { .. } => JobKind::PreviewVerify,
            Self::Cleanup { .. } => JobKind::Cleanup,
        }
    }
}

/// What a worker is given with a lease.
#[derive(Clone, Debug)]
pub enum LeasedWork {
    /// Fetch a repository into its mirror.
    RepoSync {
        /// The project whose mirror it is.
        project: ProjectId,
        /// Where the repository is.
        url: String,
        /// Bytes that the mirror may take.
        quota_bytes: u64,
    },
    /// Check these contents; at most 5,000.
    PreviewVerify {
        /// Each distinct content that was not verified before.
        files: Vec<VerifyFile>,
    },
    /// Remove these projects' mirrors.
    Cleanup {
        /// The projects they belonged to.
        projects: Vec<ProjectId>,
    },
}

impl LeasedWork {
    /// Which kind of job does it.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::RepoSync { .. } => JobKind::RepoSync,
            Self::PreviewVerify { .. } => JobKind::PreviewVerify,
            Self::Cleanup { .. } => JobKind::Cleanup,
        }
    }
}

/// One content to check.
#[derive(Clone, Debug)]
pub struct VerifyFile {
    /// The bytes it must have.
    pub size: u64,
    /// The SHA-256 it must have.
    pub sha256: [u8; 32],
    /// Where to read it.
    pub download: Presigned,
}

/// What came out of a job that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Of a sync.
    RepoSync(SyncOutcome),
    /// Of a check of a preview.
    PreviewVerify(VerifyOutcome),
    /// Of a cleanup.
    Cleanup(CleanupOutcome),
}

impl Outcome {
    /// Which kind of job it is of.
    #[must_use]
    pub const fn kind(&self) -> JobKind {
        match self {
            Self::RepoSync(_) => JobKind::RepoSync,
            Self::PreviewVerify(_) => JobKind::PreviewVerify,
            Self::Cleanup(_) => JobKind::Cleanup,
        }
    }
}

/// What a sync did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncOutcome {
    /// The default branch, short; `None` if the repository has no branch.
    pub default_branch: Option<String>,
    /// The commit at its head (40 hexadecimal digits, lower case); `None` likewise.
    pub head_commit: Option<String>,
    /// Refs in the mirror.
    pub ref_count: u32,
    /// Objects that this sync received.
    pub objects_received: u64,
    /// Bytes that this sync received.
    pub bytes_received: u64,
    /// Bytes that the mirror takes on disk.
    pub mirror_bytes: u64,
    /// Whether nothing had changed.
    pub unchanged: bool,
}

/// What a check of a preview found: SHA-256 digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyOutcome {
    /// The contents that are right.
    pub verified: Vec<[u8; 32]>,
    /// The contents that are missing, too long, too short or different.
    pub rejected: Vec<[u8; 32]>,
}

/// What a cleanup did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CleanupOutcome {
    /// Mirrors that were removed.
    pub mirrors_removed: u32,
    /// Bytes that were set free.
    pub bytes_freed: u64,
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn work_is_read_with_fields_that_it_had_before() {
        let project = ProjectId(Uuid::from_u128(7));
        let url = "https://git.example.com/mine";
        let stored = format!(r#"{{"kind":"repo_sync","project":"{project}","url":"{url}","quota_bytes":1}}"#);
        assert_eq!(serde_json::from_str::<Work>(&stored).unwrap(), Work::RepoSync { project });
    }
}
