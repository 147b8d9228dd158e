//! Has the mirrors of deleted projects removed.
//!
//! A worker confirms it. Where none does, it is asked for again; and where a mirror stands although its removal was
//! confirmed, as a worker can leave one that had stood still for long, it is removed anew.

use std::time::Duration;

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Result},
        ids::{ProjectId, TeamId, UserId},
        status,
    },
    domain::{
        jobs::{self, NewJob, OnConflict, Priority, Work},
        projects::{
            mirror,
            store::{self, Leftover},
        },
    },
};

/// How long a mirror may stay before it is asked again for its removal.
pub const CLEANUP_AGAIN_AFTER: Duration = Duration::from_secs(60 * 60);
/// Mirrors of one round.
const BATCH: u64 = 50;

/// Queues the removal of a mirror in the open transaction.
pub async fn queue_cleanup(
    ctx: &Ctx,
    tx: &Tx,
    (project, team): (ProjectId, TeamId),
    on_conflict: OnConflict,
    requested_by: Option<UserId>,
) -> Result<()> {
    let cleanup = NewJob {
        work: Work::Cleanup { projects: vec![project] },
        team,
        project: Some(project),
        priority: Priority::Background,
        concurrency_key: Some(super::sync::concurrency_key(project)),
        on_conflict,
        requested_by,
    };
    jobs::enqueue(ctx, tx, cleanup).await.map(drop)
}

/// How long the sweep looks for mirrors whose identifiers end with the same byte, before it goes on to the next.
const LOOK_SECS: i64 = 60;

/// Queues again what was given up: no mirror outlives its project for good. One that cannot be queued now
/// holds up no other.
pub async fn sweep(ctx: &Ctx) -> Result<()> {
    find_strays(ctx).await?;
    for leftover in store::leftovers(&ctx.read(), ctx.clock.now(), BATCH).await? {
        if let Err(error) = clean_up_again(ctx, &leftover).await {
            status::log(&error);
        }
    }
    Ok(())
}

/// Looks for mirrors of projects that were deleted, among one of 256 parts of all mirrors, each in its turn.
async fn find_strays(ctx: &Ctx) -> Result<()> {
    let now = ctx.clock.now();
    let part = u8::try_from((now.as_secs() / LOOK_SECS).rem_euclid(256)).map_err(Error::internal)?;
    let repos = ctx.config.repos_dir();
    let standing = ctx.tasks.blocking(move || mirror::standing(&repos, part)).await?;
    if standing.is_empty() {
        return Ok(());
    }
    let tx = ctx.begin().await?;
    if store::expect_cleanup(&tx, &standing, now - CLEANUP_AGAIN_AFTER, now).await? > 0 {
        tx.commit().await?;
    }
    Ok(())
}

async fn clean_up_again(ctx: &Ctx, leftover: &Leftover) -> Result<()> {
    let tx = ctx.begin().await?;
    queue_cleanup(ctx, &tx, (leftover.id, leftover.team), OnConflict::Coalesce, None).await?;
    if !store::put_off(&tx, leftover, ctx.clock.now() + CLEANUP_AGAIN_AFTER).await? {
        return Ok(());
    }
    tx.commit().await
}
