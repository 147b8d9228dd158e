//! Opens previews on devices.

use super::{
    super::{
        model::{Bundle, DOWNLOAD_TTL, Preview, PreviewState},
        token::{Bearer, Claims, TokenKeys},
    },
    entry, manifest_of, store,
};
use crate::{
    base::{
        blob::Presigned,
        clock::Timestamp,
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
    },
    domain::{
        access::{self, Permission},
        audit::{self, Entry, Outcome},
        auth,
    },
};

/// Opens a preview: what it consists of, and until when.
pub async fn resolve(ctx: &Ctx, token: &str) -> Result<(Bundle, Timestamp)> {
    let preview = open(ctx, token, "preview.resolved").await?;
    let tx = ctx.read();
    let manifest = manifest_of(&tx, &preview).await?;
    let bundle = store::bundle(&tx, manifest).await?;
    let bundle = bundle.ok_or_else(|| Error::internal("a preview that is ready has no manifest"))?;
    audit::record(ctx, entry("preview.resolved", &preview)).await?;
    Ok((bundle, preview.expires_at))
}

/// Issues addresses to download files of an opened preview from, in the order asked for.
pub async fn request_downloads(
    ctx: &Ctx,
    token: &str,
    digests: Vec<[u8; 32]>,
) -> Result<Vec<([u8; 32], Presigned)>> {
    let preview = open(ctx, token, "preview.downloaded").await?;
    let tx = ctx.read();
    let contents = store::contents_among(&tx, manifest_of(&tx, &preview).await?, &digests).await?;
    let mut downloads = Vec::with_capacity(digests.len());
    for (index, digest) in digests.iter().enumerate() {
        let object = contents.get(digest).and_then(|blob| blob.object);
        let object =
            object.ok_or_else(|| Error::invalid(format!("sha256[{index}]"), "must be in the manifest"))?;
        downloads.push((*digest, ctx.blobs.sign_get(&object, DOWNLOAD_TTL)?));
    }
    audit::record(ctx, entry("preview.downloaded", &preview)).await?;
    Ok(downloads)
}

/// The preview that a token opens here and now. A refusal is recorded as one of `event`.
async fn open(ctx: &Ctx, token: &str, event: &'static str) -> Result<Preview> {
    let opened = try_open(ctx, token).await;
    if let Err(error) = &opened
        && error.reason() == Reason::InvalidPreviewToken
    {
        metrics::counter!("hivesync_preview_tokens_refused_total").increment(1);
        audit::record(ctx, Entry::new(event).outcome(Outcome::Refused)).await?;
    }
    opened
}

async fn try_open(ctx: &Ctx, token: &str) -> Result<Preview> {
    let (user, key) = (ctx.user()?, ctx.proven_key()?);
    let bearers = [Bearer::Device { thumbprint: &key.thumbprint }, Bearer::User(user.id)];
    let claims = TokenKeys::new(&ctx.config.preview_keys)?.open(token, &bearers)?;
    let refused = || Error::new(Reason::InvalidPreviewToken);
    let tx = ctx.read();
    let preview = store::find(&tx, claims.preview).await?.ok_or_else(refused)?;
    let holds = still_holds(ctx, &claims, &preview)
        && store::epoch(&tx, preview.project).await? == claims.epoch
        && is_own_device(ctx, &tx).await?
        && is_reader(ctx, &tx, &preview).await?;
    if holds { Ok(preview) } else { Err(refused()) }
}

/// Whether what the token says is still so.
fn still_holds(ctx: &Ctx, claims: &Claims, preview: &Preview) -> bool {
    let now = ctx.clock.now();
    let device = ctx.user().ok().map(|user| user.device);
    claims.expires_at > now
        && preview.state_at(now) == PreviewState::Ready
        && (preview.project, preview.publisher, preview.device, preview.manifest_digest)
            == (claims.project, claims.publisher, claims.device, claims.manifest_digest)
        && (claims.device.is_none() || claims.device == device)
}

/// Whether the proven key is the one of the device that the caller signed in on: somebody who came by an
/// access token has only another.
async fn is_own_device(ctx: &Ctx, tx: &Tx) -> Result<bool> {
    let (user, key) = (ctx.user()?, ctx.proven_key()?);
    let device = auth::find_device(tx, user.device).await?;
    Ok(device.is_some_and(|device| device.user == user.id && device.key.thumbprint == key.thumbprint))
}

/// Whether the caller may still see previews of the team.
async fn is_reader(ctx: &Ctx, tx: &Tx, preview: &Preview) -> Result<bool> {
    match access::require(ctx, tx, preview.team, Permission::ReadPreview).await {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.reason(), Reason::NotFound | Reason::PermissionDenied) => Ok(false),
        Err(error) => Err(error),
    }
}
