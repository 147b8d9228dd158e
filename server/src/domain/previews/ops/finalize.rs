//! Declares an upload complete.

use super::{
    super::model::{Preview, PreviewState},
    announce_ready, manifest_of, require, require_state, store,
    uploads::notice_arrivals,
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        ids::PreviewId,
    },
    domain::{
        access::Permission,
        jobs::{self, NewJob, OnConflict, Priority, Work},
    },
};

/// Has a worker check the files of a preview. A repeat answers with the preview as it stands.
///
/// # Errors
/// `BUNDLE_INCOMPLETE` if files are missing, `CONFLICT` if the preview has ended.
pub async fn finalize(ctx: &Ctx, id: PreviewId) -> Result<Preview> {
    let tx = ctx.read();
    let (preview, _) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    if matches!(preview.state_at(ctx.clock.now()), PreviewState::Verifying | PreviewState::Ready) {
        return Ok(preview);
    }
    require_state(ctx, &preview, PreviewState::Uploading)?;
    let manifest = manifest_of(&tx, &preview).await?;
    notice_arrivals(ctx, store::unverified(&tx, manifest).await?).await?;
    hand_over(ctx, id).await
}

async fn hand_over(ctx: &Ctx, id: PreviewId) -> Result<Preview> {
    let tx = ctx.begin().await?;
    let (mut preview, grant) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    store::lock_project(&tx, preview.project).await?;
    require_state(ctx, &preview, PreviewState::Uploading)?;
    let manifest = manifest_of(&tx, &preview).await?;
    let unverified = store::unverified(&tx, manifest).await?;
    if unverified.iter().any(|blob| blob.state.is_missing()) {
        return Err(Error::new(Reason::BundleIncomplete));
    }
    if unverified.is_empty() {
        // Another preview's job has seen to all of it.
        if !store::set_state(&tx, &grant, id, PreviewState::Uploading, PreviewState::Ready).await? {
            return Err(Error::new(Reason::Conflict));
        }
        preview.state = PreviewState::Ready;
        announce_ready(ctx, &tx, &preview).await?;
    } else {
        store::touch(&tx, manifest, ctx.clock.now()).await?;
        let job = jobs::enqueue(ctx, &tx, verification(&preview)).await?.job;
        if !store::start_verifying(&tx, &grant, id, job.id).await? {
            return Err(Error::new(Reason::Conflict));
        }
        preview.state = PreviewState::Verifying;
        preview.verify_job = Some(job.id);
    }
    tx.commit().await?;
    Ok(preview)
}

fn verification(preview: &Preview) -> NewJob {
    NewJob {
        work: Work::PreviewVerify { preview: preview.id },
        team: preview.team,
        project: Some(preview.project),
        priority: Priority::Interactive,
        concurrency_key: None,
        on_conflict: OnConflict::Queue,
        requested_by: Some(preview.publisher),
    }
}
