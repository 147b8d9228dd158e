//! Writing, reading and checking the log.

use super::{
    model::{Entry, Filter, Record, Verification, Verifier},
    store,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::Result,
        page::{Page, PageRequest},
    },
    domain::access,
};

/// Entries that a check reads at a time.
const BATCH: u64 = 1_000;

/// Appends `entry` in the open transaction, when that is committed. The log has one head, for which other
/// transactions that append wait until this one ends: it is taken after all other writes, so that nobody who holds it
/// waits for anything.
pub fn append(ctx: &Ctx, tx: &Tx, entry: Entry) {
    let ctx = ctx.clone();
    tx.write_last(move |tx| Box::pin(async move { write(&ctx, tx, entry).await }));
}

async fn write(ctx: &Ctx, tx: &Tx, entry: Entry) -> Result<()> {
    let entry = entry.by(&ctx.actor);
    let previous = store::advance_head(tx).await?;
    let mut record = Record {
        sequence: previous.sequence,
        event: entry.event.to_owned(),
        outcome: entry.outcome.as_str().to_owned(),
        route: ctx.call.route.to_owned(),
        user: entry.user,
        team: entry.team,
        project: entry.project,
        device: entry.device,
        subject: entry.subject,
        correlation: ctx.call.correlation.as_str().to_owned(),
        address: ctx.call.address.map(|address| address.to_string()),
        occurred_at: ctx.clock.now(),
        digest: Vec::new(),
    };
    record.digest = record.digest_after(&previous.digest).to_vec();
    store::insert(tx, &record).await
}

/// Appends `entry` in a transaction of its own: for a refusal or failure, which leaves none behind. The
/// caller must have dropped its own.
///
/// # Errors
/// If the database does not answer.
pub async fn record(ctx: &Ctx, entry: Entry) -> Result<()> {
    let tx = ctx.begin().await?;
    append(ctx, &tx, entry);
    tx.commit().await
}

/// Lists entries, newest first. The reading is recorded.
pub(super) async fn list(ctx: &Ctx, filter: Filter, request: PageRequest) -> Result<Page<Record>> {
    access::require_operator(ctx)?;
    let scope = filter.scope();
    let before = request.after(ctx, &scope)?.and_then(|key| Some(i64::from_be_bytes(key.try_into().ok()?)));
    record(ctx, Entry::new("audit.list")).await?;
    let records = store::list(&ctx.read(), &filter, before, request.size + 1).await?;
    Page::cut(ctx, &scope, &request, records, |last| last.sequence.to_be_bytes().to_vec())
}

/// Recomputes the whole chain. The check is recorded.
pub(super) async fn verify(ctx: &Ctx) -> Result<Verification> {
    access::require_operator(ctx)?;
    record(ctx, Entry::new("audit.verify")).await?;
    let tx = ctx.read();
    let head = store::head(&tx).await?;
    let mut verifier = Verifier::new();
    let broken = |verifier: &Verifier| Some(verifier.checked() + 1);
    let first_broken = 'chain: loop {
        let batch = store::following(&tx, verifier.checked(), head.sequence, BATCH).await?;
        if batch.is_empty() {
            break if verifier.ends_at(&head) { None } else { broken(&verifier) };
        }
        for record in &batch {
            if !verifier.accept(record) {
                break 'chain broken(&verifier);
            }
        }
    };
    Ok(Verification { entries: verifier.checked(), first_broken, head: head.digest })
}
