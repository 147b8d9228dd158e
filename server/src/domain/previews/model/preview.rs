//! A preview, from its manifest to its end.

use std::{collections::HashSet, time::Duration};

use hivesync_proto::manifest::BundleManifest;

use super::{Blob, Content};
use crate::base::{
    clock::Timestamp,
    ids::{DeviceId, IdempotencyKey, JobId, PreviewId, ProjectId, TeamId, UserId},
};

/// Where a preview stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewState {
    /// Files are missing.
    Uploading,
    /// A worker checks the files.
    Verifying,
    /// It can be opened.
    Ready,
    /// The files are not what the manifest says.
    Failed,
    /// Its time is over.
    Expired,
    /// It was ended.
    Revoked,
}

impl PreviewState {
    const ALL: [Self; 6] =
        [Self::Uploading, Self::Verifying, Self::Ready, Self::Failed, Self::Expired, Self::Revoked];

    /// The states from which a preview can still be opened some time.
    pub const LIVE: [Self; 3] = [Self::Uploading, Self::Verifying, Self::Ready];

    /// How the state is written in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uploading => "uploading",
            Self::Verifying => "verifying",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    /// Reads what [`PreviewState::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether the preview can still be opened some time.
    #[must_use]
    pub fn is_live(self) -> bool {
        Self::LIVE.contains(&self)
    }
}

/// A bundle that one device, or every device of its publisher, can open for a short time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// Identifies the preview.
    pub id: PreviewId,
    /// The project it was published from.
    pub project: ProjectId,
    /// The team the project belongs to.
    pub team: TeamId,
    /// Who published it.
    pub publisher: UserId,
    /// The only device that can open it; none if every device of the publisher can.
    pub device: Option<DeviceId>,
    /// Where it stands, if its time is not over.
    pub state: PreviewState,
    /// Identifies its manifest.
    pub manifest_digest: [u8; 32],
    /// What it is for, as in the contract.
    pub platform: i32,
    /// Files in the bundle.
    pub file_count: u32,
    /// Bytes in the bundle.
    pub total_bytes: u64,
    /// The job that checks it, once it was finalised.
    pub verify_job: Option<JobId>,
    /// Paths of files that were not what the manifest says; the first few.
    pub rejected_paths: Vec<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it stops being openable.
    pub expires_at: Timestamp,
}

impl Preview {
    /// A preview that is new.
    #[must_use]
    pub fn new(
        id: PreviewId,
        team: TeamId,
        publisher: UserId,
        command: &CreatePreview,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            project: command.project,
            team,
            publisher,
            device: command.device,
            state: PreviewState::Uploading,
            manifest_digest: command.manifest.digest(),
            platform: command.manifest.platform().into(),
            file_count: u32::try_from(command.manifest.files().len()).unwrap_or(u32::MAX),
            total_bytes: command.manifest.total_bytes(),
            verify_job: None,
            rejected_paths: Vec::new(),
            created_at: now,
            expires_at: now + command.lifetime,
        }
    }

    /// Where it stands at `now`, also before the sweep has noticed that its time is over.
    #[must_use]
    pub fn state_at(&self, now: Timestamp) -> PreviewState {
        if self.state.is_live() && self.expires_at <= now { PreviewState::Expired } else { self.state }
    }
}

/// The wish for a preview.
#[derive(Clone, Debug)]
pub struct CreatePreview {
    /// The project to publish from.
    pub project: ProjectId,
    /// What the bundle consists of.
    pub manifest: BundleManifest,
    /// The only device to open it.
    pub device: Option<DeviceId>,
    /// How long it can be opened.
    pub lifetime: Duration,
    /// Makes a repeat harmless.
    pub idempotency_key: IdempotencyKey,
}

impl CreatePreview {
    /// Positions of the files to upload: the first of each content that is `missing`.
    #[must_use]
    pub fn missing_positions(&self, missing: &[Blob]) -> Vec<u32> {
        let mut wanted: HashSet<Content> = missing.iter().map(|blob| blob.content).collect();
        let files = self.manifest.files().iter().enumerate();
        files
            .filter(|(_, file)| wanted.remove(&Content { sha256: file.sha256, size: file.size }))
            .filter_map(|(position, _)| u32::try_from(position).ok())
            .collect()
    }
}

/// A file of a bundle, as it is shown to the device that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleEntry {
    /// Its path from the root of the bundle.
    pub path: String,
    /// What it holds.
    pub content: Content,
}

/// A bundle, as it is shown to the device that opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The files, in ascending byte order of their paths.
    pub files: Vec<BundleEntry>,
    /// The file to start with.
    pub entry_point: String,
    /// What it is for, as in the contract.
    pub platform: i32,
    /// The version of the runtime that it needs.
    pub runtime_version: String,
}
