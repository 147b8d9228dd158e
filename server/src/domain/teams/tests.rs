//! Who may do what to whom.

use std::time::Duration;

use uuid::Uuid;

use super::{
    model::{CreateTeam, InviteMember, Team},
    ops::{invitations, members, teams},
};
use crate::{
    base::{
        actor::PlatformRole,
        ctx::Ctx,
        error::{Reason, Result},
        ids::{IdempotencyKey, TeamId, UserId},
        page::PageRequest,
    },
    domain::{
        access::TeamRole,
        auth::PersonalTeams as _,
        fixture::World,
        users::{self, Email, Name, User},
    },
};

/// Makes the account `name`@example.com with its team; calls by it.
async fn account(world: &World, name: &str) -> Ctx {
    let ctx = world.call_by(UserId(Uuid::nil()), PlatformRole::User);
    let now = ctx.clock.now();
    let (id, team) = (UserId(ctx.entropy.uuid(now).unwrap()), TeamId(ctx.entropy.uuid(now).unwrap()));
    let (email, name) = (email(name), Name::parse("name", name).unwrap());
    let user = User::new(&ctx.field_cipher, &ctx.entropy, (id, team), &email, &name, now).unwrap();
    let tx = ctx.begin().await.unwrap();
    assert!(users::create(&ctx, &tx, &user, &email).await.unwrap());
    super::Teams.create(&ctx, &tx, team, id, &name).await.unwrap();
    tx.commit().await.unwrap();
    world.call_by(id, PlatformRole::User)
}

fn email(name: &str) -> Email {
    Email::new(&format!("{name}@example.com"))
}

fn id(ctx: &Ctx) -> UserId {
    ctx.user().unwrap().id
}

fn key(ctx: &Ctx) -> IdempotencyKey {
    IdempotencyKey(ctx.entropy.uuid(ctx.clock.now()).unwrap())
}

fn first_page() -> PageRequest {
    PageRequest::new(0, String::new())
}

async fn create(ctx: &Ctx) -> Team {
    let command = CreateTeam { name: Name::parse("name", "Crew").unwrap(), idempotency_key: key(ctx) };
    teams::create(ctx, command).await.unwrap().0
}

async fn invite(ctx: &Ctx, team: TeamId, name: &str, role: TeamRole) -> Result<invitations::Offer> {
    let command = InviteMember { team, email: email(name), role, idempotency_key: key(ctx) };
    invitations::invite(ctx, command).await
}

async fn join(owner: &Ctx, team: TeamId, ctx: &Ctx, name: &str, role: TeamRole) {
    let (invitation, _) = invite(owner, team, name, role).await.unwrap();
    let (member, _) = invitations::accept(ctx, invitation.id).await.unwrap();
    assert_eq!((member.user, member.role), (id(ctx), role));
}

fn reason<T>(outcome: Result<T>) -> Reason {
    outcome.err().map_or(Reason::Unspecified, |error| error.reason())
}

#[tokio::test]
async fn a_team_is_made_once_for_each_key() {
    for world in World::all().await {
        let ada = account(&world, "ada").await;
        let command = CreateTeam { name: Name::parse("name", "Crew").unwrap(), idempotency_key: key(&ada) };
        let (team, role) = teams::create(&ada, command.clone()).await.unwrap();
        assert_eq!(role, TeamRole::Owner);
        assert_eq!(teams::create(&ada, command.clone()).await.unwrap().0, team);
        let other = CreateTeam { name: Name::parse("name", "Gang").unwrap(), ..command };
        assert_eq!(reason(teams::create(&ada, other).await), Reason::IdempotencyKeyReused);
        let listed = teams::list(&ada, first_page()).await.unwrap().items;
        let names: Vec<_> =
            listed.iter().map(|(team, role)| (team.name.as_str(), team.personal, *role)).collect();
        assert_eq!(names, [("ada", true, TeamRole::Owner), ("Crew", false, TeamRole::Owner)]);
    }
}

#[tokio::test]
async fn a_team_of_others_is_not_there() {
    for world in World::all().await {
        let (ada, eve) = (account(&world, "ada").await, account(&world, "eve").await);
        let team = create(&ada).await.id;
        let nowhere = TeamId(Uuid::from_u128(1));
        for team in [team, nowhere] {
            assert_eq!(reason(teams::get(&eve, team).await), Reason::NotFound);
            assert_eq!(reason(members::list(&eve, team, first_page()).await), Reason::NotFound);
            assert_eq!(reason(invite(&eve, team, "eve", TeamRole::Member).await), Reason::NotFound);
            assert_eq!(reason(members::remove(&eve, team, id(&ada)).await), Reason::NotFound);
            assert_eq!(
                reason(members::set_role(&eve, team, id(&eve), TeamRole::Admin).await),
                Reason::NotFound
            );
        }
    }
}

