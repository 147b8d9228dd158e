//! Rate limits: every rule that a call is subject to, decided together.

use std::time::Duration;

use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        limit::{Claim, Decision, Rule},
    },
    edge::{client_ip::client_of, policy::Rate},
};

const MINUTE: Duration = Duration::from_secs(60);

const CREDENTIALS_BY_ADDRESS: Rule = Rule::new("credentials.address", 30, MINUTE);
const REFRESH_BY_ADDRESS: Rule = Rule::new("refresh.address", 1_200, MINUTE);
const READ_BY_USER: Rule = Rule::new("read.user", 6_000, MINUTE);
const WRITE_BY_USER: Rule = Rule::new("write.user", 600, MINUTE);
const PREVIEW_CREATE_BY_USER: Rule = Rule::new("preview_create.user", 30, MINUTE);
const REPOSITORY_SYNC_BY_USER: Rule = Rule::new("repository_sync.user", 30, MINUTE);
const PREVIEW_OPEN_BY_USER: Rule = Rule::new("preview_open.user", 240, MINUTE);
const ANY_BY_ADDRESS: Rule = Rule::new("any.address", 12_000, MINUTE);

/// Counts the call, or refuses it with the time to wait.
///
/// # Errors
/// `RATE_LIMITED`.
pub async fn admit(ctx: &Ctx, rate: Rate) -> Result<()> {
    let rule = match rate {
        Rate::Unmetered => return Ok(()),
        Rate::Credentials => CREDENTIALS_BY_ADDRESS,
        Rate::Refresh => REFRESH_BY_ADDRESS,
        Rate::Read => READ_BY_USER,
        Rate::Write => WRITE_BY_USER,
        Rate::PreviewCreate => PREVIEW_CREATE_BY_USER,
        Rate::RepositorySync => REPOSITORY_SYNC_BY_USER,
        Rate::PreviewOpen => PREVIEW_OPEN_BY_USER,
    };
    let address = ctx.call.address.map(client_of);
    let mut claims = Vec::with_capacity(2);
    match (rate, ctx.actor.user(), &address) {
        (Rate::Credentials | Rate::Refresh, _, Some(address)) => claims.push(Claim::new(rule, address)),
        (_, Ok(user), _) => claims.push(Claim::new(rule, user.id)),
        _ => {}
    }
    claims.extend(address.map(|address| Claim::new(ANY_BY_ADDRESS, address)));
    match ctx.limiter.decide(&claims).await {
        Decision::Allowed { .. } => Ok(()),
        Decision::Denied { rule, retry_after } => {
            metrics::counter!("hivesync_rate_limited_total", "rule" => rule.name).increment(1);
            Err(Error::new(Reason::RateLimited).retry_after(retry_after))
        }
    }
}
