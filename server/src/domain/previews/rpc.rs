//! `hivesync.v1.PreviewService`.

use std::time::Duration;

use hivesync_proto::{
    manifest::{BundleLimits, BundleManifest, ManifestError},
    v1 as pb,
};
use tonic::{Request, Response, Status};

use super::{
    model::{Bundle, CreatePreview, LIFETIME_DEFAULT, Preview, PreviewState},
    ops,
};
use crate::base::{
    blob::Presigned,
    clock::Timestamp,
    ctx::Ctx,
    error::{Error, Reason, Result},
    ids::{DeviceId, IdempotencyKey, PreviewId, ProjectId},
    page::PageRequest,
    rpc::serve,
};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::preview_service_server::PreviewService for Rpc {
    async fn create_preview(
        &self,
        request: Request<pb::CreatePreviewRequest>,
    ) -> Result<Response<pb::CreatePreviewResponse>, Status> {
        serve(request, |ctx, message| async move {
            let created = ops::create(&ctx, CreatePreview::try_from(message)?).await?;
            Ok(pb::CreatePreviewResponse {
                preview: Some(preview_at(&ctx, created.preview)),
                missing: created.missing,
                token: created.token.map(|token| token.expose().to_owned()).unwrap_or_default(),
            })
        })
        .await
    }

    async fn find_missing(
        &self,
        request: Request<pb::FindMissingRequest>,
    ) -> Result<Response<pb::FindMissingResponse>, Status> {
        serve(request, |ctx, message| async move {
            let missing = ops::find_missing(&ctx, preview_id(&message.preview_id)?).await?;
            Ok(pb::FindMissingResponse {
                sha256: missing.into_iter().map(|digest| digest.to_vec()).collect(),
            })
        })
        .await
    }

    async fn request_uploads(
        &self,
        request: Request<pb::RequestUploadsRequest>,
    ) -> Result<Response<pb::RequestUploadsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let id = preview_id(&message.preview_id)?;
            let uploads = ops::request_uploads(&ctx, id, digests(&message.sha256)?).await?;
            Ok(pb::RequestUploadsResponse { uploads: uploads.into_iter().map(presigned).collect() })
        })
        .await
    }

    async fn finalize_preview(
        &self,
        request: Request<pb::FinalizePreviewRequest>,
    ) -> Result<Response<pb::Preview>, Status> {
        serve(request, |ctx, message| async move {
            let preview = ops::finalize(&ctx, preview_id(&message.preview_id)?).await?;
            Ok(preview_at(&ctx, preview))
        })
        .await
    }

    async fn issue_preview_token(
        &self,
        request: Request<pb::IssuePreviewTokenRequest>,
    ) -> Result<Response<pb::IssuePreviewTokenResponse>, Status> {
        serve(request, |ctx, message| async move {
            let (token, expires_at) = ops::issue(&ctx, preview_id(&message.preview_id)?).await?;
            Ok(pb::IssuePreviewTokenResponse {
                token: token.expose().to_owned(),
                expires_at: Some(expires_at.into()),
            })
        })
        .await
    }

    async fn get_preview(
        &self,
        request: Request<pb::GetPreviewRequest>,
    ) -> Result<Response<pb::Preview>, Status> {
        serve(request, |ctx, message| async move {
            let preview = ops::get(&ctx, preview_id(&message.preview_id)?).await?;
            Ok(preview_at(&ctx, preview))
        })
        .await
    }

    async fn list_previews(
        &self,
        request: Request<pb::ListPreviewsRequest>,
    ) -> Result<Response<pb::ListPreviewsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let project = ProjectId::parse("project_id", &message.project_id)?;
            let page = PageRequest::new(message.page_size, message.page_token);
            let page = ops::list(&ctx, project, page).await?;
            Ok(pb::ListPreviewsResponse {
                previews: page.items.into_iter().map(|preview| preview_at(&ctx, preview)).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }

    async fn revoke_preview(
        &self,
        request: Request<pb::RevokePreviewRequest>,
    ) -> Result<Response<pb::Preview>, Status> {
        serve(request, |ctx, message| async move {
            let preview = ops::revoke(&ctx, preview_id(&message.preview_id)?).await?;
            Ok(preview_at(&ctx, preview))
        })
        .await
    }

    async fn resolve_preview(
        &self,
        request: Request<pb::ResolvePreviewRequest>,
    ) -> Result<Response<pb::ResolvePreviewResponse>, Status> {
        serve(request, |ctx, message| async move {
            let (bundle, expires_at) = ops::resolve(&ctx, &message.token).await?;
            Ok(pb::ResolvePreviewResponse {
                manifest: Some(bundle.into()),
                expires_at: Some(expires_at.into()),
            })
        })
        .await
    }

    async fn request_downloads(
        &self,
        request: Request<pb::RequestDownloadsRequest>,
    ) -> Result<Response<pb::RequestDownloadsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let downloads = ops::request_downloads(&ctx, &message.token, digests(&message.sha256)?).await?;
            Ok(pb::RequestDownloadsResponse { downloads: downloads.into_iter().map(presigned).collect() })
        })
        .await
    }
}

