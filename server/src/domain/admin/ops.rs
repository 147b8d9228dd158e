//! The operators' views.

use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        page::{Page, PageRequest},
    },
    domain::{
        access,
        audit::{self, Entry},
        jobs::{self, QueueDepth, Worker},
    },
};

/// How much waits in the queue and how much runs, by kind of job.
pub(super) async fn queue_depth(ctx: &Ctx) -> Result<Vec<QueueDepth>> {
    let grant = access::require_operator(ctx)?;
    audit::record(ctx, Entry::new("admin.queue_depth")).await?;
    jobs::queue_depth(ctx, &grant).await
}

/// The connected workers, by name.
pub(super) async fn workers(ctx: &Ctx, request: PageRequest) -> Result<Page<Worker>> {
    let grant = access::require_operator(ctx)?;
    audit::record(ctx, Entry::new("admin.workers")).await?;
    jobs::workers(ctx, &grant, &request).await
}
