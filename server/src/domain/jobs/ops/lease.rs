//! Claiming jobs for a worker, and keeping its leases.

use std::time::Duration;

use uuid::Uuid;

use super::settle::end;
use crate::{
    base::{
        clock::Timestamp,
        ctx::Ctx,
        db::Tx,
        error::{Reason, Result},
        status,
    },
    domain::jobs::{
        model::{Claimed, Ending, Failure, FailureClass, JobKind, JobState, LeaseId, LeaseToken, Timing},
        store::{self, Claim, Leased},
        topic_of,
    },
};

/// Claims at most `limit` due jobs of `kinds` for a worker.
///
/// # Errors
/// `CONFLICT` if another server came first.
pub(in crate::domain::jobs) async fn claim(
    ctx: &Ctx,
    worker_id: &str,
    incarnation_id: Uuid,
    kinds: &[JobKind],
    limit: usize,
) -> Result<Vec<Claimed>> {
    let tokens: Vec<_> = (0..limit).map(|_| Ok(LeaseToken(ctx.entropy.bytes()?))).collect::<Result<_>>()?;
    let now = ctx.clock.now();
    let lease_until = now + Timing::STANDARD.ttl;
    let claim = Claim { worker_id, incarnation_id, kinds, tokens: &tokens, now, lease_until };
    store::claim(&ctx.autocommit(), &claim).await
}

/// Takes note that leases were accepted; those that were over.
pub(in crate::domain::jobs) async fn accept(
    ctx: &Ctx,
    accepted: &[(LeaseId, JobKind)],
) -> Result<Vec<LeaseId>> {
    let tx = ctx.begin().await?;
    let mut over = Vec::new();
    for (lease, kind) in accepted {
        if accept_one(ctx, &tx, *lease, *kind).await? {
            tx.raise(topic_of(lease.job));
        } else {
            over.push(*lease);
        }
    }
    tx.commit().await?;
    Ok(over)
}

pub(super) async fn accept_one(ctx: &Ctx, tx: &Tx, lease: LeaseId, kind: JobKind) -> Result<bool> {
    let now = ctx.clock.now();
    let time_limit_at = now + kind.time_limit() + Timing::STANDARD.overtime;
    store::accept(tx, lease, now, now + Timing::STANDARD.written_ahead(), time_limit_at).await
}

/// Renews leases up to `until`; those that still hold, each with its job's state.
pub(in crate::domain::jobs) async fn renew(
    ctx: &Ctx,
    leases: &[LeaseId],
    until: Timestamp,
) -> Result<Vec<(LeaseToken, JobState)>> {
    if leases.is_empty() {
        return Ok(Vec::new());
    }
    let tx = ctx.begin().await?;
    let renewed = store::renew(&tx, leases, until).await?;
    tx.commit().await?;
    Ok(renewed)
}

/// Ends a lease as `ending` says, if it still holds.
pub(super) async fn end_as(
    ctx: &Ctx,
    lease: LeaseId,
    ending: impl FnOnce(&Leased) -> Option<Ending> + Send,
) -> Result<()> {
    let tx = ctx.begin().await?;
    let Some(leased) = store::fenced(&tx, lease).await? else { return Ok(()) };
    let Some(ending) = ending(&leased) else { return Ok(()) };
    end(ctx, &tx, leased, ending, None).await?;
    tx.commit().await
}

/// The leases of a worker's process whose jobs are being cancelled.
pub(in crate::domain::jobs) async fn cancelling(
    ctx: &Ctx,
    worker_id: &str,
    incarnation_id: Uuid,
) -> Result<Vec<LeaseId>> {
    store::cancelling(&ctx.read(), worker_id, incarnation_id).await
}

/// When the next job that waits for its time may be claimed.
pub(in crate::domain::jobs) async fn next_due(ctx: &Ctx) -> Result<Option<Timestamp>> {
    store::next_due(&ctx.read(), ctx.clock.now()).await
}

/// When the next lease will be over by the clock.
pub(in crate::domain::jobs) async fn next_overdue(ctx: &Ctx) -> Result<Option<Timestamp>> {
    store::next_overdue(&ctx.read()).await
}

/// Ends the leases that are over by the clock; how many it could. One that cannot be ended holds up no other.
pub(in crate::domain::jobs) async fn sweep(ctx: &Ctx, limit: u64) -> Result<usize> {
    let mut ended = 0;
    for lease in store::overdue(&ctx.read(), ctx.clock.now(), limit).await? {
        match end_as(ctx, lease, |leased| overdue_ending(leased, ctx.clock.now())).await {
            Ok(()) => ended += 1,
            Err(error) => status::log(&error),
        }
    }
    Ok(ended)
}

/// How a lease ends that is over by the clock; nothing if it was renewed meanwhile.
fn overdue_ending(leased: &Leased, now: Timestamp) -> Option<Ending> {
    let passed = |moment: Option<Timestamp>| moment.is_some_and(|moment| moment < now);
    if passed(leased.cancel_until) {
        return Some(Ending::Failed(Failure::new(FailureClass::Cancelled, Reason::Cancelled)));
    }
    if passed(leased.time_limit_at) {
        return Some(Ending::Failed(Failure::new(FailureClass::NonRetryable, Reason::DeadlineExceeded)));
    }
    passed(Some(leased.lease_until)).then(|| lost_with_its_worker(leased))
}

/// A lease that nobody accepted burns no attempt.
pub(super) fn lost_with_its_worker(leased: &Leased) -> Ending {
    if leased.accepted {
        Ending::Failed(Failure::new(FailureClass::Infra, Reason::Internal))
    } else {
        Ending::Returned(Duration::ZERO)
    }
}
