//! Previews, on the desktop that publishes them.

use std::{sync::Arc, time::SystemTime};

use hivesync::{Operation, previews::DirectorySource};

use crate::{
    argument::{id, optional_id},
    cancel::CancelHandle,
    client::HiveSync,
    client_enum::client_enum,
    error::HiveSyncError,
    open::PreviewToken,
    page::{request, split},
    platform::Platform,
    runtime::{run, start},
};

client_enum! {
    /// Where a preview stands.
    PreviewState = hivesync::previews::PreviewState {
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
}

/// A preview, as its publisher's team sees it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Preview {
    /// Identifies the preview.
    pub id: String,
    /// The project it was published from.
    pub project_id: String,
    /// Where it stands.
    pub state: PreviewState,
    /// The only device that can open it; nothing if every device of the publisher can.
    pub device_id: Option<String>,
    /// What the bundle is for.
    pub platform: Platform,
    /// The manifest's digest (SHA-256, hexadecimal).
    pub manifest_digest: String,
    /// Files in the bundle.
    pub file_count: u32,
    /// Bytes in the bundle.
    pub total_bytes: u64,
    /// The job that verifies it, once there is one.
    pub verify_job_id: Option<String>,
    /// Paths of files that were not what the manifest says; at most 20.
    pub rejected_paths: Vec<String>,
    /// When it was created.
    pub created_at: SystemTime,
    /// When it stops being openable.
    pub expires_at: SystemTime,
}

/// A part of a list of previews.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PreviewPage {
    /// The previews, newest first.
    pub items: Vec<Preview>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
}

/// How a bundle is published.
#[derive(Clone, Debug, uniffi::Record)]
pub struct PublishOptions {
    /// What the bundle is for.
    pub platform: Platform,
    /// The only device that can open it; nothing for every device of the user.
    #[uniffi(default = None)]
    pub device_id: Option<String>,
    /// The file to start with. Without it the first there is of `index.html`, `public/index.html`,
    /// `index.js`, `package.json`, `README.md`, or else the first file.
    #[uniffi(default = None)]
    pub entry_point: Option<String>,
    /// The version of the runtime that it needs: at most 64 printable ASCII characters; may be empty.
    #[uniffi(default = "")]
    pub runtime_version: String,
    /// Seconds it can be opened, 600 to 1,800; 0 leaves it to the server.
    #[uniffi(default = 0)]
    pub lifetime_secs: u32,
}

/// What publishing does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum PublishPhase {
    /// Files are read and hashed.
    Hashing,
    /// Missing files are sent.
    Uploading,
    /// A worker checks what arrived.
    Verifying,
}

/// How far publishing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PublishProgress {
    /// What it does.
    pub phase: PublishPhase,
    /// Files done in this phase.
    pub files_done: u64,
    /// Files of this phase in all.
    pub files_total: u64,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes of this phase in all; 0 while unknown.
    pub bytes_total: u64,
}

/// What publishing took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct PublishStats {
    /// Files in the bundle.
    pub files: u64,
    /// Bytes in the bundle.
    pub bytes: u64,
    /// Distinct contents that the project had not sent before.
    pub new_files: u64,
    /// Bytes that were sent.
    pub uploaded_bytes: u64,
    /// Files that stayed out because they may hold secrets.
    pub left_out: u64,
}

/// A preview that can be opened.
#[derive(Clone, uniffi::Record)]
pub struct Published {
    /// The preview.
    pub preview: Preview,
    /// What opens it.
    pub token: Arc<PreviewToken>,
    /// When the token stops opening it.
    pub expires_at: SystemTime,
    /// What it took.
    pub stats: PublishStats,
}

/// A publication that goes on by itself; it stops, as by `cancel`, when nothing refers to this any more.
#[derive(uniffi::Object)]
pub struct Publishing(Arc<Operation<hivesync::previews::PublishProgress, hivesync::previews::Published>>);

#[uniffi::export]
impl Publishing {
    /// Waits for progress and gives the newest; nothing when publishing has ended.
    pub async fn next(&self) -> Result<Option<PublishProgress>, HiveSyncError> {
        let publishing = self.0.clone();
        run(None, async move { Ok(publishing.progress().await.map(PublishProgress::from)) }).await
    }

    /// Waits for the end, and gives the preview and what opens it, or why it failed.
    pub async fn result(&self) -> Result<Published, HiveSyncError> {
        let publishing = self.0.clone();
        run(None, async move { publishing.outcome().await.map(Published::from) }).await
    }