impl TryFrom<pb::CreatePreviewRequest> for CreatePreview {
    type Error = Error;

    fn try_from(message: pb::CreatePreviewRequest) -> Result<Self> {
        let manifest = message.manifest.ok_or_else(|| Error::invalid("manifest", "is required"))?;
        let device = (!message.device_id.is_empty())
            .then(|| DeviceId::parse("device_id", &message.device_id))
            .transpose()?;
        let lifetime = match message.lifetime_secs {
            0 => LIFETIME_DEFAULT,
            secs => Duration::from_secs(u64::from(secs)),
        };
        Ok(Self {
            project: ProjectId::parse("project_id", &message.project_id)?,
            manifest: BundleManifest::parse(&manifest, &BundleLimits::default()).map_err(refuse_manifest)?,
            device,
            lifetime,
            idempotency_key: IdempotencyKey::parse("idempotency_key", &message.idempotency_key)?,
        })
    }
}

fn refuse_manifest(error: ManifestError) -> Error {
    let reason = if error.is_over_limit() { Reason::BundleTooLarge } else { Reason::InvalidManifest };
    Error::new(reason).at(format!("manifest.{}", error.field()), error.to_string())
}

fn preview_id(text: &str) -> Result<PreviewId> {
    PreviewId::parse("preview_id", text)
}

fn digests(digests: &[Vec<u8>]) -> Result<Vec<[u8; 32]>> {
    let digest = |(index, digest): (usize, &Vec<u8>)| {
        let digest = digest.as_slice().try_into();
        digest.map_err(|_| Error::invalid(format!("sha256[{index}]"), "must have 32 bytes"))
    };
    digests.iter().enumerate().map(digest).collect()
}

fn presigned((sha256, request): ([u8; 32], Presigned)) -> pb::PresignedRequest {
    let header = |(name, value): (&str, String)| pb::PresignedHeader { name: name.to_owned(), value };
    pb::PresignedRequest {
        sha256: sha256.to_vec(),
        method: request.method.to_owned(),
        url: request.url.expose().to_owned(),
        headers: request.headers.into_iter().map(header).collect(),
        expires_at: Some(request.expires_at.into()),
    }
}

fn preview_at(ctx: &Ctx, preview: Preview) -> pb::Preview {
    let state = state_at(&preview, ctx.clock.now());
    pb::Preview {
        id: preview.id.to_string(),
        project_id: preview.project.to_string(),
        state: state.into(),
        device_id: preview.device.map(|device| device.to_string()).unwrap_or_default(),
        platform: preview.platform,
        manifest_digest: preview.manifest_digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        file_count: preview.file_count,
        total_bytes: preview.total_bytes,
        verify_job_id: preview.verify_job.map(|job| job.to_string()).unwrap_or_default(),
        rejected_paths: preview.rejected_paths,
        created_at: Some(preview.created_at.into()),
        expires_at: Some(preview.expires_at.into()),
    }
}

fn state_at(preview: &Preview, now: Timestamp) -> pb::PreviewState {
    match preview.state_at(now) {
        PreviewState::Uploading => pb::PreviewState::Uploading,
        PreviewState::Verifying => pb::PreviewState::Verifying,
        PreviewState::Ready => pb::PreviewState::Ready,
        PreviewState::Failed => pb::PreviewState::Failed,
        PreviewState::Expired => pb::PreviewState::Expired,
        PreviewState::Revoked => pb::PreviewState::Revoked,
    }
}

impl From<Bundle> for pb::Manifest {
    fn from(bundle: Bundle) -> Self {
        let files = bundle.files.into_iter().map(|file| pb::ManifestFile {
            path: file.path,
            size: file.content.size,
            sha256: file.content.sha256.to_vec(),
        });
        Self {
            files: files.collect(),
            entry_point: bundle.entry_point,
            platform: bundle.platform,
            runtime_version: bundle.runtime_version,
        }
    }
}

#[cfg(test)]
mod tests;
