//! Calls that run at the same time: what one rests on, another takes away.

use futures::{
    StreamExt as _,
    future::{self, Either},
};
use hivesync::{ErrorReason, page::PageRequest, projects::MirrorState, teams::TeamRole};
use hivesync_proto::v1 as pb;
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::Caller,
    device::Device,
    interleaving::{Hold, interleave},
    manifest::{file, manifest},
    on_backend, on_each_backend,
    repository::Repository,
    rows,
    wire::refused,
    world::World,
};
use uuid::Uuid;

use crate::{
    auth::refresh,
    workers::{leased, synced},
};

on_each_backend!(
    a_removed_admin_invites_nobody_any_more,
    a_demoted_admin_does_not_promote_themselves,
    a_removed_member_writes_nothing_any_more,
    two_admins_who_remove_each_other_do_not_both_go,
    a_deleted_project_keeps_no_preview,
    a_preview_is_revoked_while_it_is_handed_over,
    a_project_is_deleted_while_its_sync_ends,
    a_sync_brings_what_is_linked,
    a_team_has_two_hundred_projects,
    a_user_is_in_two_hundred_teams,
    a_team_has_five_hundred_members_and_invitations,
    a_team_has_two_thousand_jobs_that_wait,
);

on_backend!(deadlock, Production; whoever_loses_a_deadlock_may_retry, a_device_is_revoked_while_it_goes_on);

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

async fn a_deleted_project_keeps_no_preview(world: World) {
    let ada = world.caller("ada").await;
    let me: pb::User = ada.get("hivesync.v1.UserService/GetMe", pb::GetMeRequest {}).await;
    let project = pb::CreateProjectRequest {
        team_id: ada.team_id.clone(),
        name: "site".to_owned(),
        repository_url: String::new(),
        idempotency_key: Uuid::new_v4().to_string(),
    };
    let project: pb::Project = ada.get("hivesync.v1.ProjectService/CreateProject", project).await;
    let request = pb::CreatePreviewRequest {
        project_id: project.id.clone(),
        manifest: Some(manifest(vec![file("index.html", b"x")])),
        device_id: String::new(),
        lifetime_secs: 0,
        idempotency_key: Uuid::new_v4().to_string(),
    };
    // The preview is stopped when it has seen the project, until that is gone with all that was published from it.
    let claim = format!(
        "INSERT INTO idempotency_keys (actor, key, fingerprint, subject, created_at)
         VALUES ('{}', '{}', '', '{}', 0)",
        me.id,
        request.idempotency_key,
        Uuid::new_v4()
    );
    let hold = Hold::take(&world, &claim).await;
    let deletion = async {
        hold.has_stopped(1).await;
        let request = pb::DeleteProjectRequest { project_id: project.id.clone() };
        let _: pb::DeleteProjectResponse = ada.get("hivesync.v1.ProjectService/DeleteProject", request).await;
        rows::settle(&world).await;
        hold.release().await;
    };
    let create = ada.call("hivesync.v1.PreviewService/CreatePreview", request);
    let (created, ()) = futures::join!(create, deletion);
    let created: Result<pb::CreatePreviewResponse, _> = created;
    rows::settle(&world).await;
    if let Some(preview) = created.ok().and_then(|created| created.preview) {
        let request = pb::GetPreviewRequest { preview_id: preview.id };
        let preview: pb::Preview = ada.get("hivesync.v1.PreviewService/GetPreview", request).await;
        assert_eq!(preview.state(), pb::PreviewState::Revoked);
    }
}

async fn a_preview_is_revoked_while_it_is_handed_over(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await;
    let request = pb::CreatePreviewRequest {
        project_id: project.id,
        manifest: Some(manifest(vec![file("index.html", b"x")])),
        device_id: String::new(),
        lifetime_secs: 0,
        idempotency_key: Uuid::new_v4().to_string(),
    };
    let created: pb::CreatePreviewResponse =
        ada.get("hivesync.v1.PreviewService/CreatePreview", request).await;
    let preview_id = created.preview.unwrap().id;
    ada.upload(&preview_id, b"x").await;
    let finalize = pb::FinalizePreviewRequest { preview_id: preview_id.clone() };
    let revoke = pb::RevokePreviewRequest { preview_id };
    let (finalized, revoked) = interleave(
        &world,
        ada.call::<_, pb::Preview>("hivesync.v1.PreviewService/FinalizePreview", finalize),
        ada.call::<_, pb::Preview>("hivesync.v1.PreviewService/RevokePreview", revoke),
    )
    .await;
    assert_eq!(finalized.unwrap().state(), pb::PreviewState::Verifying);
    assert_eq!(revoked.unwrap().state(), pb::PreviewState::Revoked);
}

