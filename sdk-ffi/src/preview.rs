//! Previews, on the device that opens them.

use std::{sync::Arc, time::SystemTime};

use crate::{error::HiveSyncError, runtime::run};

/// What kind of machine a device is, or a bundle is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Platform {
    /// A desktop computer.
    Desktop,
    /// An iPhone or iPad.
    Ios,
    /// An Android device.
    Android,
    /// A browser.
    Web,
    /// One that this client does not know.
    Unknown,
}

/// What opens a preview on its device. Shows nothing.
#[derive(uniffi::Object)]
pub struct PreviewToken(pub(crate) hivesync::previews::PreviewToken);

#[uniffi::export]
impl PreviewToken {
    /// A token that was typed or scanned.
    #[uniffi::constructor]
    pub fn new(text: String) -> Self {
        Self(hivesync::previews::PreviewToken::new(&text))
    }
}

/// A file of a preview.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PreviewFile {
    /// Its path from the root of the bundle.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// What a download brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OpenStats {
    /// Files that were written.
    pub files: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Bytes that were downloaded; each distinct content once.
    pub downloaded_bytes: u64,
}

/// An opened preview.
#[derive(uniffi::Object)]
pub struct OpenPreview(Arc<hivesync::previews::OpenPreview>);

#[uniffi::export]
impl OpenPreview {
    /// The files, in ascending byte order of their paths.
    pub fn files(&self) -> Vec<PreviewFile> {
        self.0.files().into_iter().map(PreviewFile::from).collect()
    }

    /// The file to start with.
    pub fn entry_point(&self) -> String {
        self.0.entry_point().to_owned()
    }

    /// What the bundle is for.
    pub fn platform(&self) -> Platform {
        self.0.platform().into()
    }

    /// The version of the runtime that the bundle needs; empty if any will do.
    pub fn runtime_version(&self) -> String {
        self.0.runtime_version().to_owned()
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.0.total_bytes()
    }

    /// When the preview stops being openable.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires_at().into()
    }

    /// Fetches one file into memory and verifies it.
    pub async fn read(&self, path: String) -> Result<Vec<u8>, HiveSyncError> {
        let preview = self.0.clone();
        run(async move { preview.read(&path).await.map(Vec::from) }).await
    }

    /// Fetches all files, verifies each, and puts them into a new directory, which appears only when
    /// everything is right.
    pub async fn save_to(&self, directory: String) -> Result<OpenStats, HiveSyncError> {
        let preview = self.0.clone();
        run(async move { preview.save_to(directory, &|_| {}).await.map(OpenStats::from) }).await
    }
}

impl From<hivesync::previews::OpenPreview> for OpenPreview {
    fn from(preview: hivesync::previews::OpenPreview) -> Self {
        Self(Arc::new(preview))
    }
}

impl From<hivesync::previews::PreviewFile> for PreviewFile {
    fn from(file: hivesync::previews::PreviewFile) -> Self {
        Self { path: file.path, size: file.size, sha256: file.sha256 }
    }
}

impl From<hivesync::previews::OpenStats> for OpenStats {
    fn from(stats: hivesync::previews::OpenStats) -> Self {
        Self { files: stats.files, bytes: stats.bytes, downloaded_bytes: stats.downloaded_bytes }
    }
}

impl From<Platform> for hivesync::auth::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Desktop => Self::Desktop,
            Platform::Ios => Self::Ios,
            Platform::Android => Self::Android,
            Platform::Web => Self::Web,
            Platform::Unknown => Self::Unknown,
        }
    }
}

impl From<hivesync::auth::Platform> for Platform {
    fn from(platform: hivesync::auth::Platform) -> Self {
        match platform {
            hivesync::auth::Platform::Desktop => Self::Desktop,
            hivesync::auth::Platform::Ios => Self::Ios,
            hivesync::auth::Platform::Android => Self::Android,
            hivesync::auth::Platform::Web => Self::Web,
            _ => Self::Unknown,
        }
    }
}
