//! Has workers check what was uploaded.

use async_trait::async_trait;

use super::{
    model::{DOOM_DELAY, Preview, PreviewFailed, PreviewState, REJECTED_PATHS_MAX, VERIFY_TTL},
    ops, store,
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
        access::Grant,
        audit::{self, Outcome as AuditOutcome},
        jobs::{Job, JobHandler, JobKind, LeasedWork, Outcome, VerifyFile, VerifyOutcome, Work},
    },
};

/// The slice's side of `preview_verify` jobs.
pub struct PreviewVerifyJob;

#[async_trait]
impl JobHandler for PreviewVerifyJob {
    fn kind(&self) -> JobKind {
        JobKind::PreviewVerify
    }

    async fn prepare(&self, ctx: &Ctx, job: &Job) -> Result<LeasedWork> {
        let tx = ctx.read();
        let preview = find(&tx, job).await?;
        let manifest = store::find_manifest(&tx, preview.project, &preview.manifest_digest).await?;
        let manifest = manifest.ok_or_else(|| Error::new(Reason::Conflict))?;
        let mut files = Vec::new();
        for blob in store::unverified(&tx, manifest).await? {
            // A content without an object is missing: the result will lack it.
            let Some(object) = blob.object else { continue };
            let download = ctx.blobs.sign_get(&object, VERIFY_TTL)?;
            files.push(VerifyFile { size: blob.content.size, sha256: blob.content.sha256, download });
        }
        Ok(LeasedWork::PreviewVerify { files })
    }

    async fn committed(&self, ctx: &Ctx, tx: &Tx, job: &Job, outcome: Outcome) -> Result<()> {
        let Outcome::PreviewVerify(VerifyOutcome { verified, rejected }) = outcome else {
            return Err(Error::internal("the result of another kind of job"));
        };
        let preview = find(tx, job).await?;
        let grant = Grant::system(&ctx.actor, preview.team)?;
        store::lock_project(tx, preview.project).await?;
        let manifest = store::find_manifest(tx, preview.project, &preview.manifest_digest).await?;
        let manifest = manifest.ok_or_else(|| Error::new(Reason::Conflict))?;
        let since = job.started_at.unwrap_or(job.created_at);
        let due_at = ctx.clock.now() + DOOM_DELAY;
        store::mark_verified(tx, manifest, &verified, since).await?;
        store::mark_rejected(tx, manifest, &rejected, since, due_at).await?;
        let wrong = store::unverified_paths(tx, manifest, REJECTED_PATHS_MAX).await?;
        if !wrong.is_empty() {
            store::set_rejected_paths(tx, &grant, preview.id, &wrong).await?;
            return fail(ctx, tx, &grant, &preview).await;
        }
        if store::set_state(tx, &grant, preview.id, PreviewState::Verifying, PreviewState::Ready).await? {
            ops::announce_ready(ctx, tx, &preview).await?;
        }
        Ok(())
    }

    async fn gave_up(&self, ctx: &Ctx, tx: &Tx, job: &Job, _reason: Reason) -> Result<()> {
        let Some(preview) = store::find(tx, preview_id(job)?).await? else { return Ok(()) };
        let grant = Grant::system(&ctx.actor, preview.team)?;
        fail(ctx, tx, &grant, &preview).await
    }
}

/// Ends a preview that cannot be opened, unless it has ended already.
async fn fail(ctx: &Ctx, tx: &Tx, grant: &Grant, preview: &Preview) -> Result<()> {
    if !store::set_state(tx, grant, preview.id, PreviewState::Verifying, PreviewState::Failed).await? {
        return Ok(());
    }
    outbox::emit(ctx, tx, &PreviewFailed::from(preview)).await?;
    metrics::counter!("hivesync_previews_failed_total").increment(1);
    audit::append(ctx, tx, ops::entry("preview.failed", preview).outcome(AuditOutcome::Failed));
    Ok(())
}

async fn find(tx: &Tx, job: &Job) -> Result<Preview> {
    store::find(tx, preview_id(job)?).await?.ok_or_else(Error::not_found)
}

fn preview_id(job: &Job) -> Result<PreviewId> {
    match &job.work {
        Work::PreviewVerify { preview } => Ok(*preview),
        _ => Err(Error::internal("a job of another kind")),
    }
}
