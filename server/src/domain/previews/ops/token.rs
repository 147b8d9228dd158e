//! Makes tokens.

use super::{
    super::{
        model::{Preview, PreviewState},
        token::{Bearer, Claims, TokenKeys},
    },
    entry, require, require_state, store,
};
use crate::{
    base::{
        clock::Timestamp,
        ctx::{Ctx, ProvenKey},
        db::Tx,
        error::{Error, Result},
        ids::{DeviceId, PreviewId, TeamId},
        secret::SecretText,
    },
    domain::{
        access::{Memberships, Permission},
        audit, auth,
    },
};

/// Issues the token of a preview, and says when it stops opening it.
pub async fn issue(ctx: &Ctx, id: PreviewId) -> Result<(SecretText, Timestamp)> {
    let tx = ctx.begin().await?;
    let (preview, _) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    require_state(ctx, &preview, PreviewState::Ready)?;
    let token = seal(ctx, &tx, &preview).await?;
    audit::append(ctx, &tx, entry("preview.token_issued", &preview));
    tx.commit().await?;
    Ok((token, preview.expires_at))
}

/// Seals the token of a preview that can be opened.
pub async fn seal(ctx: &Ctx, tx: &Tx, preview: &Preview) -> Result<SecretText> {
    let claims = Claims {
        project: preview.project,
        preview: preview.id,
        manifest_digest: preview.manifest_digest,
        expires_at: preview.expires_at,
        publisher: preview.publisher,
        device: preview.device,
        epoch: store::epoch(tx, preview.project).await?,
    };
    let keys = TokenKeys::new(&ctx.config.preview_keys)?;
    match preview.device {
        Some(device) => {
            let key = device_key(ctx, tx, preview.team, device).await?;
            keys.seal(&claims, Bearer::Device { thumbprint: &key.thumbprint })
        }
        None => keys.seal(&claims, Bearer::User(preview.publisher)),
    }
}

/// The key of a device that may open previews of a team: the device of somebody in the team.
///
/// # Errors
/// `NOT_FOUND` for any other device.
pub async fn device_key(ctx: &Ctx, tx: &Tx, team: TeamId, device: DeviceId) -> Result<ProvenKey> {
    let device = auth::find_device(tx, device).await?.ok_or_else(Error::not_found)?;
    let memberships = ctx.ports.get::<dyn Memberships>()?;
    match memberships.role_of(ctx, tx, team, device.user).await? {
        Some(_) => Ok(device.key),
        None => Err(Error::not_found()),
    }
}
