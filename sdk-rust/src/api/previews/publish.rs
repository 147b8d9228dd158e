//! Publishing: hash, say what there is, send what is missing, wait for the verdict.

use std::time::Duration;

use futures::TryStreamExt as _;
use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    Preview, PreviewState, PreviewToken, Previews, bundle::Bundle, source::BundleSource, upload::Upload,
};
use crate::{
    api::{auth::Platform, jobs::Jobs, rpc},
    core::Core,
    entropy,
    error::{Error, ErrorKind, ErrorReason, Result},
    wire,
};

/// How long to wait for a preview whose job has ended to say so.
const SETTLE_TRIES: u32 = 20;
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// How a bundle is published.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// What the bundle is for.
    pub platform: Platform,
    /// The only device that can open it; `None` for every device of the caller.
    pub device_id: Option<Uuid>,
    /// The file to start with. `None` takes the first there is of `index.html`, `public/index.html`,
    /// `index.js`, `package.json`, `README.md`, or else the first file.
    pub entry_point: Option<String>,
    /// The version of the runtime that it needs: at most 64 printable ASCII characters; may be empty.
    pub runtime_version: String,
    /// Seconds it can be opened, 600 to 1,800; 0 leaves it to the server.
    pub lifetime_secs: u32,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            platform: Platform::Ios,
            device_id: None,
            entry_point: None,
            runtime_version: String::new(),
            lifetime_secs: 0,
        }
    }
}

/// What publishing does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishPhase {
    /// Files are read and hashed.
    Hashing,
    /// Missing files are sent.
    Uploading,
    /// A worker checks what arrived.
    Verifying,
}

/// How far publishing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
    /// The preview, once the server has made it; whoever stops publishing then revokes it.
    pub preview_id: Option<Uuid>,
}

impl PublishProgress {
    /// A phase of which nothing is done yet.
    pub(super) fn begins(phase: PublishPhase, files_total: u64) -> Self {
        Self { phase, files_done: 0, files_total, bytes_done: 0, bytes_total: 0, preview_id: None }
    }
}

/// What publishing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
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
#[derive(Clone, Debug)]
pub struct Published {
    /// The preview.
    pub preview: Preview,
    /// What opens it.
    pub token: PreviewToken,
    /// When the token stops opening it.
    pub expires_at: OffsetDateTime,
    /// What it took.
    pub stats: PublishStats,
}

pub(super) type Progress<'a> = &'a (dyn Fn(&PublishProgress) + Send + Sync);

pub(super) async fn run(
    core: &Core,
    project_id: Uuid,
    source: &dyn BundleSource,
    options: &PublishOptions,
    progress: Progress<'_>,
) -> Result<Published> {
    let bundle = Bundle::read(source, options, progress).await?;
    let request = pb::CreatePreviewRequest {
        project_id: project_id.to_string(),
        manifest: Some(bundle.manifest.clone()),
        device_id: options.device_id.map(|id| id.to_string()).unwrap_or_default(),
        lifetime_secs: options.lifetime_secs,
        idempotency_key: entropy::id().to_string(),
    };
    let response = core.unary::<rpc::CreatePreview>(request).await?;
    let preview = response.preview.ok_or_else(wire::broken).and_then(Preview::from_wire)?;
    let mut stats = bundle.stats;
    let progress: Progress<'_> =
        &|step: &PublishProgress| progress(&PublishProgress { preview_id: Some(preview.id), ..*step });
    let missing = bundle.contents(&response.missing)?;
    progress(&PublishProgress::begins(PublishPhase::Uploading, missing.len() as u64));
    if !response.token.is_empty() {
        let (token, expires_at) = (PreviewToken::new(&response.token), preview.expires_at);
        return Ok(Published { preview, token, expires_at, stats });
    }
    stats.new_files = missing.len() as u64;
    stats.uploaded_bytes = Upload::new(core, source, &bundle, preview.id, progress).run(missing).await?;
    let preview = verified(core, preview.id, stats.files, progress).await?;
    let (token, expires_at) = Previews(core.clone()).issue_token(preview.id).await?;
    Ok(Published { preview, token, expires_at, stats })
}

/// Has the upload verified, and waits for the verdict.
async fn verified(core: &Core, preview_id: Uuid, files: u64, progress: Progress<'_>) -> Result<Preview> {
    let request = pb::FinalizePreviewRequest { preview_id: preview_id.to_string() };
    let preview = core.unary::<rpc::FinalizePreview>(request).await.and_then(Preview::from_wire)?;
    if let (PreviewState::Verifying, Some(job_id)) = (preview.state, preview.verify_job_id) {
        let states = Jobs(core.clone()).watch(job_id);
        futures::pin_mut!(states);
        while let Some(job) = states.try_next().await? {
            let done = job.progress.map(|progress| (progress.done, progress.total, progress.bytes));
            let (files_done, files_total, bytes_done) = done.unwrap_or((0, files, 0));
            let phase = PublishPhase::Verifying;
            let step = PublishProgress::begins(phase, files_total);
            progress(&PublishProgress { files_done, bytes_done, ..step });
        }
    }
    settled(core, preview).await
}

/// A preview once its verification shows; the job may be seen to end a moment before.
async fn settled(core: &Core, mut preview: Preview) -> Result<Preview> {
    let previews = Previews(core.clone());
    for _ in 0..SETTLE_TRIES {
        match preview.state {
            PreviewState::Ready => return Ok(preview),
            PreviewState::Verifying => {}
            _ => return Err(rejected(&preview)),
        }
        preview = previews.get(preview.id).await?;
        if preview.state == PreviewState::Verifying {
            sleep(SETTLE_INTERVAL).await;
        }
    }
    Err(Error::new(ErrorKind::Timeout))
}

fn rejected(preview: &Preview) -> Error {
    let sentence = match preview.state {
        PreviewState::Failed => {
            let paths = preview.rejected_paths.join(", ");
            format!("Files changed while they were sent, or arrived damaged: {paths}. Publish again.")
        }
        _ => "The preview was ended before it was ready. Publish again.".to_owned(),
    };
    Error::refused(ErrorKind::Conflict, ErrorReason::BundleIncomplete, sentence)
}
