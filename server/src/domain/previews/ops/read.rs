//! Shows previews to the team that they belong to.

use super::{super::model::Preview, require, store};
use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        ids::{PreviewId, ProjectId},
        page::{Page, PageRequest},
    },
    domain::{access::Permission, projects},
};

/// A preview.
pub async fn get(ctx: &Ctx, id: PreviewId) -> Result<Preview> {
    let (preview, _) = require(ctx, &ctx.read(), id, Permission::ReadPreview).await?;
    Ok(preview)
}

/// The previews of a project, newest first.
pub async fn list(ctx: &Ctx, project: ProjectId, page: PageRequest) -> Result<Page<Preview>> {
    let tx = ctx.read();
    projects::require(ctx, &tx, project, Permission::ReadPreview).await?;
    let scope = format!("previews:{project}");
    let before = page.after(ctx, &scope)?.and_then(|key| Some(uuid::Uuid::from_slice(&key).ok()?.into()));
    let previews = store::list(&tx, project, before, page.size.saturating_add(1)).await?;
    Page::cut(ctx, &scope, &page, previews, |last| last.id.0.into_bytes().to_vec())
}
