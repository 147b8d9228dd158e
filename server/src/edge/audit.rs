//! The record of refused access, which no transaction of a service can leave.

use std::time::Duration;

use tonic::Code;

use crate::{
    base::{
        ctx::Ctx,
        limit::{Claim, Decision, Rule},
        status,
    },
    domain::audit::{self, Entry, Outcome},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Refusals of one user that are recorded one by one. Each entry is for ever, and waits for all others.
const RECORDED_BY_USER: Rule = Rule::new("refusals.user", 30, MINUTE);
/// Entries which say that there were more.
const OMITTED_BY_USER: Rule = Rule::new("refusals_omitted.user", 1, MINUTE);

/// Records that a call was refused because the caller may not do it, or because it is not the caller's;
/// other answers are not recorded here. Of a user who is refused again and again, one entry says so in place of the
/// many, and a metric counts them. A log that cannot be written to is itself logged, and does not change the answer.
pub(super) async fn record_refusal(ctx: &Ctx, code: Code) {
    if !matches!(code, Code::PermissionDenied | Code::NotFound) {
        return;
    }
    let Some(event) = event(ctx).await else { return };
    let entry = Entry::new(event).outcome(Outcome::Refused);
    if let Err(error) = audit::record(ctx, entry).await {
        status::log_call(&error, &ctx.call.correlation, ctx.call.route);
    }
}

/// What is recorded of this refusal, if anything is.
async fn event(ctx: &Ctx) -> Option<&'static str> {
    let Ok(user) = ctx.user() else { return Some("access.refused") };
    if !ctx.config.limits.rate_limits || admits(ctx, Claim::new(RECORDED_BY_USER, user.id)).await {
        return Some("access.refused");
    }
    metrics::counter!("hivesync_refusals_omitted_total").increment(1);
    admits(ctx, Claim::new(OMITTED_BY_USER, user.id)).await.then_some("access.refusals_omitted")
}

async fn admits(ctx: &Ctx, claim: Claim) -> bool {
    matches!(ctx.limiter.decide(&[claim]).await, Decision::Allowed { .. })
}
