//! Takes uploads in.

use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::{
    super::model::{Blob, BlobState, PreviewState, UPLOAD_TTL},
    manifest_of, require, require_state, store,
};
use crate::{
    base::{
        blob::{ObjectKey, Presigned},
        ctx::Ctx,
        error::{Error, Result},
        ids::PreviewId,
    },
    domain::access::Permission,
};

/// Objects that are looked for at the same time.
const LOOKS_MAX: usize = 16;

/// The digests of the files that are still to be uploaded, ascending.
pub async fn find_missing(ctx: &Ctx, id: PreviewId) -> Result<Vec<[u8; 32]>> {
    let tx = ctx.read();
    let (preview, _) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    require_state(ctx, &preview, PreviewState::Uploading)?;
    let manifest = manifest_of(&tx, &preview).await?;
    notice_arrivals(ctx, store::unverified(&tx, manifest).await?).await?;
    let unverified = store::unverified(&tx, manifest).await?;
    let missing = unverified.into_iter().filter(|blob| blob.state.is_missing());
    Ok(missing.map(|blob| blob.content.sha256).collect())
}

/// Issues addresses to upload files to, in the order asked for, without those that have arrived.
pub async fn request_uploads(
    ctx: &Ctx,
    id: PreviewId,
    digests: Vec<[u8; 32]>,
) -> Result<Vec<([u8; 32], Presigned)>> {
    let tx = ctx.read();
    let (preview, _) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    require_state(ctx, &preview, PreviewState::Uploading)?;
    let manifest = manifest_of(&tx, &preview).await?;
    let asked = store::contents_among(&tx, manifest, &digests).await?;
    if let Some(index) = digests.iter().position(|digest| !asked.contains_key(digest)) {
        return Err(Error::invalid(format!("sha256[{index}]"), "must be in the manifest"));
    }
    notice_arrivals(ctx, asked.into_values().collect()).await?;

    let sign = |blob: Blob| {
        let object = blob.object.ok_or_else(|| Error::internal("a staged content has no object"))?;
        let content = blob.content;
        let request = ctx.blobs.sign_put(&object, &content.sha256, content.size, UPLOAD_TTL)?;
        Ok((content.sha256, request))
    };
    stage(ctx, id, manifest, &digests).await?.into_iter().map(sign).collect()
}

/// Gives every missing content an object of its own, and writes that down.
async fn stage(ctx: &Ctx, id: PreviewId, manifest: Uuid, digests: &[[u8; 32]]) -> Result<Vec<Blob>> {
    let tx = ctx.begin().await?;
    let (preview, grant) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    require_state(ctx, &preview, PreviewState::Uploading)?;
    store::lock_project(&tx, preview.project).await?;
    let mut blobs = store::contents_among(&tx, manifest, digests).await?;
    let mut staged = Vec::with_capacity(digests.len());
    for mut blob in digests.iter().filter_map(|digest| blobs.remove(digest)) {
        if !blob.state.is_missing() {
            continue;
        }
        if blob.state == BlobState::Missing {
            let object = ObjectKey::random(ctx.entropy.bytes()?);
            store::stage(&tx, &grant, blob.id, &object, ctx.clock.now()).await?;
            blob.object = Some(object);
        }
        staged.push(blob);
    }
    tx.commit().await?;
    Ok(staged)
}

/// Looks which of `blobs` were uploaded meanwhile, and writes that down.
pub async fn notice_arrivals(ctx: &Ctx, blobs: Vec<Blob>) -> Result<()> {
    let staged = blobs.into_iter().filter(|blob| blob.state == BlobState::Staged);
    let looks = futures::stream::iter(staged).map(|blob| async move {
        let Some(object) = blob.object else { return Ok::<_, Error>(None) };
        let size = ctx.blobs.head(&object).await?;
        Ok((size == Some(blob.content.size)).then_some(blob))
    });
    let arrived: Vec<Option<Blob>> = looks.buffer_unordered(LOOKS_MAX).try_collect().await?;
    let arrived: Vec<Blob> = arrived.into_iter().flatten().collect();
    if arrived.is_empty() {
        return Ok(());
    }
    let tx = ctx.begin().await?;
    store::mark_arrived(&tx, &arrived, ctx.clock.now()).await?;
    tx.commit().await
}