async fn a_project_is_deleted_while_its_sync_ends(world: World) {
    let (world, ada, worker, lease) = leased(world).await;
    let request = pb::GetJobRequest { job_id: lease.job_id.clone() };
    let job: pb::Job = ada.get("hivesync.v1.JobService/GetJob", request).await;
    let hold = Hold::take(&world, "SELECT 1 FROM projects FOR UPDATE").await;
    let request = pb::DeleteProjectRequest { project_id: job.project_id };
    let delete =
        ada.call::<_, pb::DeleteProjectResponse>("hivesync.v1.ProjectService/DeleteProject", request);
    let end = async {
        hold.has_stopped(1).await;
        let ended = worker.commit(synced(&lease));
        let release = async {
            hold.has_stopped(2).await;
            hold.release().await;
        };
        futures::join!(ended, release).0
    };
    let (deleted, ended) = futures::join!(delete, end);
    deleted.unwrap();
    assert_eq!(ended.unwrap().state(), pb::JobState::Succeeded);
}

async fn a_sync_brings_what_is_linked(mut world: World) {
    let ada = world.user("ada").await;
    let (former, linked) = (Repository::sample(), Repository::sample());
    linked.write("index.html", b"linked");
    let head = linked.commit("Change");
    let project = ada.project("site", &former).await.id;
    world.stop_worker().await;
    let projects = ada.client.projects();
    let job = projects.sync(project).await.unwrap().id;
    // Written as a call writes it that is not committed when the sync begins.
    let relink = format!(
        "UPDATE projects SET repository_url = '{}', link_number = link_number + 1 WHERE id = '{project}'",
        linked.url()
    );
    let hold = Hold::take(&world, &relink).await;
    if world.backend() == Backend::Embedded {
        projects.link(project, &linked.url()).await.unwrap();
    }
    world.start_worker().await;
    hold.has_stopped(1).await;
    hold.commit().await;
    ada.end_of(job).await;
    let project = projects.get(project).await.unwrap();
    assert_eq!((project.mirror_state, project.head_commit), (MirrorState::Ready, Some(head)));
}

/// Does something `count` times, several at a time.
async fn repeat<F: Future<Output = hivesync::Result<()>>>(count: usize, call: impl Fn(usize) -> F) {
    let calls = futures::stream::iter(0..count).map(call);
    calls.buffer_unordered(8).for_each(|outcome| async { outcome.unwrap() }).await;
}

/// Of two calls that take the last place, one is refused.
fn assert_one_is_refused(outcomes: (hivesync::Result<()>, hivesync::Result<()>)) {
    outcomes.0.unwrap();
    assert_eq!(outcomes.1.unwrap_err().reason(), Some(ErrorReason::QuotaExceeded));
}

async fn a_team_has_two_hundred_projects(world: World) {
    let ada = world.user("ada").await;
    let create = async |number: usize| {
        let name = format!("site-{number}");
        ada.client.projects().create(ada.me.personal_team_id, &name, None).await.map(drop)
    };
    repeat(199, create).await;
    assert_one_is_refused(interleave(&world, create(199), create(200)).await);
}

async fn a_user_is_in_two_hundred_teams(world: World) {
    let (ada, bob) = (world.user("ada").await, world.user("bob").await);
    let team = bob.client.teams().create("Engines").await.unwrap().id;
    let invitation = bob.client.teams().invite(team, &ada.email, TeamRole::Guest).await.unwrap().id;
    let teams = ada.client.teams();
    let create = async |number: usize| teams.create(&format!("Team {number}")).await.map(drop);
    // With her own she is in 199.
    repeat(198, create).await;
    let accept = async { teams.accept(invitation).await.map(drop) };
    assert_one_is_refused(interleave(&world, create(198), accept).await);
    let accept = async { teams.accept(invitation).await.map(drop) };
    assert_one_is_refused((Ok(()), accept.await));
    assert_one_is_refused((Ok(()), create(199).await));
}

