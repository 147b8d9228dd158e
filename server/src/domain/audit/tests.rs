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
    base::{actor::PlatformRole, ctx::Ctx, error::Reason, ids::UserId, page::PageRequest},
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
        super::append(&ctx, &tx, Entry::new("test.undone")).await.unwrap();
        drop(tx);
        let found = verify(&world).await;
        assert_eq!((found.entries, found.first_broken), (1, None));
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
