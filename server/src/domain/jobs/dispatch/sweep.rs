//! Ends leases that are over by the clock, and keeps the figures of the queue.

use std::{sync::Arc, time::Duration};

use crate::{
    base::{
        clock,
        ctx::{Base, Ctx},
        error::Result,
    },
    domain::jobs::ops,
};

/// Leases that are ended in one round.
const BATCH: u64 = 64;
/// How often to look at the least: this much, and up to half as much again.
const SWEEP_EVERY: Duration = Duration::from_secs(4);
/// How often to look at the most.
const SWEEP_EVERY_MIN: Duration = Duration::from_millis(100);

/// Sweeps for ever: when the next lease is over, and now and then.
pub(super) async fn run(base: Arc<Base>) -> Result<()> {
    loop {
        let ctx = Ctx::system(base.clone(), "jobs-sweep")?;
        while ops::sweep(&ctx, BATCH).await? as u64 == BATCH {}
        ops::forget_silent_workers(&ctx).await?;
        ops::measure(&ctx).await?;
        clock::sleep(until_next_round(&ctx).await?).await;
    }
}

async fn until_next_round(ctx: &Ctx) -> Result<Duration> {
    let jitter = SWEEP_EVERY.mul_f64(f64::from(u16::from_le_bytes(ctx.entropy.bytes()?)) / 131_072.0);
    let longest = SWEEP_EVERY + jitter;
    let next = ops::next_overdue(ctx).await?;
    let wait = next.map_or(longest, |next| next.since(ctx.clock.now()));
    Ok(wait.clamp(SWEEP_EVERY_MIN, longest))
}
