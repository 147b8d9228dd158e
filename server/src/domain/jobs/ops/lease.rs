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
        model::{Ending, Failure, FailureClass, JobKind, JobState, LeaseId, LeaseToken, Resumed, Timing},
        store::{self, Claim, Claimed, Connected, Leased},
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

async fn accept_one(ctx: &Ctx, tx: &Tx, lease: LeaseId, kind: JobKind) -> Result<bool> {
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

/// Enters a worker that opened a stream, and settles its earlier leases: those of an earlier process of its
/// name are revoked, as are those of this process that it does not hold; the others go on.
pub(in crate::domain::jobs) async fn connect(
    ctx: &Ctx,
    worker: &Connected<'_>,
    held: &[LeaseToken],
) -> Result<Vec<Resumed>> {
    let view = ctx.read();
    let (name, incarnation) = (worker.worker_id, worker.incarnation_id);
    let mut revoked = store::held_by(&view, name, incarnation, false).await?;
    let own = store::held_by(&view, name, incarnation, true).await?;
    let (kept, lost): (Vec<_>, Vec<_>) = own.into_iter().partition(|lease| held.contains(&lease.token));
    revoked.extend(lost);

    let tx = ctx.begin().await?;
    store::workers::connect(&tx, worker).await?;
    let mut resumed = Vec::new();
    for lease in kept {
        resumed.extend(resume(ctx, &tx, lease, worker.now).await?);
    }
    tx.commit().await?;
    for lease in revoked {
        end_as(ctx, lease, |leased| Some(lost_with_its_worker(leased))).await?;
    }
    Ok(resumed)
}

/// Ends a lease as `ending` says, if it still holds.
async fn end_as(
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

async fn resume(ctx: &Ctx, tx: &Tx, lease: LeaseId, now: Timestamp) -> Result<Option<Resumed>> {
    let Some(leased) = store::fenced(tx, lease).await? else { return Ok(None) };
    let kind = leased.job.kind();
    let written_until = now + Timing::STANDARD.written_ahead();
    if !leased.accepted {
        accept_one(ctx, tx, lease, kind).await?;
    }
    store::renew(tx, &[lease], written_until).await?;
    let cancelling = leased.job.state == JobState::Cancelling;
    Ok(Some(Resumed { lease, kind, epoch: leased.job.lease_epoch, written_until, cancelling }))
}

/// Takes note that a stream has ended: the leases that it served live until `until`, unless their worker
/// comes back.
pub(in crate::domain::jobs) async fn disconnect(
    ctx: &Ctx,
    session: Uuid,
    leases: &[LeaseId],
    until: Timestamp,
) -> Result<()> {
    let tx = ctx.begin().await?;
    // Of a worker that has another stream, perhaps to another server, the leases are renewed there.
    if store::workers::disconnect(&tx, session).await? && !leases.is_empty() {
        store::renew(&tx, leases, until).await?;
    }
    tx.commit().await
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
fn lost_with_its_worker(leased: &Leased) -> Ending {
    if leased.accepted {
        Ending::Failed(Failure::new(FailureClass::Infra, Reason::Internal))
    } else {
        Ending::Returned(Duration::ZERO)
    }
}