#[tokio::test]
async fn an_invitation_is_for_one_address_and_one_week() {
    for world in World::all().await {
        let ada = account(&world, "ada").await;
        let team = create(&ada).await.id;
        let (early, name) = invite(&ada, team, "bob", TeamRole::Member).await.unwrap();
        assert_eq!(name, "Crew");
        assert_eq!(reason(invite(&ada, team, "bob", TeamRole::Guest).await), Reason::AlreadyExists);

        let (bob, eve) = (account(&world, "bob").await, account(&world, "eve").await);
        assert_eq!(invitations::list(&bob, first_page()).await.unwrap().items.len(), 1);
        assert!(invitations::list(&eve, first_page()).await.unwrap().items.is_empty());
        assert_eq!(reason(invitations::accept(&eve, early.id).await), Reason::NotFound);

        world.base.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
        assert_eq!(reason(invitations::accept(&bob, early.id).await), Reason::NotFound);
        assert!(invitations::list(&bob, first_page()).await.unwrap().items.is_empty());

        let (late, _) = invite(&ada, team, "bob", TeamRole::Guest).await.unwrap();
        let (member, shown) = invitations::accept(&bob, late.id).await.unwrap();
        assert_eq!((member.role, shown.as_str()), (TeamRole::Guest, "bob"));
        assert_eq!(invitations::accept(&bob, late.id).await.unwrap().0, member, "accepting twice is once");
        assert_eq!(reason(invite(&ada, team, "bob", TeamRole::Admin).await), Reason::AlreadyExists);

        members::remove(&ada, team, id(&bob)).await.unwrap();
        assert_eq!(reason(invitations::accept(&bob, late.id).await), Reason::NotFound, "it is used up");
    }
}

#[tokio::test]
async fn nobody_gives_or_takes_more_than_they_have() {
    for world in World::all().await {
        let (ada, bob) = (account(&world, "ada").await, account(&world, "bob").await);
        let (cid, dan) = (account(&world, "cid").await, account(&world, "dan").await);
        let team = create(&ada).await.id;
        join(&ada, team, &bob, "bob", TeamRole::Admin).await;
        join(&bob, team, &cid, "cid", TeamRole::Member).await;
        join(&bob, team, &dan, "dan", TeamRole::Guest).await;

        for lesser in [&cid, &dan] {
            assert_eq!(reason(invite(lesser, team, "eve", TeamRole::Guest).await), Reason::PermissionDenied);
            let promoted = members::set_role(lesser, team, id(lesser), TeamRole::Admin).await;
            assert_eq!(reason(promoted), Reason::PermissionDenied);
            assert_eq!(reason(members::remove(lesser, team, id(&bob)).await), Reason::PermissionDenied);
        }
        assert_eq!(reason(invite(&bob, team, "eve", TeamRole::Owner).await), Reason::PermissionDenied);
        let crowned = members::set_role(&ada, team, id(&bob), TeamRole::Owner).await;
        assert_eq!(reason(crowned), Reason::PermissionDenied, "there is one owner");
        let demoted = members::set_role(&bob, team, id(&ada), TeamRole::Guest).await;
        assert_eq!(reason(demoted), Reason::PermissionDenied);
        for ctx in [&ada, &bob] {
            assert_eq!(reason(members::remove(ctx, team, id(&ada)).await), Reason::PermissionDenied);
        }

        let (member, _) = members::set_role(&bob, team, id(&dan), TeamRole::Member).await.unwrap();
        assert_eq!(member.role, TeamRole::Member);
        members::remove(&cid, team, id(&cid)).await.unwrap();
        assert_eq!(reason(teams::get(&cid, team).await), Reason::NotFound);
        members::remove(&bob, team, id(&cid)).await.unwrap();
        let left = members::list(&dan, team, first_page()).await.unwrap().items;
        let names: Vec<_> = left.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["ada", "bob", "dan"]);
    }
}

#[tokio::test]
async fn who_loses_a_role_leaves_no_way_back() {
    for world in World::all().await {
        let (ada, bob) = (account(&world, "ada").await, account(&world, "bob").await);
        let second = account(&world, "bobs-second").await;
        let team = create(&ada).await.id;
        join(&ada, team, &bob, "bob", TeamRole::Admin).await;
        let (early, _) = invite(&bob, team, "bobs-second", TeamRole::Admin).await.unwrap();
        members::set_role(&ada, team, id(&bob), TeamRole::Member).await.unwrap();
        assert_eq!(reason(invitations::accept(&second, early.id).await), Reason::NotFound);

        members::set_role(&ada, team, id(&bob), TeamRole::Admin).await.unwrap();
        let (late, _) = invite(&bob, team, "bobs-second", TeamRole::Admin).await.unwrap();
        let (of_ada, _) = invite(&ada, team, "eve", TeamRole::Guest).await.unwrap();
        members::remove(&ada, team, id(&bob)).await.unwrap();
        assert_eq!(reason(invitations::accept(&second, late.id).await), Reason::NotFound);
        let eve = account(&world, "eve").await;
        assert!(invitations::accept(&eve, of_ada.id).await.is_ok());
    }
}

#[tokio::test]
async fn a_personal_team_is_for_one() {
    for world in World::all().await {
        let ada = account(&world, "ada").await;
        let own = teams::list(&ada, first_page()).await.unwrap().items.remove(0).0;
        assert_eq!(reason(invite(&ada, own.id, "bob", TeamRole::Guest).await), Reason::PermissionDenied);
    }
}

#[tokio::test]
async fn the_database_refuses_a_second_owner() {
    for world in World::all().await {
        let (ada, bob) = (account(&world, "ada").await, account(&world, "bob").await);
        let team = create(&ada).await;
        let tx = ada.begin().await.unwrap();
        let usurper = super::model::Member::founder(&ada.entropy, &team, id(&bob)).unwrap();
        assert!(super::store::members::insert(&tx, &usurper).await.is_err());
    }
}
