//! What an operator sees of the queue.

use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        page::{Page, PageRequest},
    },
    domain::{
        access::OperatorGrant,
        jobs::{
            model::{QueueDepth, Worker},
            store,
        },
    },
};

/// How each kind of job stands.
///
/// # Errors
/// If the database does not answer.
pub async fn queue_depth(ctx: &Ctx, _: &OperatorGrant) -> Result<Vec<QueueDepth>> {
    store::depth(&ctx.read(), ctx.clock.now()).await
}

/// Writes how each kind of job stands into the metrics.
pub(in crate::domain::jobs) async fn measure(ctx: &Ctx) -> Result<()> {
    for depth in store::depth(&ctx.read(), ctx.clock.now()).await? {
        let kind = depth.kind.as_str();
        for (state, count) in [
            ("ready", depth.ready),
            ("delayed", depth.delayed),
            ("running", depth.running),
            ("dead", depth.dead),
        ] {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("hivesync_queue_depth", "kind" => kind, "state" => state).set(count);
        }
        metrics::gauge!("hivesync_queue_oldest_seconds", "kind" => kind).set(depth.oldest_age.as_secs_f64());
    }
    Ok(())
}

/// The connected workers, by name.
///
/// # Errors
/// `INVALID_PAGE_TOKEN` if the page does not continue this list.
pub async fn workers(ctx: &Ctx, _: &OperatorGrant, request: &PageRequest) -> Result<Page<Worker>> {
    const SCOPE: &str = "workers";
    let after = request.after(ctx, SCOPE)?.unwrap_or_default();
    let workers =
        store::workers::list(&ctx.read(), &String::from_utf8_lossy(&after), request.size + 1).await?;
    Page::cut(ctx, SCOPE, request, workers, |last| last.worker_id.as_bytes().to_vec())
}
