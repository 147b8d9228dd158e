//! Previews, on the device that opens them.

use std::{sync::Arc, time::SystemTime};

use hivesync::Operation;

use crate::{
    cancel::CancelHandle,
    client::HiveSync,
    error::HiveSyncError,
    platform::Platform,
    runtime::{run, start},
};

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

    /// The token as text, to be shown to the device that it is for, and nowhere else.
    pub fn expose(&self) -> String {
        self.0.expose().to_owned()
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
    #[uniffi::method(default(cancel = None))]
    pub async fn read(
        &self,
        path: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Vec<u8>, HiveSyncError> {
        let preview = self.0.clone();
        run(cancel, async move { preview.read(&path).await.map(Vec::from) }).await
    }

    /// Fetches all files, verifies each, and puts them into a new directory, which appears only when
    /// everything is right.
    #[uniffi::method(default(cancel = None))]
    pub async fn save_to(
        &self,
        directory: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<OpenStats, HiveSyncError> {
        let preview = self.0.clone();
        run(cancel, async move { preview.save_to(directory, &|_| {}).await.map(OpenStats::from) }).await
    }

    /// As `save_to`, to be watched.
    pub fn download(&self, directory: String) -> Result<Arc<Download>, HiveSyncError> {
        let preview = self.0.clone();
        start(|| Arc::new(Download(Arc::new(preview.start_save_to(directory)))))
    }
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OpenProgress {
    /// Distinct contents that arrived and were verified.
    pub files_done: u64,
    /// Distinct contents in all.
    pub files_total: u64,
    /// Bytes that arrived and were verified.
    pub bytes_done: u64,
    /// Bytes of all distinct contents.
    pub bytes_total: u64,
}

/// A download that goes on by itself; it stops when nothing refers to this any more.
#[derive(uniffi::Object)]
pub struct Download(Arc<Operation<hivesync::previews::OpenProgress, hivesync::previews::OpenStats>>);

#[uniffi::export]
impl Download {
    /// Waits for progress and gives the newest; nothing when the download has ended.
    pub async fn next(&self) -> Result<Option<OpenProgress>, HiveSyncError> {
        let download = self.0.clone();
        run(None, async move { Ok(download.progress().await.map(OpenProgress::from)) }).await
    }

    /// Waits for the end, and gives what the download brought, or why it failed.
    pub async fn result(&self) -> Result<OpenStats, HiveSyncError> {
        let download = self.0.clone();
        run(None, async move { download.outcome().await.map(OpenStats::from) }).await
    }

    /// Stops the download: its result is `Cancelled`, and nothing appears in the directory.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

#[uniffi::export]
impl HiveSync {
    /// Opens a preview on this device. Its files are fetched by what this returns.
    #[uniffi::method(default(cancel = None))]
    pub async fn open_preview(
        &self,
        token: Arc<PreviewToken>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Arc<OpenPreview>, HiveSyncError> {
        let previews = self.client().previews();
        run(cancel, async move { previews.open(&token.0).await.map(OpenPreview::from).map(Arc::new) }).await
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

impl From<hivesync::previews::OpenProgress> for OpenProgress {
    fn from(progress: hivesync::previews::OpenProgress) -> Self {
        Self {
            files_done: progress.files_done,
            files_total: progress.files_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
        }
    }
}