    /// Stops publishing: its result is `Cancelled`. If the server knows the preview already, it keeps it until it
    /// expires or is revoked, but nobody has what opens it.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

#[uniffi::export]
impl HiveSync {
    /// Starts to publish the files of a directory from a project. Files that the project has sent before are
    /// not sent again.
    ///
    /// Symbolic links, `.git`, `node_modules`, environment files and private keys are left out, and whatever
    /// the ignore files of the directory exclude.
    pub fn publish_preview(
        &self,
        project_id: String,
        directory: String,
        options: PublishOptions,
    ) -> Result<Arc<Publishing>, HiveSyncError> {
        let (previews, project_id) = (self.client().previews(), id("project_id", &project_id)?);
        let (source, options) = (DirectorySource::new(directory), options.try_into()?);
        start(|| Arc::new(Publishing(Arc::new(previews.start_publish(project_id, source, options)))))
    }

    /// One preview.
    #[uniffi::method(default(cancel = None))]
    pub async fn get_preview(
        &self,
        preview_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Preview, HiveSyncError> {
        let (previews, preview_id) = (self.client().previews(), id("preview_id", &preview_id)?);
        run(cancel, async move { previews.get(preview_id).await.map(Preview::from) }).await
    }

    /// A page of a project's previews, newest first; at most 200, and as many as the server likes if `size`
    /// is 0.
    #[uniffi::method(default(size = 0, token = None, cancel = None))]
    pub async fn list_previews(
        &self,
        project_id: String,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<PreviewPage, HiveSyncError> {
        let (previews, project_id) = (self.client().previews(), id("project_id", &project_id)?);
        run(cancel, async move {
            let (items, next) = split(previews.list(project_id, request(size, token)).await?);
            Ok(PreviewPage { items, next })
        })
        .await
    }

    /// Ends a preview at once.
    #[uniffi::method(default(cancel = None))]
    pub async fn revoke_preview(
        &self,
        preview_id: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Preview, HiveSyncError> {
        let (previews, preview_id) = (self.client().previews(), id("preview_id", &preview_id)?);
        run(cancel, async move { previews.revoke(preview_id).await.map(Preview::from) }).await
    }
}

impl From<hivesync::previews::Preview> for Preview {
    fn from(preview: hivesync::previews::Preview) -> Self {
        Self {
            id: preview.id.to_string(),
            project_id: preview.project_id.to_string(),
            state: preview.state.into(),
            device_id: preview.device_id.map(|id| id.to_string()),
            platform: preview.platform.into(),
            manifest_digest: preview.manifest_digest,
            file_count: preview.file_count,
            total_bytes: preview.total_bytes,
            verify_job_id: preview.verify_job_id.map(|id| id.to_string()),
            rejected_paths: preview.rejected_paths,
            created_at: preview.created_at.into(),
            expires_at: preview.expires_at.into(),
        }
    }
}

impl TryFrom<PublishOptions> for hivesync::previews::PublishOptions {
    type Error = HiveSyncError;

    fn try_from(options: PublishOptions) -> Result<Self, HiveSyncError> {
        Ok(Self {
            platform: options.platform.into(),
            device_id: optional_id("device_id", options.device_id.as_deref())?,
            entry_point: options.entry_point,
            runtime_version: options.runtime_version,
            lifetime_secs: options.lifetime_secs,
        })
    }
}

impl From<hivesync::previews::PublishPhase> for PublishPhase {
    fn from(phase: hivesync::previews::PublishPhase) -> Self {
        use hivesync::previews::PublishPhase as Phase;
        match phase {
            Phase::Hashing => Self::Hashing,
            Phase::Uploading => Self::Uploading,
            Phase::Verifying => Self::Verifying,
        }
    }
}

impl From<hivesync::previews::PublishProgress> for PublishProgress {
    fn from(progress: hivesync::previews::PublishProgress) -> Self {
        Self {
            phase: progress.phase.into(),
            files_done: progress.files_done,
            files_total: progress.files_total,
            bytes_done: progress.bytes_done,
            bytes_total: progress.bytes_total,
        }
    }
}

impl From<hivesync::previews::PublishStats> for PublishStats {
    fn from(stats: hivesync::previews::PublishStats) -> Self {
        Self {
            files: stats.files,
            bytes: stats.bytes,
            new_files: stats.new_files,
            uploaded_bytes: stats.uploaded_bytes,
            left_out: stats.left_out,
        }
    }
}

impl From<hivesync::previews::Published> for Published {
    fn from(published: hivesync::previews::Published) -> Self {
        Self {
            preview: published.preview.into(),
            token: Arc::new(PreviewToken(published.token)),
            expires_at: published.expires_at.into(),
            stats: published.stats.into(),
        }
    }
}
