//! Previews: a bundle of files that a desktop publishes for a short time and one device opens.

mod bundle;
mod open;
mod publish;
mod source;
mod staging;
#[cfg(test)]
mod tests;
mod transfer;
mod upload;

use std::{fmt, time::Duration};

use futures::Stream;
use hivesync_proto::{manifest::BundleLimits, v1 as pb};
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::sleep;
use uuid::Uuid;

pub use self::{
    open::{OpenPreview, OpenProgress, OpenStats, PreviewFile},
    publish::{PublishOptions, PublishPhase, PublishProgress, PublishStats, Published},
    source::{BundleSource, ByteStream, DirectorySource, MemorySource},
};
use super::{auth::Platform, rpc};
use crate::{
    core::Core,
    error::Result,
    operation::Operation,
    page::{self, Page, PageRequest},
    secret::Secret,
    transport::retry,
    wire::{self, wire_enum},
};

/// Transfers that run at a time.
const TRANSFERS: usize = 8;
/// Addresses asked for at a time, as in the contract.
const BATCH: usize = 200;
/// How often what could not be transferred is tried in all, and the longest pause before the second time. Each further
/// one may be twice as long: others of the same address may have all its places for a while.
const ROUNDS: u32 = 5;
const PAUSE_FIRST: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// Waits after round `round`, the first of which is 1.
async fn pause_after(round: u32) {
    sleep(retry::jittered(PAUSE_FIRST, round - 1, PAUSE_MAX)).await;
}

/// The largest bundle that any server takes; how much this one takes, it says itself.
fn limits() -> BundleLimits {
    BundleLimits { total_bytes_max: 150 * 1024 * 1024, ..BundleLimits::default() }
}

wire_enum! {
    /// Where a preview stands.
    PreviewState = PreviewState {
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

/// What opens a preview on its device. A secret: shown to the one who is to open it, and nowhere else.
#[derive(Clone, PartialEq, Eq)]
pub struct PreviewToken(Secret);

impl PreviewToken {
    /// A token that was typed or scanned.
    pub fn new(text: &str) -> Self {
        Self(Secret::new(text.trim()))
    }

    /// The token as text, to be shown or sent to its device.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for PreviewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PreviewToken(..)")
    }
}

/// A preview, as its publisher's team sees it.
#[derive(Clone, Debug, Serialize)]
pub struct Preview {
    /// Identifies the preview.
    pub id: Uuid,
    /// The project it was published from.
    pub project_id: Uuid,
    /// Where it stands.
    pub state: PreviewState,
    /// The only device that can open it; `None` if every device of the publisher can.
    pub device_id: Option<Uuid>,
    /// What the bundle is for.
    pub platform: Platform,
    /// The manifest's digest (SHA-256, hexadecimal).
    pub manifest_digest: String,
    /// Files in the bundle.
    pub file_count: u32,
    /// Bytes in the bundle.
    pub total_bytes: u64,
    /// The job that verifies it, once there is one.
    pub verify_job_id: Option<Uuid>,
    /// Paths of files that were not what the manifest says; at most 20.
    pub rejected_paths: Vec<String>,
    /// When it was created.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it stops being openable.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
}

/// Calls about previews.
#[derive(Clone)]
pub struct Previews(pub(crate) Core);

impl Previews {
    /// Publishes the files of `source` from a project, and waits until they can be opened. Files that the
    /// project has sent before are not sent again; if nothing is new, this is one call.
    ///
    /// Symbolic links, `.git`, `node_modules`, environment files and private keys are left out, and from
    /// a directory whatever its ignore files exclude. `progress` is told often, and must not block.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` if the bundle breaks a rule, with the field; `Conflict` with the reason
    /// `BundleIncomplete` if files changed while they were sent.
    pub async fn publish(
        &self,
        project_id: Uuid,
        source: &dyn BundleSource,
        options: &PublishOptions,
        progress: &(dyn Fn(&PublishProgress) + Send + Sync),
    ) -> Result<Published> {
        publish::run(&self.0, project_id, source, options, progress).await
    }

    /// As [`publish`](Self::publish), beside the caller. Must be called within a tokio runtime.
    pub fn start_publish(
        &self,
        project_id: Uuid,
        source: impl BundleSource + 'static,
        options: PublishOptions,
    ) -> Operation<PublishProgress, Published> {
        let core = self.0.clone();
        Operation::start(|reporter| async move {
            let progress = |progress: &PublishProgress| reporter.report(*progress);
            publish::run(&core, project_id, &source, &options, &progress).await
        })
    }

    /// Opens a preview on this device. Its files are fetched by what this returns.
    ///
    /// # Errors
    ///
    /// `Forbidden` with the reason `InvalidPreviewToken` if the token opens nothing here.
    pub async fn open(&self, token: &PreviewToken) -> Result<OpenPreview> {
        OpenPreview::resolve(self.0.clone(), token.clone()).await
    }

    /// One preview.
    pub async fn get(&self, preview_id: Uuid) -> Result<Preview> {
        let request = pb::GetPreviewRequest { preview_id: preview_id.to_string() };
        self.0.unary::<rpc::GetPreview>(request).await.and_then(Preview::from_wire)
    }

    /// A page of a project's previews, newest first; at most 200.
    pub async fn list(&self, project_id: Uuid, page: PageRequest) -> Result<Page<Preview>> {
        let request = pb::ListPreviewsRequest {
            project_id: project_id.to_string(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListPreviews>(request).await?;
        Page::new(response.previews, response.next_page_token, Preview::from_wire)
    }

    /// All previews of a project, newest first.
    pub fn all(&self, project_id: Uuid) -> impl Stream<Item = Result<Preview>> + use<'_> {
        page::stream(move |page| self.list(project_id, page))
    }

    /// Issues the token of a preview that is ready, and says until when it opens it.
    pub async fn issue_token(&self, preview_id: Uuid) -> Result<(PreviewToken, OffsetDateTime)> {
        let request = pb::IssuePreviewTokenRequest { preview_id: preview_id.to_string() };
        let response = self.0.unary::<rpc::IssuePreviewToken>(request).await?;
        Ok((PreviewToken::new(&response.token), wire::time(response.expires_at)?))
    }

    /// Ends a preview at once.
    pub async fn revoke(&self, preview_id: Uuid) -> Result<Preview> {
        let request = pb::RevokePreviewRequest { preview_id: preview_id.to_string() };
        self.0.unary::<rpc::RevokePreview>(request).await.and_then(Preview::from_wire)
    }
}

impl Preview {
    fn from_wire(preview: pb::Preview) -> Result<Self> {
        Ok(Self {
            id: wire::id(&preview.id)?,
            project_id: wire::id(&preview.project_id)?,
            state: PreviewState::from_wire(preview.state),
            device_id: wire::optional_id(&preview.device_id)?,
            platform: Platform::from_wire(preview.platform),
            manifest_digest: preview.manifest_digest,
            file_count: preview.file_count,
            total_bytes: preview.total_bytes,
            verify_job_id: wire::optional_id(&preview.verify_job_id)?,
            rejected_paths: preview.rejected_paths,
            created_at: wire::time(preview.created_at)?,
            expires_at: wire::time(preview.expires_at)?,
        })
    }
}
