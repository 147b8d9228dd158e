//! The log has no gaps, and shows what was done to it.

use futures::future::join_all;
use sea_orm::ConnectionTrait as _;
use uuid::Uuid;

use super::{
    Entry, Outcome,
    model::{Filter, Verification},
    ops, record,
};
use crate::{
    base::{actor::PlatformRole, ctx::Ctx, error::Reason, idempotency, ids::UserId, page::PageRequest},
    domain::fixture::World,
};

fn operator(world: &World) -> Ctx {
    world.call_by(UserId(Uuid::from_u128(1)), PlatformRole::Admin)
}

async fn verify(world: &World) -> Verification {
    ops::verify(&operator(world)).await.unwrap()
}

#[tokio::test]
async fn entries_written_at_the_same_time_form_one_chain() {
    for world in World::all().await {
        let ctx = operator(&world);
        join_all((0..40).map(|_| record(&ctx, Entry::new("test.event").outcome(Outcome::Refused))))
            .await
            .into_iter()
            .for_each(|outcome| outcome.unwrap());
        let found = verify(&world).await;
        assert_eq!((found.entries, found.first_broken), (41, None));
    }
}

#[tokio::test]
async fn an_entry_goes_with_its_transaction() {
    for world in World::all().await {
        let ctx = operator(&world);
        let tx = ctx.begin().await.unwrap();
        super::append(&ctx, &tx, Entry::new("test.undone"));
        drop(tx);
        let found = verify(&world).await;
        assert_eq!((found.entries, found.first_broken), (1, None));
    }
}

#[tokio::test]
async fn the_head_is_taken_after_every_other_write() {
    for world in World::all().await {
        let ctx = operator(&world);
        let tx = ctx.begin().await.unwrap();
        world.statements.lock().unwrap().clear();
        for event in ["test.first", "test.second"] {
            super::append(&ctx, &tx, Entry::new(event));
            idempotency::sweep(&ctx, &tx).await.unwrap();
        }
        tx.commit().await.unwrap();
        let of_log: Vec<bool> =
            world.statements.lock().unwrap().iter().map(|statement| statement.contains("audit_")).collect();
        assert_eq!(of_log, [false, false, true, true, true, true, true, true]);
        assert_eq!(verify(&world).await.first_broken, None);
    }
}

#[tokio::test]
async fn an_entry_goes_with_what_is_undone() {
    for world in World::all().await {
        let ctx = operator(&world);
        let tx = ctx.begin().await.unwrap();
        super::append(&ctx, &tx, Entry::new("test.before"));
        let mark = tx.set_mark().await.unwrap();
        super::append(&ctx, &tx, Entry::new("test.undone"));
        tx.return_to_mark(mark).await.unwrap();
        super::append(&ctx, &tx, Entry::new("test.after"));
        tx.commit().await.unwrap();
        let found = ops::list(&ctx, Filter::default(), PageRequest::new(10, String::new())).await.unwrap();
        let events: Vec<_> = found.items.iter().map(|record| record.event.as_str()).collect();
        assert_eq!(events, ["audit.list", "test.after", "test.before"]);
    }
}

#[tokio::test]
async fn the_first_entry_that_was_touched_is_named() {
    let attacks = [
        ("UPDATE audit_entries SET outcome = 'refused' WHERE sequence = 3", 3),
        ("UPDATE audit_entries SET occurred_at = occurred_at + 1 WHERE sequence = 2", 2),
        ("DELETE FROM audit_entries WHERE sequence = 1", 1),
        ("DELETE FROM audit_entries WHERE sequence = 4", 4),
        ("DELETE FROM audit_entries WHERE sequence > 4", 5),
        ("UPDATE audit_entries SET address = subject_id, subject_id = address WHERE sequence = 5", 5),
    ];
    for (attack, broken) in attacks {
        for world in World::all().await {
            let ctx = operator(&world);
            for _ in 0..5 {
                record(&ctx, Entry::new("test.event").subject(Uuid::from_u128(5))).await.unwrap();
            }
            let tx = ctx.begin().await.unwrap();
            tx.sql().execute_unprepared(attack).await.unwrap();
            tx.commit().await.unwrap();
            // The check itself is entry 6, behind whatever was cut off.
            assert_eq!(verify(&world).await.first_broken, Some(broken), "{attack}");
        }
    }
}

#[tokio::test]
async fn operators_find_entries_and_others_find_nothing() {
    for world in World::all().await {
        let ctx = operator(&world);
        let other = UserId(Uuid::from_u128(2));
        for event in ["test.a", "test.b", "test.a", "test.a"] {
            record(&ctx, Entry::new(event).user(other)).await.unwrap();
        }
        let filter = Filter { user: Some(other), event: Some("test.a".to_owned()), ..Filter::default() };
        let first = ops::list(&ctx, filter.clone(), PageRequest::new(2, String::new())).await.unwrap();
        let sequences: Vec<_> = first.items.iter().map(|record| record.sequence).collect();
        assert_eq!(sequences, [4, 3]);
        let rest = ops::list(&ctx, filter, PageRequest::new(2, first.next.clone())).await.unwrap();
        assert_eq!(rest.items.len(), 1);
        assert!(rest.next.is_empty());

        let all = ops::list(&ctx, Filter::default(), PageRequest::new(2, first.next)).await;
        assert_eq!(all.unwrap_err().reason(), Reason::InvalidPageToken);
        let curious = world.call_by(other, PlatformRole::User);
        let refused = ops::list(&curious, Filter::default(), PageRequest::new(2, String::new())).await;
        assert_eq!(refused.unwrap_err().reason(), Reason::PermissionDenied);
    }
}
