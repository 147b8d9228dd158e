//! Workers that come and go.

use uuid::Uuid;

use super::lease::{accept_one, end_as, lost_with_its_worker};
use crate::{
    base::{clock::Timestamp, ctx::Ctx, db::Tx, error::Result},
    domain::{
        audit::{self, Entry},
        jobs::{
            model::{Connected, JobState, LeaseId, LeaseToken, Resumed, Timing},
            store,
        },
    },
};

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
    audit::append(ctx, &tx, Entry::new("worker.connected").subject(worker.session_id));
    tx.commit().await?;
    for lease in revoked {
        end_as(ctx, lease, |leased| Some(lost_with_its_worker(leased))).await?;
    }
    Ok(resumed)
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
/// comes back. That a worker was lost, and did not leave, is recorded.
pub(in crate::domain::jobs) async fn disconnect(
    ctx: &Ctx,
    session: Uuid,
    leases: &[LeaseId],
    until: Timestamp,
    is_lost: bool,
) -> Result<()> {
    let tx = ctx.begin().await?;
    // Of a worker that has another stream, perhaps to another server, the leases are renewed there.
    if store::workers::disconnect(&tx, session).await? && !leases.is_empty() {
        store::renew(&tx, leases, until).await?;
    }
    if is_lost {
        let entry = Entry::new("worker.lost").outcome(audit::Outcome::Failed);
        audit::append(ctx, &tx, entry.subject(session));
    }
    tx.commit().await
}

/// Takes note that the worker at the other end of a stream was heard of.
pub(in crate::domain::jobs) async fn touch(ctx: &Ctx, session: Uuid, draining: bool) -> Result<()> {
    store::workers::touch(&ctx.autocommit(), session, draining, ctx.clock.now()).await
}

/// Forgets workers that were not heard of for two lives of a lease: those of a server that is gone.
pub(in crate::domain::jobs) async fn forget_silent_workers(ctx: &Ctx) -> Result<()> {
    let before = ctx.clock.now() - Timing::STANDARD.ttl * 2;
    store::workers::forget_silent(&ctx.autocommit(), before).await
}
