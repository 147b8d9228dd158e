//! Sequences without gaps, and streams that miss nothing.

use std::pin::pin;

use futures::{Stream, StreamExt as _};
use uuid::Uuid;

use super::{
    model::{KEPT_MAX, Kind, News, SECURITY_KEPT_MAX},
    ops::{self, Batch, Start},
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Reason, Result},
        fixture::Fixture,
        ids::{JobId, ProjectId, TeamId, UserId},
        outbox::Handler as _,
        page::PageRequest,
        ports::Ports,
        user_streams::UserStreams,
    },
    domain::projects::RepositorySynced,
};

const ANNA: u128 = 1;
const BERT: u128 = 2;

fn news(text: &str) -> News {
    News { kind: Kind::PreviewReady, text: text.to_owned(), team: None, project: None, subject: None }
}

async fn tell(world: &Fixture, users: &[u128], text: &str) {
    let ctx = world.system();
    let tx = ctx.begin().await.unwrap();
    let users = users.iter().map(|user| UserId(Uuid::from_u128(*user)));
    ops::tell(&ctx, &tx, users, &news(text)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Writes a session for the user, which ends only when [`sign_out`] says so.
async fn sign_in(world: &Fixture, user: u128) {
    let id = Uuid::from_u128(user).simple();
    let columns = "id, user_id, device_id, generation, created_at, rotated_at, idle_expires_at, expires_at";
    let row = format!("X'{id}', X'{id}', X'{id}', 1, 0, 0, {max}, {max}", max = i64::MAX);
    let sql = format!("PRAGMA foreign_keys = OFF; INSERT INTO sessions ({columns}) VALUES ({row})");
    world.execute(&sql).await;
}

async fn sign_out(world: &Fixture) {
    world.execute("UPDATE sessions SET revoked_at = 1").await;
}

async fn next(stream: &mut (impl Stream<Item = Result<Batch>> + Unpin)) -> (Vec<i64>, i64) {
    let batch = stream.next().await.expect("the stream goes on").unwrap();
    (batch.notifications.iter().map(|notification| notification.sequence).collect(), batch.cursor)
}

async fn listed(ctx: &Ctx, unread_only: bool) -> Vec<(i64, String)> {
    let (page, _) = ops::list(ctx, unread_only, &PageRequest::new(0, String::new())).await.unwrap();
    page.items.into_iter().map(|notification| (notification.sequence, notification.news.text)).collect()
}

#[tokio::test]
async fn each_user_has_a_sequence_without_gaps() {
    let world = Fixture::new(Ports::default()).await;
    tell(&world, &[ANNA, BERT, ANNA], "first").await;
    let ctx = world.system();
    let undone = ctx.begin().await.unwrap();
    ops::tell(&ctx, &undone, [UserId(Uuid::from_u128(ANNA))], &news("undone")).await.unwrap();
    drop(undone);
    tell(&world, &[ANNA], "second").await;
    let of = |sequence, text: &str| (sequence, text.to_owned());
    assert_eq!(listed(&world.user(ANNA), false).await, [of(2, "second"), of(1, "first")]);
    assert_eq!(listed(&world.user(BERT), false).await, [of(1, "first")]);
    assert!(listed(&world.user(3), false).await.is_empty());
}

#[tokio::test]
async fn reading_is_never_taken_back_and_never_reaches_what_is_to_come() {
    let world = Fixture::new(Ports::default()).await;
    let anna = world.user(ANNA);
    assert_eq!(ops::mark_read(&anna, 5).await.unwrap().unread(), 0);
    for text in ["one", "two", "three"] {
        tell(&world, &[ANNA], text).await;
    }
    assert_eq!(ops::mark_read(&anna, 2).await.unwrap().unread(), 1);
    assert_eq!(ops::mark_read(&anna, 1).await.unwrap().unread(), 1);
    assert_eq!(listed(&anna, true).await, [(3, "three".to_owned())]);
    assert_eq!(ops::mark_read(&anna, u64::MAX).await.unwrap().unread(), 0);
    tell(&world, &[ANNA], "four").await;
    assert_eq!(listed(&anna, true).await, [(4, "four".to_owned())]);
}

#[tokio::test]
async fn pages_continue_where_the_last_one_ended_and_belong_to_the_caller() {
    let world = Fixture::new(Ports::default()).await;
    for text in ["one", "two", "three"] {
        tell(&world, &[ANNA, BERT], text).await;
    }
    let anna = world.user(ANNA);
    let (first, _) = ops::list(&anna, false, &PageRequest::new(2, String::new())).await.unwrap();
    let rest = PageRequest::new(2, first.next.clone());
    let (second, _) = ops::list(&anna, false, &rest).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next.as_str()), (2, 1, ""));
    assert_eq!(second.items[0].sequence, 1);
    for refused in [ops::list(&world.user(BERT), false, &rest).await, ops::list(&anna, true, &rest).await] {
        assert_eq!(refused.unwrap_err().reason(), Reason::InvalidPageToken);
    }
}

#[tokio::test]
async fn only_the_newest_are_kept() {
    let world = Fixture::new(Ports::default()).await;
    let ctx = world.system();
    let tx = ctx.begin().await.unwrap();
    for _ in 0..KEPT_MAX + 5 {
        ops::tell(&ctx, &tx, [UserId(Uuid::from_u128(ANNA))], &news("again")).await.unwrap();
    }
    tx.commit().await.unwrap();
    sign_in(&world, ANNA).await;
    let anna = world.user(ANNA);
    let (_, sequence) = ops::list(&anna, false, &PageRequest::new(1, String::new())).await.unwrap();
    assert_eq!((sequence.last, i64::from(sequence.unread())), (KEPT_MAX + 5, KEPT_MAX));
    let mut stream = pin!(ops::stream(&anna, &UserStreams::default(), Start::After(0)).await.unwrap());
    assert_eq!(next(&mut stream).await, (vec![], 0));
    let (numbers, cursor) = next(&mut stream).await;
    assert_eq!((numbers.first(), numbers.len(), cursor), (Some(&6), 64, 69));
}

