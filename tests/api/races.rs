//! Calls that run at the same time: what one rests on, another takes away.

use hivesync::{ErrorReason, page::PageRequest, teams::TeamRole};
use hivesync_tests::{actor::Actor, interleaving::interleave, on_each_backend, world::World};
use uuid::Uuid;

on_each_backend!(
    a_removed_admin_invites_nobody_any_more,
    a_demoted_admin_does_not_promote_themselves,
    a_removed_member_writes_nothing_any_more,
    two_admins_who_remove_each_other_do_not_both_go,
);

async fn role_of(witness: &Actor, team: Uuid, user: &Actor) -> Option<TeamRole> {
    let members = witness.client.teams().members(team, PageRequest::first()).await.unwrap().items;
    members.into_iter().find(|member| member.user_id == user.me.id).map(|member| member.role)
}

async fn a_removed_admin_invites_nobody_any_more(world: World) {
    let (ada, rex, accomplice) =
        (world.user("ada").await, world.user("rex").await, world.user("accomplice").await);
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &rex, TeamRole::Admin).await;
    let (removed, invited) = interleave(
        &world,
        ada.client.teams().remove(team, rex.me.id),
        rex.client.teams().invite(team, &accomplice.email, TeamRole::Admin),
    )
    .await;
    removed.unwrap();
    assert_eq!(invited.unwrap_err().reason(), Some(ErrorReason::NotFound));
    let open = accomplice.client.teams().my_invitations(PageRequest::first()).await.unwrap().items;
    assert!(open.is_empty(), "{open:?}");
}

async fn a_demoted_admin_does_not_promote_themselves(world: World) {
    let (ada, rex) = (world.user("ada").await, world.user("rex").await);
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &rex, TeamRole::Admin).await;
    let (demoted, promoted) = interleave(
        &world,
        ada.client.teams().set_role(team, rex.me.id, TeamRole::Member),
        rex.client.teams().set_role(team, rex.me.id, TeamRole::Admin),
    )
    .await;
    demoted.unwrap();
    assert_eq!(promoted.unwrap_err().reason(), Some(ErrorReason::PermissionDenied));
    assert_eq!(role_of(&ada, team, &rex).await, Some(TeamRole::Member));
}

async fn a_removed_member_writes_nothing_any_more(world: World) {
    let (ada, rex) = (world.user("ada").await, world.user("rex").await);
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &rex, TeamRole::Admin).await;
    let site = ada.client.projects().create(team, "site", None).await.unwrap().id;
    for attempt in ["create", "link", "delete"] {
        let (removed, written) = interleave(&world, ada.client.teams().remove(team, rex.me.id), async {
            let projects = rex.client.projects();
            match attempt {
                "create" => projects.create(team, "mine", None).await.map(drop),
                "link" => projects.link(site, "https://git.example.com/mine").await.map(drop),
                _ => projects.delete(site).await,
            }
        })
        .await;
        removed.unwrap();
        assert_eq!(written.unwrap_err().reason(), Some(ErrorReason::NotFound), "{attempt}");
        world.enlist(&ada, team, &rex, TeamRole::Admin).await;
    }
}

async fn two_admins_who_remove_each_other_do_not_both_go(world: World) {
    let (ada, rex, zoe) = (world.user("ada").await, world.user("rex").await, world.user("zoe").await);
    let team = ada.client.teams().create("Engines").await.unwrap().id;
    world.enlist(&ada, team, &rex, TeamRole::Admin).await;
    world.enlist(&ada, team, &zoe, TeamRole::Admin).await;
    let (removed, refused) = interleave(
        &world,
        rex.client.teams().remove(team, zoe.me.id),
        zoe.client.teams().remove(team, rex.me.id),
    )
    .await;
    removed.unwrap();
    assert_eq!(refused.unwrap_err().reason(), Some(ErrorReason::NotFound));
    assert_eq!(role_of(&ada, team, &rex).await, Some(TeamRole::Admin));
    assert_eq!(role_of(&ada, team, &zoe).await, None);
}