async fn a_team_has_five_hundred_members_and_invitations(world: World) {
    let ada = world.user("ada").await;
    let teams = ada.client.teams();
    let team = teams.create("Engines").await.unwrap().id;
    let invite = async |number: usize| {
        teams.invite(team, &format!("guest-{number}@example.com"), TeamRole::Guest).await.map(drop)
    };
    repeat(498, invite).await;
    assert_one_is_refused(interleave(&world, invite(498), invite(499)).await);
}

async fn a_team_has_two_thousand_jobs_that_wait(mut world: World) {
    let ada = world.user("ada").await;
    let (site, blog) =
        (ada.project("site", &Repository::sample()).await, ada.project("blog", &Repository::sample()).await);
    world.stop_worker().await;
    let team = rows::literal(&world, ada.me.personal_team_id);
    let id = if world.backend() == Backend::Embedded { "randomblob(16)" } else { "gen_random_uuid()" };
    let queue = format!(
        "INSERT INTO jobs (id, kind, state, priority, team_id, attempts, infra_failures, lease_epoch, accepted,
           due_at, created_at)
         WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 1999)
         SELECT {id}, 1, 1, 1, {team}, 0, 0, 0, false, 0, 0 FROM numbers"
    );
    rows::change(&world, &queue).await;
    let sync = async |project: Uuid| ada.client.projects().sync(project).await.map(drop);
    assert_one_is_refused(interleave(&world, sync(site.id), sync(blog.id)).await);
}

/// Two transactions that wait for each other: the one that the database ends can be made again.
async fn whoever_loses_a_deadlock_may_retry(world: World) {
    let (ada, rex) = (world.caller("ada").await, world.caller("rex").await);
    let team =
        pb::CreateTeamRequest { name: "Engines".to_owned(), idempotency_key: Uuid::new_v4().to_string() };
    let team: pb::Team = ada.get("hivesync.v1.TeamService/CreateTeam", team).await;
    ada.enlist(&team.id, &rex, pb::TeamRole::Admin).await;
    let me: pb::User = rex.get("hivesync.v1.UserService/GetMe", pb::GetMeRequest {}).await;
    let hold =
        Hold::take(&world, "SET LOCAL deadlock_timeout = '1min'; SELECT 1 FROM audit_head FOR UPDATE").await;
    let remove = pb::RemoveMemberRequest { team_id: team.id, user_id: me.id };
    let remove = ada.call::<_, pb::RemoveMemberResponse>("hivesync.v1.TeamService/RemoveMember", remove);
    let counterpart = async {
        hold.has_stopped(1).await;
        hold.lock("SELECT 1 FROM members FOR UPDATE").await;
        hold.release().await;
    };
    let (removed, ()) = futures::join!(remove, counterpart);
    assert_eq!(removed.unwrap_err().code(), tonic::Code::Aborted);
}

/// The revocation has the device and comes for its session, which the refresh has.
async fn a_device_is_revoked_while_it_goes_on(world: World) {
    let ada = world.caller("ada").await;
    let phone = Caller::sign_in(world.wire().await, &ada.email, Device::new()).await;
    let device_id = phone.tokens.device_id.clone();
    let hold =
        Hold::take(&world, &format!("SELECT 1 FROM devices WHERE id = '{device_id}' FOR UPDATE")).await;
    let request = pb::RevokeDeviceRequest { device_id };
    let revoke = ada.call::<_, pb::RevokeDeviceResponse>("hivesync.v1.AuthService/RevokeDevice", request);
    let refresh = async {
        hold.has_stopped(1).await;
        let refresh = Box::pin(refresh(&phone, &phone.tokens.refresh_token, Uuid::new_v4()));
        let stops = Box::pin(hold.has_stopped(2));
        let begun = match future::select(refresh, stops).await {
            Either::Left((refreshed, _)) => Either::Left(refreshed),
            Either::Right(((), refresh)) => Either::Right(refresh),
        };
        hold.release().await;
        match begun {
            Either::Left(refreshed) => refreshed,
            Either::Right(refresh) => refresh.await,
        }
    };
    let (revoked, refreshed) = futures::join!(revoke, refresh);
    revoked.unwrap();
    let successor = refreshed.unwrap().refresh_token;
    let refusal = refused(crate::auth::refresh(&phone, &successor, Uuid::new_v4()).await);
    assert_eq!(refusal.reason, ErrorReason::SessionEnded);
}
