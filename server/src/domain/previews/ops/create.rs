//! Opens a preview for a manifest.

use super::{
    super::model::{CreatePreview, LIVE_MAX, Preview, PreviewState},
    announce_ready, entry, store,
    token::{device_key, seal},
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        idempotency,
        ids::PreviewId,
        secret::SecretText,
    },
    domain::{
        access::{Grant, Permission},
        audit, projects,
    },
};

/// A new preview, and what is still to do for it.
pub struct Created {
    /// The preview.
    pub preview: Preview,
    /// Positions in the manifest of the files to upload, one for each distinct content.
    pub missing: Vec<u32>,
    /// The token, if the preview can be opened at once.
    pub token: Option<SecretText>,
}

/// Opens a preview. If the project has sent every file before, it can be opened at once.
pub async fn create(ctx: &Ctx, command: CreatePreview) -> Result<Created> {
    let tx = ctx.begin().await?;
    let (project, grant) = projects::require(ctx, &tx, command.project, Permission::PublishPreview).await?;
    if let Some(device) = command.device {
        device_key(ctx, &tx, project.team, device).await?;
    }
    let now = ctx.clock.now();
    let id = PreviewId(ctx.entropy.uuid(now)?);
    if let Some(earlier) = claim(ctx, &tx, &command, id).await? {
        let preview = store::find(&tx, earlier).await?.ok_or_else(Error::not_found)?;
        return answer(ctx, &tx, preview, &command).await;
    }
    store::lock_project(&tx, command.project).await?;
    // Whoever deleted it meanwhile has ended the previews that were there.
    projects::require(ctx, &tx, command.project, Permission::PublishPreview).await?;
    if store::count_live(&tx, command.project, now).await? >= LIVE_MAX {
        return Err(Error::new(Reason::QuotaExceeded));
    }
    let mut preview = Preview::new(id, project.team, ctx.user()?.id, &command, now);
    let is_complete = refer_to_manifest(ctx, &tx, &grant, &command, &preview).await?;
    if is_complete {
        preview.state = PreviewState::Ready;
    }
    store::insert(&tx, &grant, &preview).await?;
    let created = answer(ctx, &tx, preview, &command).await?;
    audit::append(ctx, &tx, entry("preview.created", &created.preview));
    if is_complete {
        announce_ready(ctx, &tx, &created.preview).await?;
    }
    tx.commit().await?;
    Ok(created)
}

/// The preview that an earlier call with the same idempotency key created, if there was one.
async fn claim(ctx: &Ctx, tx: &Tx, command: &CreatePreview, id: PreviewId) -> Result<Option<PreviewId>> {
    let digest: String = command.manifest.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    let request = [
        command.project.to_string(),
        command.device.map(|device| device.to_string()).unwrap_or_default(),
        command.lifetime.as_secs().to_string(),
        digest,
    ];
    let request = request.each_ref().map(String::as_str);
    let earlier = idempotency::claim(ctx, tx, command.idempotency_key, &request, id.0).await?;
    Ok(earlier.map(PreviewId))
}

/// Keeps the manifest for as long as the preview needs it; whether all of its content is verified.
async fn refer_to_manifest(
    ctx: &Ctx,
    tx: &Tx,
    grant: &Grant,
    command: &CreatePreview,
    preview: &Preview,
) -> Result<bool> {
    let known = store::find_manifest(tx, command.project, &preview.manifest_digest).await?;
    let manifest = match known {
        Some(manifest) => {
            store::keep_manifest(tx, manifest, preview.expires_at).await?;
            manifest
        }
        None => store::insert_manifest(tx, grant, &ctx.entropy, command, preview.created_at).await?,
    };
    Ok(store::unverified(tx, manifest).await?.is_empty())
}

async fn answer(ctx: &Ctx, tx: &Tx, preview: Preview, command: &CreatePreview) -> Result<Created> {
    let (mut missing, mut token) = (Vec::new(), None);
    match preview.state_at(ctx.clock.now()) {
        PreviewState::Uploading => {
            let manifest = super::manifest_of(tx, &preview).await?;
            let mut blobs = store::unverified(tx, manifest).await?;
            blobs.retain(|blob| blob.state.is_missing());
            missing = command.missing_positions(&blobs);
        }
        PreviewState::Ready => token = Some(seal(ctx, tx, &preview).await?),
        _ => {}
    }
    Ok(Created { preview, missing, token })
}
