//! Ends previews.

use async_trait::async_trait;

use super::{
    super::model::{Preview, PreviewState},
    entry, require, store,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::PreviewId,
        outbox::Handler,
    },
    domain::{
        access::{self, Grant, Permission},
        audit::{self, Entry},
        projects::ProjectDeleted,
    },
};

/// Ends a preview at once. Publishers end their own, administrators everybody's. A repeat answers with the
/// preview as it stands.
pub async fn revoke(ctx: &Ctx, id: PreviewId) -> Result<Preview> {
    let tx = ctx.begin().await?;
    let (mut preview, grant) = require(ctx, &tx, id, Permission::PublishPreview).await?;
    if grant.user() != Some(preview.publisher) {
        access::require(ctx, &tx, preview.team, Permission::ManagePreviews).await?;
    }
    if !preview.state_at(ctx.clock.now()).is_live() {
        return Ok(preview);
    }
    if !store::end(&tx, &grant, id).await? {
        return Err(Error::new(Reason::Conflict));
    }
    preview.state = PreviewState::Revoked;
    audit::append(ctx, &tx, entry("preview.revoked", &preview));
    tx.commit().await?;
    Ok(preview)
}

/// Ends the previews of a project that was deleted, and makes its tokens void.
pub struct EndPreviews;

#[async_trait]
impl Handler<ProjectDeleted> for EndPreviews {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: ProjectDeleted) -> Result<()> {
        let grant = Grant::system(&ctx.actor, event.team)?;
        store::lock_project(tx, event.project).await?;
        store::end_all(tx, &grant, event.project).await?;
        store::advance_epoch(tx, event.project).await?;
        let entry = Entry::new("preview.revoked").team(event.team).project(event.project);
        audit::append(ctx, tx, entry);
        Ok(())
    }
}
