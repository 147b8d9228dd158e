//! Teams: invitations, roles, and what those who are not members learn.

use hivesync::{ErrorReason, page::PageRequest, teams::TeamRole};
use hivesync_tests::{on_each_backend, world::World};

on_each_backend!(
    every_account_has_a_team_of_its_own,
    an_invitation_makes_a_member,
    an_invitation_is_for_one_person,
    nobody_grants_more_than_they_have,
    the_owner_stays,
    strangers_learn_nothing,
    a_guest_only_reads,
);

async fn every_account_has_a_team_of_its_own(world: World) {
    let ada = world.user("ada").await;
    let teams = ada.client.teams().list(PageRequest::first()).await.unwrap().items;
    assert_eq!(teams.len(), 1);
    assert!(teams[0].personal);
    assert_eq!(teams[0].id, ada.me.personal_team_id);
    assert_eq!(teams[0].role, TeamRole::Owner);
}

async fn an_invitation_makes_a_member(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    let sent = ada.client.teams().invite(team.id, &bob.email, TeamRole::Member).await.unwrap();
    let received = bob.client.teams().my_invitations(PageRequest::first()).await.unwrap().items;
    assert_eq!(received.iter().map(|invitation| invitation.id).collect::<Vec<_>>(), [sent.id]);
    let member = bob.client.teams().accept(sent.id).await.unwrap();
    assert_eq!((member.user_id, member.role), (bob.me.id, TeamRole::Member));
    assert_eq!(bob.client.teams().get(team.id).await.unwrap().role, TeamRole::Member);
    let members = ada.client.teams().members(team.id, PageRequest::first()).await.unwrap().items;
    assert_eq!(members.iter().map(|member| member.user_id).collect::<Vec<_>>(), [ada.me.id, bob.me.id]);
    assert!(bob.client.teams().my_invitations(PageRequest::first()).await.unwrap().items.is_empty());
}

async fn an_invitation_is_for_one_person(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    let sent = ada.client.teams().invite(team.id, "bob@example.com", TeamRole::Admin).await.unwrap();
    let refusal = eve.client.teams().accept(sent.id).await.unwrap_err();
    assert_eq!(refusal.reason(), Some(ErrorReason::NotFound));
}

async fn nobody_grants_more_than_they_have(world: World) {
    let (ada, bob, cyd) = (world.user("ada").await, world.user("bob").await, world.user("cyd").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    world.enlist(&ada, team.id, &bob, TeamRole::Member).await;
    world.enlist(&ada, team.id, &cyd, TeamRole::Admin).await;
    // A member manages nobody.
    for outcome in [
        bob.client.teams().set_role(team.id, bob.me.id, TeamRole::Admin).await.map(drop),
        bob.client.teams().invite(team.id, "dan@example.com", TeamRole::Guest).await.map(drop),
        bob.client.teams().remove(team.id, cyd.me.id).await,
    ] {
        assert_eq!(outcome.unwrap_err().reason(), Some(ErrorReason::PermissionDenied));
    }
    // Nobody makes an owner, and nobody changes one.
    let outcome = cyd.client.teams().set_role(team.id, bob.me.id, TeamRole::Owner).await;
    assert!(outcome.is_err());
    let outcome = cyd.client.teams().set_role(team.id, ada.me.id, TeamRole::Guest).await;
    assert!(outcome.is_err());
    // An admin manages members.
    let member = cyd.client.teams().set_role(team.id, bob.me.id, TeamRole::Guest).await.unwrap();
    assert_eq!(member.role, TeamRole::Guest);
}

async fn the_owner_stays(world: World) {
    let (ada, cyd) = (world.user("ada").await, world.user("cyd").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    world.enlist(&ada, team.id, &cyd, TeamRole::Admin).await;
    assert!(cyd.client.teams().remove(team.id, ada.me.id).await.is_err());
    assert!(ada.client.teams().remove(team.id, ada.me.id).await.is_err());
    cyd.client.teams().remove(team.id, cyd.me.id).await.unwrap();
    assert_eq!(cyd.client.teams().get(team.id).await.unwrap_err().reason(), Some(ErrorReason::NotFound));
}

async fn strangers_learn_nothing(world: World) {
    let (ada, eve) = (world.user("ada").await, world.user("eve").await);
    let there = ada.client.teams().create("Engines").await.unwrap().id;
    let nowhere = uuid::Uuid::now_v7();
    let teams = eve.client.teams();
    for team in [there, nowhere] {
        for outcome in [
            teams.get(team).await.map(drop),
            teams.members(team, PageRequest::first()).await.map(drop),
            teams.invite(team, "dan@example.com", TeamRole::Guest).await.map(drop),
            teams.set_role(team, eve.me.id, TeamRole::Admin).await.map(drop),
            teams.remove(team, ada.me.id).await,
            eve.client.projects().create(team, "site", None).await.map(drop),
            eve.client.projects().list(team, PageRequest::first()).await.map(drop),
            eve.client.jobs().list(team, None, PageRequest::first()).await.map(drop),
        ] {
            assert_eq!(outcome.unwrap_err().reason(), Some(ErrorReason::NotFound));
        }
    }
}

async fn a_guest_only_reads(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let team = ada.client.teams().create("Engines").await.unwrap();
    let project = ada.client.projects().create(team.id, "site", None).await.unwrap();
    world.enlist(&ada, team.id, &bob, TeamRole::Guest).await;
    assert_eq!(bob.client.projects().get(project.id).await.unwrap().id, project.id);
    for outcome in [
        bob.client.projects().create(team.id, "other", None).await.map(drop),
        bob.client.projects().delete(project.id).await,
        bob.client.projects().link(project.id, "https://git.example.com/site").await.map(drop),
        bob.client.projects().sync(project.id).await.map(drop),
    ] {
        assert_eq!(outcome.unwrap_err().reason(), Some(ErrorReason::PermissionDenied));
    }
}
