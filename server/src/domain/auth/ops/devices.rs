//! Lists and revokes the caller's devices.

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Result},
        ids::DeviceId,
        page::{Page, PageRequest},
    },
    domain::{
        audit::Entry,
        auth::{
            model::device::Device,
            ops::sessions,
            store::{devices, sessions::Ending},
        },
    },
};

/// The list's name in page tokens.
const SCOPE: &str = "auth.devices";

/// The caller's devices, newest first.
pub(in crate::domain::auth) async fn list(ctx: &Ctx, request: PageRequest) -> Result<Page<Device>> {
    let before = request.after(ctx, SCOPE)?.and_then(|key| uuid::Uuid::from_slice(&key).ok());
    let found = devices::list(&ctx.read(), ctx.user()?.id, before.map(DeviceId), request.size + 1).await?;
    Page::cut(ctx, SCOPE, &request, found, |last| last.id.0.as_bytes().to_vec())
}

/// A device of anybody, unless it was revoked.
///
/// # Errors
/// If the database does not answer.
pub async fn find_device(tx: &Tx, id: DeviceId) -> Result<Option<Device>> {
    Ok(devices::find(tx, id).await?.filter(|device| device.revoked_at.is_none()))
}

/// Revokes a device of the caller, and every session on it.
pub(in crate::domain::auth) async fn revoke(ctx: &Ctx, id: DeviceId) -> Result<()> {
    let user = ctx.user()?.id;
    let tx = ctx.begin().await?;
    if !devices::revoke(&tx, user, id, ctx.clock.now()).await? {
        return Err(Error::not_found());
    }
    let entry = Entry::new("auth.device_revoked").subject(id.0);
    sessions::end(ctx, tx, user, Ending::OfDevice(id), entry).await
}
