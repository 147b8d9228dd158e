//! What users are told: stored, listed, and live.

use futures::StreamExt as _;
use hivesync::{
    notifications::{NotificationEvent, NotificationKind, StartAt},
    page::PageRequest,
    previews::{MemorySource, PublishOptions},
    teams::TeamRole,
};
use hivesync_tests::{actor::Actor, on_each_backend, repository::Repository, rows, world::World};

on_each_backend!(
    the_path_is_told_live,
    a_stream_resumes_after_its_cursor,
    reading_is_remembered,
    each_user_is_told_their_own,
    whoever_is_to_open_a_preview_is_told,
    whoever_left_the_team_is_told_nothing_of_it,
    strangers_drive_out_no_news_of_the_account
);

async fn next(stream: &mut hivesync::notifications::NotificationStream) -> (u64, NotificationKind) {
    loop {
        match stream.next().await.expect("the stream goes on").expect("the stream holds") {
            NotificationEvent::Notification(told) => return (told.sequence, told.kind),
            _ => continue,
        }
    }
}

async fn the_path_is_told_live(world: World) {
    let ada = world.user("ada").await;
    ada.told(NotificationKind::DeviceAdded, None).await;
    let mut stream = ada.client.notifications().follow(StartAt::Now);
    assert!(matches!(stream.next().await, Some(Ok(NotificationEvent::Connected))));
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await;
    let (first, kind) = next(&mut stream).await;
    assert_eq!(kind, NotificationKind::RepositorySynced);
    ada.publish(project.id, &[("index.html", b"x")]).await.unwrap();
    assert_eq!(next(&mut stream).await, (first + 1, NotificationKind::PreviewReady));
}

async fn a_stream_resumes_after_its_cursor(world: World) {
    let ada = world.user("ada").await;
    let team = ada.client.teams().create("Engines").await.unwrap();
    for name in ["bob", "cyd"] {
        let newcomer = world.user(name).await;
        world.enlist(&ada, team.id, &newcomer, TeamRole::Member).await;
        ada.told(NotificationKind::MemberJoined, None).await;
    }
    let listed = ada.client.notifications().list(false, PageRequest::first()).await.unwrap();
    let mut sequences: Vec<u64> = listed.page.items.iter().map(|told| told.sequence).collect();
    sequences.reverse();
    let gapless: Vec<u64> = (1..=u64::try_from(sequences.len()).unwrap()).collect();
    assert_eq!(sequences, gapless);
    let mut stream = ada.client.notifications().follow(StartAt::After(1));
    for sequence in &sequences[1..] {
        assert_eq!(next(&mut stream).await.0, *sequence);
    }
}

async fn reading_is_remembered(world: World) {
    let ada = world.user("ada").await;
    let phone = world.device_of(&ada, "phone", hivesync::auth::Platform::Ios).await;
    let device = phone.client.auth().account().await.unwrap().device_id;
    let newest = phone.told(NotificationKind::DeviceAdded, Some(device)).await;
    let listed = phone.client.notifications().list(true, PageRequest::first()).await.unwrap();
    assert!(listed.unread_count >= 1);
    assert_eq!(ada.client.notifications().mark_read(newest.sequence).await.unwrap(), 0);
    let listed = ada.client.notifications().list(true, PageRequest::first()).await.unwrap();
    assert!(listed.page.items.is_empty());
}

async fn each_user_is_told_their_own(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    eve.told(NotificationKind::DeviceAdded, None).await;
    let before = eve.client.notifications().list(false, PageRequest::first()).await.unwrap().page.items.len();
    let repository = Repository::sample();
    let project = ada.project("site", &repository).await;
    ada.sync(project.id).await;
    ada.told(NotificationKind::RepositorySynced, None).await;
    let after = eve.client.notifications().list(false, PageRequest::first()).await.unwrap().page.items.len();
    assert_eq!(before, after);
}

async fn whoever_is_to_open_a_preview_is_told(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    world.enlist(&ada, team.id, &bob, TeamRole::Guest).await;
    let project = ada.client.projects().create(team.id, "site", None).await.unwrap();
    let device_id = Some(bob.client.auth().account().await.unwrap().device_id);
    let source: MemorySource = [("index.html", "for bob")].into_iter().collect();
    let options = PublishOptions { device_id, ..PublishOptions::default() };
    ada.client.previews().publish(project.id, &source, &options, &|_| {}).await.unwrap();
    bob.told(NotificationKind::PreviewReady, None).await;
    ada.told(NotificationKind::PreviewReady, None).await;
}

async fn kinds_told(user: &Actor) -> Vec<NotificationKind> {
    let listed = user.client.notifications().list(false, PageRequest::first()).await.unwrap();
    listed.page.items.into_iter().map(|told| told.kind).collect()
}

async fn whoever_left_the_team_is_told_nothing_of_it(mut world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    bob.told(NotificationKind::DeviceAdded, None).await;
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &bob, TeamRole::Member).await;
    bob.told(NotificationKind::Invited, None).await;
    let repository = Repository::sample();
    let project = ada.client.projects().create(team, "site", Some(&repository.url())).await.unwrap().id;
    world.stop_worker().await;
    let job = bob.client.projects().sync(project).await.unwrap().id;
    ada.client.teams().remove(team, bob.me.id).await.unwrap();
    world.start_worker().await;
    // All who hear of it are told at once.
    ada.told(NotificationKind::RepositorySynced, Some(job)).await;
    assert_eq!(kinds_told(&bob).await, [NotificationKind::Invited, NotificationKind::DeviceAdded]);
}

async fn strangers_drive_out_no_news_of_the_account(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    ada.told(NotificationKind::DeviceAdded, None).await;
    // As after a thousand invitations.
    rows::change(&world, "UPDATE notification_sequences SET last = last + 1000").await;
    let team = eve.client.teams().create("Engines").await.unwrap().id;
    eve.client.teams().invite(team, &ada.email, TeamRole::Guest).await.unwrap();
    ada.told(NotificationKind::Invited, None).await;
    assert_eq!(kinds_told(&ada).await, [NotificationKind::Invited, NotificationKind::DeviceAdded]);
}
