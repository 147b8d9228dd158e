//! How a server hears of sessions that ended, so that it refuses their access tokens.
//!
//! The row of a session says whether it was ended. Each server keeps the ends of the recent past in memory:
//! its own at once, those of others when a wake-up says so, and at least once a second. So a token is
//! useless within a second of its session's end, and verifying one asks nobody.

use std::{sync::Arc, time::Duration};

use uuid::Uuid;

use super::{access_tokens::AccessTokens, store};
use crate::base::{
    ctx::{Base, Ctx},
    error::Result,
    ids::SessionId,
    signal::Topic,
};

/// Raised when sessions were ended.
pub const TOPIC: Topic = Topic::all("auth.revoked");
/// How often the rows are looked into without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the transaction that ends a session can take to become visible.
const COMMIT_MAX: Duration = Duration::from_secs(60);
/// Rows that are read at a time.
const BATCH: u64 = 10_000;

/// Keeps the revocations of this server up to date, for ever.
///
/// # Errors
/// If the database does not answer.
pub async fn follow_revocations(base: Arc<Base>) -> Result<()> {
    let tokens = base.ports.get::<AccessTokens>()?.clone();
    let revocations = tokens.revocations();
    let mut wakeups = base.signals.listen(TOPIC);
    let ctx = Ctx::system(base.clone(), "auth.revocations")?;
    let mut since = ctx.clock.now() - revocations.token_life - COMMIT_MAX;
    loop {
        let now = ctx.clock.now();
        // Any number of sessions can have ended at once, so the time alone is no place to go on from.
        let mut last = (SessionId(Uuid::nil()), since);
        loop {
            let ended = store::sessions::ended_after(&ctx.read(), last, BATCH).await?;
            let ids: Vec<_> = ended.iter().map(|(id, _)| *id).collect();
            revocations.add(&ids, now);
            match ended.last() {
                Some(at) if ids.len() as u64 == BATCH => last = *at,
                _ => break,
            }
        }
        since = now - COMMIT_MAX;
        wakeups.wait_at_most(LOOK_EVERY).await;
    }
}
