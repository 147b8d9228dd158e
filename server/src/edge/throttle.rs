//! Rate limits: every rule that a call is subject to, decided together.

use std::time::Duration;

use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        limit::{Claim, Rule},
    },
    edge::policy::Rate,
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
    let any = Claim::of_client(ANY_BY_ADDRESS, ctx.call.address);
    match (rate, ctx.actor.user()) {
        (Rate::Credentials | Rate::Refresh, _) => {
            ctx.charge(&[Claim::of_client(rule, ctx.call.address), any]).await
        }
        (_, Ok(user)) => ctx.charge(&[Claim::new(rule, user.id), any]).await,
        _ => ctx.charge(&[any]).await,
    }
}