#[tokio::test]
async fn of_the_news_of_the_account_the_newest_are_kept() {
    let world = Fixture::new(Ports::default()).await;
    let ctx = world.system();
    let tx = ctx.begin().await.unwrap();
    let anna = [UserId(Uuid::from_u128(ANNA))];
    ops::tell(&ctx, &tx, anna, &news("first")).await.unwrap();
    for _ in 0..SECURITY_KEPT_MAX + 5 {
        ops::tell(&ctx, &tx, anna, &News::new(Kind::DeviceAdded, "again")).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut kept = Vec::new();
    let mut page = PageRequest::new(100, String::new());
    loop {
        let (found, _) = ops::list(&world.user(ANNA), false, &page).await.unwrap();
        kept.extend(found.items.iter().map(|notification| notification.sequence));
        if found.next.is_empty() {
            break;
        }
        page = PageRequest::new(100, found.next);
    }
    assert_eq!(
        (kept.len() as u64, kept[kept.len() - 2], kept[kept.len() - 1]),
        (SECURITY_KEPT_MAX + 1, 7, 1)
    );
}

#[tokio::test]
async fn a_stream_begins_at_its_cursor_and_goes_on_with_what_comes() {
    let world = Fixture::new(Ports::default()).await;
    sign_in(&world, ANNA).await;
    let anna = world.user(ANNA);
    let streams = UserStreams::default();
    for text in ["one", "two"] {
        tell(&world, &[ANNA], text).await;
    }
    let mut resumed = pin!(ops::stream(&anna, &streams, Start::After(1)).await.unwrap());
    let mut live = pin!(ops::stream(&anna, &streams, Start::Now).await.unwrap());
    let mut ahead = pin!(ops::stream(&anna, &streams, Start::After(99)).await.unwrap());
    assert_eq!(next(&mut resumed).await, (vec![], 1));
    assert_eq!(next(&mut resumed).await, (vec![2], 2));
    assert_eq!(next(&mut live).await, (vec![], 2));
    assert_eq!(next(&mut ahead).await, (vec![], 2));
    tell(&world, &[BERT], "not for her").await;
    tell(&world, &[ANNA], "three").await;
    for stream in [&mut resumed, &mut live] {
        assert_eq!(next(stream).await, (vec![3], 3));
    }
    assert_eq!(next(&mut ahead).await, (vec![3], 3));
}

#[tokio::test]
async fn a_stream_ends_with_its_session_and_with_the_server() {
    let world = Fixture::new(Ports::default()).await;
    sign_in(&world, ANNA).await;
    let (anna, streams) = (world.user(ANNA), UserStreams::default());
    let mut first = Box::pin(ops::stream(&anna, &streams, Start::Now).await.unwrap());
    next(&mut first).await;
    sign_out(&world).await;
    world.base.signals.raise(crate::domain::auth::SESSIONS_ENDED);
    assert_eq!(first.next().await.unwrap().unwrap_err().reason(), Reason::SessionEnded);
    assert!(first.next().await.is_none());

    let mut second = Box::pin(ops::stream(&anna, &streams, Start::Now).await.unwrap());
    next(&mut second).await;
    world.base.tasks.stopping().cancel();
    assert_eq!(second.next().await.unwrap().unwrap_err().reason(), Reason::Unavailable);
}

#[tokio::test]
async fn a_user_has_sixteen_streams_at_most() {
    let world = Fixture::new(Ports::default()).await;
    let (anna, streams) = (world.user(ANNA), UserStreams::default());
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(ops::stream(&anna, &streams, Start::Now).await.unwrap());
    }
    let refused = ops::stream(&anna, &streams, Start::Now).await.err().unwrap();
    assert_eq!(refused.reason(), Reason::RateLimited);
    assert!(ops::stream(&world.user(BERT), &streams, Start::Now).await.is_ok());
    open.pop();
    assert!(ops::stream(&anna, &streams, Start::Now).await.is_ok());
}

#[tokio::test]
async fn who_asked_for_a_sync_is_told_how_it_ended() {
    let world = Fixture::new(Ports::default()).await;
    let ctx = world.system();
    let (row, team) = (Uuid::from_u128(ANNA).simple(), Uuid::from_u128(6).simple());
    let member = format!("X'{row}', X'{team}', X'{row}', 'member', 0");
    let columns = "id, team_id, user_id, role, joined_at";
    let sql = format!("PRAGMA foreign_keys = OFF; INSERT INTO members ({columns}) VALUES ({member})");
    world.execute(&sql).await;
    let event = RepositorySynced {
        project: ProjectId(Uuid::from_u128(5)),
        team: TeamId(Uuid::from_u128(6)),
        name: "Website".to_owned(),
        job: JobId(Uuid::from_u128(7)),
        requester: Some(UserId(Uuid::from_u128(ANNA))),
    };
    let tx = ctx.begin().await.unwrap();
    super::Notify.handle(&ctx, &tx, event).await.unwrap();
    tx.commit().await.unwrap();
    let (page, _) = ops::list(&world.user(ANNA), false, &PageRequest::new(0, String::new())).await.unwrap();
    let news = &page.items[0].news;
    assert_eq!(news.text, "The repository of “Website” is up to date.");
    assert_eq!((news.kind, news.subject), (Kind::RepositorySynced, Some(Uuid::from_u128(7))));
}
