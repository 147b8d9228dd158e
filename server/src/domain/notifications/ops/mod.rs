//! Telling, listing and streaming.

mod stream;

pub(super) use stream::{Batch, Start, stream};

use std::collections::BTreeSet;

use super::{
    model::{KEPT_MAX, Kind, News, Notification, Sequence},
    store,
};
use crate::base::{
    ctx::Ctx,
    db::Tx,
    error::Result,
    ids::{NotificationId, UserId},
    page::{Page, PageRequest},
    signal::Topic,
};

/// Raised when there is something new for a user.
fn topic_of(user: UserId) -> Topic {
    Topic::one("notifications", user.0)
}

/// Tells `users` the news, each of them once, in the open transaction.
pub(super) async fn tell(
    ctx: &Ctx,
    tx: &Tx,
    users: impl IntoIterator<Item = UserId>,
    news: &News,
) -> Result<()> {
    let now = ctx.clock.now();
    // In the order of their identifiers: two transactions that tell the same users never wait for each other.
    for user in users.into_iter().collect::<BTreeSet<_>>() {
        let sequence = store::next_number(tx, user).await?;
        let id = NotificationId(ctx.entropy.uuid(now)?);
        let notification = Notification { id, user, sequence, news: news.clone(), created_at: now };
        store::insert(tx, &notification).await?;
        store::forget(tx, user, sequence.saturating_sub(KEPT_MAX)).await?;
        if Kind::SECURITY.contains(&news.kind) {
            store::forget_security(tx, user).await?;
        }
        tx.raise(topic_of(user));
    }
    Ok(())
}

/// The caller's notifications, newest first, and where the sequence stands.
pub(super) async fn list(
    ctx: &Ctx,
    unread_only: bool,
    page: &PageRequest,
) -> Result<(Page<Notification>, Sequence)> {
    let user = ctx.user()?.id;
    let tx = ctx.read();
    let scope = format!("notifications:{unread_only}");
    let before = page.after(ctx, &scope)?.and_then(|key| Some(i64::from_be_bytes(key.try_into().ok()?)));
    let sequence = store::sequence(&tx, user).await?;
    let after = if unread_only { sequence.read_up_to } else { 0 };
    let found = store::newest(&tx, user, after, before, page.size.saturating_add(1)).await?;
    let page = Page::cut(ctx, &scope, page, found, |last| last.sequence.to_be_bytes().to_vec())?;
    Ok((page, sequence))
}

/// Marks the caller's notifications up to `number` as read; where the sequence stands then.
pub(super) async fn mark_read(ctx: &Ctx, number: u64) -> Result<Sequence> {
    let user = ctx.user()?.id;
    let tx = ctx.begin().await?;
    let sequence = store::sequence(&tx, user).await?;
    store::mark_read(&tx, user, sequence.cursor(number)).await?;
    let sequence = store::sequence(&tx, user).await?;
    tx.commit().await?;
    Ok(sequence)
}
