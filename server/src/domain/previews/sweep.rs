//! Ends previews whose time is over, and removes what nothing refers to any more.
//!
//! Each step is a transaction of its own and can be repeated, so that a crash between any two costs nothing.
//! An object is marked in the transaction that stops referring to it, deleted outside of any, and forgotten
//! after that.

use super::{
    model::{CONTENT_GRACE, DOOM_DELAY, HISTORY, PreviewState, STAGING_GRACE},
    ops, store,
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Result},
        status,
    },
    domain::{access::Grant, audit},
};

/// Rows that one round looks at.
const BATCH: u64 = 200;
/// Batches of objects that one round deletes: as many objects as the manifests hold that it removes of one
/// project, 5,000 files each.
const OBJECT_BATCHES: usize = 125;
/// Projects that one round looks at.
const PROJECTS: u64 = 50;
/// Manifests of one project that one round removes.
const MANIFESTS: u64 = 5;

/// One round. What it leaves, the next one finds.
///
/// # Errors
/// If the database does not answer. An object store that does not answer is logged, and asked again in the
/// next round.
pub async fn sweep(ctx: &Ctx) -> Result<()> {
    expire(ctx).await?;
    discard_content(ctx).await?;
    delete_objects(ctx).await?;
    let tx = ctx.begin().await?;
    store::forget_history(&tx, ctx.clock.now() - HISTORY).await?;
    tx.commit().await
}

async fn expire(ctx: &Ctx) -> Result<()> {
    for preview in store::expired(&ctx.read(), ctx.clock.now(), BATCH).await? {
        let tx = ctx.begin().await?;
        let grant = Grant::system(&ctx.actor, preview.team)?;
        if store::set_state(&tx, &grant, preview.id, preview.state, PreviewState::Expired).await? {
            audit::append(ctx, &tx, ops::entry("preview.expired", &preview));
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn discard_content(ctx: &Ctx) -> Result<()> {
    let now = ctx.clock.now();
    let (used_before, touched_before) = (now - CONTENT_GRACE, now - STAGING_GRACE);
    let due_at = now + DOOM_DELAY;
    for project in store::projects_to_sweep(&ctx.read(), used_before, touched_before, PROJECTS).await? {
        let tx = ctx.begin().await?;
        store::lock_project(&tx, project).await?;
        store::discard_stale_uploads(&tx, project, touched_before, due_at).await?;
        store::discard_stale_manifests(&tx, project, used_before, due_at, MANIFESTS).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn delete_objects(ctx: &Ctx) -> Result<()> {
    for _ in 0..OBJECT_BATCHES {
        let doomed = store::doomed_objects(&ctx.read(), ctx.clock.now(), BATCH).await?;
        let mut deleted = Vec::with_capacity(doomed.len());
        for object in &doomed {
            match ctx.blobs.delete(object).await {
                Ok(()) => deleted.push(*object),
                Err(error) => status::log(&Error::from(error)),
            }
        }
        metrics::counter!("hivesync_preview_objects_deleted_total").increment(deleted.len() as u64);
        let tx = ctx.begin().await?;
        store::forget_objects(&tx, &deleted).await?;
        tx.commit().await?;
        if deleted.len() < doomed.len() || (doomed.len() as u64) < BATCH {
            break;
        }
    }
    Ok(())
}
