//! Claims jobs for the workers of this server, as soon as there are any.

use std::{sync::Arc, time::Duration};

use super::{
    message::Lease,
    roster::{Roster, Seat},
};
use crate::{
    base::{
        ctx::{Base, Ctx},
        error::{Reason, Result},
        status,
    },
    domain::jobs::{
        TOPIC,
        handler::JobHandlers,
        model::{Claimed, Failure, FailureClass, Job, JobKind, LeaseId, LeasedWork},
        ops,
    },
};

/// Jobs of one claim.
const CLAIM_MAX: u32 = 16;
/// How often the queue is looked into without a wake-up: this much, and up to half as much again.
const SWEEP_EVERY: Duration = Duration::from_secs(4);
/// Claims that may in a row come second to another server's.
const CONFLICTS_MAX: u32 = 8;

/// Claims for ever: at once after a wake-up, and now and then what was missed.
pub(super) async fn run(base: Arc<Base>, roster: Arc<Roster>) -> Result<()> {
    let mut wakeups = base.signals.listen(TOPIC);
    loop {
        let ctx = Ctx::system(base.clone(), "jobs")?;
        claim_all(&ctx, &roster).await?;
        let pause = until_next_look(&ctx).await?;
        tokio::select! {
            () = wakeups.wait_at_most(pause) => {}
            () = roster.changed() => {}
        }
    }
}

/// Claims until there is no room or no job left.
async fn claim_all(ctx: &Ctx, roster: &Arc<Roster>) -> Result<()> {
    let mut kinds = JobKind::ALL.to_vec();
    let mut conflicts = 0;
    while let Some((seat, room, wanted)) = roster.freest(&kinds) {
        let limit = room.min(CLAIM_MAX) as usize;
        let claimed = match ops::claim(ctx, &seat.worker_id, seat.incarnation_id, &wanted, limit).await {
            Err(error) if error.reason() == Reason::Conflict && conflicts < CONFLICTS_MAX => {
                conflicts += 1;
                continue;
            }
            claimed => claimed?,
        };
        if claimed.len() < limit {
            kinds.retain(|kind| !wanted.contains(kind));
        }
        roster.reserve(seat.session, u32::try_from(claimed.len()).unwrap_or(u32::MAX));
        for claimed in claimed {
            let (ctx, roster, seat) = (ctx.clone(), roster.clone(), seat.clone());
            let base = ctx.base().clone();
            base.tasks.spawn("job-offer", async move { offer(&ctx, &roster, &seat, claimed).await });
        }
    }
    Ok(())
}

async fn until_next_look(ctx: &Ctx) -> Result<Duration> {
    let now = ctx.clock.now();
    let jitter = SWEEP_EVERY.mul_f64(f64::from(u16::from_le_bytes(ctx.entropy.bytes()?)) / 131_072.0);
    let due = ops::next_due(ctx).await?;
    Ok(due.map_or(SWEEP_EVERY + jitter, |due| due.since(now).min(SWEEP_EVERY + jitter)))
}

/// Hands a claimed job to the worker's stream, or undoes the claim.
async fn offer(ctx: &Ctx, roster: &Roster, seat: &Seat, claimed: Claimed) {
    let lease = LeaseId { job: claimed.job.id, token: claimed.token };
    let offered = match prepare(ctx, &claimed.job).await {
        Ok(work) => {
            let lease_message = Box::new(lease_of(&claimed, work));
            match seat.offers.send(lease_message).await {
                Ok(()) => return,
                Err(_) => ops::give_back(ctx, lease, Duration::ZERO).await,
            }
        }
        Err(failure) => ops::fail(ctx, lease, failure).await,
    };
    roster.arrived(seat.session);
    if let Err(error) = offered {
        // The lease expires, and the sweep finds the job.
        status::log(&error);
    }
}

async fn prepare(ctx: &Ctx, job: &Job) -> Result<LeasedWork, Failure> {
    let ctx = ops::on_behalf_of(ctx, job);
    let handler = ctx.ports.get::<JobHandlers>().and_then(|handlers| handlers.of(job.kind()));
    let prepared = match handler {
        Ok(handler) => handler.prepare(&ctx, job).await,
        Err(error) => Err(error),
    };
    prepared.map_err(|error| {
        status::log(&error);
        let class = match error.reason() {
            Reason::Internal | Reason::Unavailable | Reason::Conflict => FailureClass::Infra,
            _ => FailureClass::NonRetryable,
        };
        Failure::new(class, error.reason())
    })
}

fn lease_of(claimed: &Claimed, work: LeasedWork) -> Lease {
    let job = &claimed.job;
    Lease {
        job: job.id,
        token: claimed.token,
        epoch: job.lease_epoch,
        attempt: job.tally.attempts.saturating_add(1),
        time_limit: job.kind().time_limit(),
        correlation: job.correlation.clone(),
        work,
    }
}
