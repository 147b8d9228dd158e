//! The verbs of previews.

mod create;
mod end;
mod finalize;
mod read;
mod resolve;
mod token;
mod uploads;

pub(super) use create::create;
pub use end::EndPreviews;
pub(super) use end::revoke;
pub(super) use finalize::finalize;
pub(super) use read::{get, list};
pub(super) use resolve::{request_downloads, resolve};
pub(super) use token::issue;
pub(super) use uploads::{find_missing, request_uploads};

use uuid::Uuid;

use super::{
    model::{Preview, PreviewReady, PreviewState},
    store,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::PreviewId,
        outbox,
    },
    domain::{
        access::{self, Grant, Permission},
        audit::{self, Entry},
    },
};

/// A preview, if the caller has `permission` in its team.
///
/// # Errors
/// `NOT_FOUND` if there is no such preview or the caller is not in its team, `PERMISSION_DENIED` for a
/// member whose role does not suffice.
async fn require(ctx: &Ctx, tx: &Tx, id: PreviewId, permission: Permission) -> Result<(Preview, Grant)> {
    let preview = store::find(tx, id).await?.ok_or_else(Error::not_found)?;
    let grant = access::require(ctx, tx, preview.team, permission).await?;
    Ok((preview, grant))
}

/// Requires that a preview is in `state` now.
///
/// # Errors
/// `CONFLICT` if it is not.
fn require_state(ctx: &Ctx, preview: &Preview, state: PreviewState) -> Result<()> {
    if preview.state_at(ctx.clock.now()) == state { Ok(()) } else { Err(Error::new(Reason::Conflict)) }
}

/// The manifest of a preview.
///
/// # Errors
/// `CONFLICT` if the preview ended so long ago that its manifest is gone.
async fn manifest_of(tx: &Tx, preview: &Preview) -> Result<Uuid> {
    let manifest = store::find_manifest(tx, preview.project, &preview.manifest_digest).await?;
    manifest.ok_or_else(|| Error::new(Reason::Conflict))
}

/// Tells everybody that a preview can be opened.
pub(super) async fn announce_ready(ctx: &Ctx, tx: &Tx, preview: &Preview) -> Result<()> {
    outbox::emit(ctx, tx, &PreviewReady::from(preview)).await?;
    metrics::counter!("hivesync_previews_ready_total").increment(1);
    audit::append(ctx, tx, entry("preview.ready", preview));
    Ok(())
}

/// An audit entry about a preview.
pub(super) fn entry(event: &'static str, preview: &Preview) -> Entry {
    Entry::new(event).team(preview.team).project(preview.project).subject(preview.id.0)
}
