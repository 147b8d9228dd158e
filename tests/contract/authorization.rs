//! Who may do what: every call that concerns a team, by every role in it, as a reviewed file.

use std::fmt::Write as _;

use bytes::Bytes;
use hivesync_proto::v1::{self as pb, TeamRole};
use hivesync_server::{base::status, edge::policy::TABLE};
use hivesync_tests::{
    backend::Backend,
    caller::{Caller, address_of},
    device::Device,
    manifest::{file, manifest, sha256},
    repository::Repository,
    wire::Refusal,
    world::World,
};
use prost::Message as _;
use uuid::Uuid;

use crate::golden;

/// What the calls are about. Made anew for each call, by the team's owner, so that none changes what the next finds.
struct Scene {
    team: String,
    project: String,
    preview: String,
    job: String,
    member: String,
    newcomer: String,
}

const CONTENT: &[u8] = b"the content of a bundle";

fn key() -> String {
    Uuid::new_v4().to_string()
}

impl Scene {
    async fn make(world: &World, owner: &Caller, team: &str) -> Self {
        let repository = Repository::sample();
        let project = pb::CreateProjectRequest {
            team_id: team.to_owned(),
            name: key(),
            repository_url: repository.url(),
            idempotency_key: key(),
        };
        let project: pb::Project = owner.get("hivesync.v1.ProjectService/CreateProject", project).await;
        let preview: pb::CreatePreviewResponse =
            owner.get("hivesync.v1.PreviewService/CreatePreview", create_preview(&project.id)).await;
        let sync = pb::SyncRepositoryRequest { project_id: project.id.clone(), idempotency_key: key() };
        let job: pb::Job = owner.get("hivesync.v1.ProjectService/SyncRepository", sync).await;
        let newcomer = key();
        let member = world.caller(&format!("m-{newcomer}")).await;
        enlist(owner, team, &member, TeamRole::Member).await;
        Self {
            team: team.to_owned(),
            project: project.id,
            preview: preview.preview.expect("a preview").id,
            job: job.id,
            member: member.tokens.user_id,
            newcomer: address_of(&newcomer),
        }
    }

    /// The message of an honest call of `route`; none if the route does not concern a team.
    fn message(&self, route: &str) -> Option<Bytes> {
        let (team_id, project_id) = (self.team.clone(), self.project.clone());
        let (preview_id, job_id) = (self.preview.clone(), self.job.clone());
        let user_id = self.member.clone();
        let digests = vec![sha256(CONTENT)];
        let bytes = match route.strip_prefix("hivesync.v1.")? {
            "TeamService/GetTeam" => pb::GetTeamRequest { team_id }.encode_to_vec(),
            "TeamService/ListMembers" => {
                pb::ListMembersRequest { team_id, ..Default::default() }.encode_to_vec()
            }
            "TeamService/InviteMember" => pb::InviteMemberRequest {
                team_id,
                email: self.newcomer.clone(),
                role: TeamRole::Guest.into(),
                idempotency_key: key(),
            }
            .encode_to_vec(),
            "TeamService/SetMemberRole" => {
                pb::SetMemberRoleRequest { team_id, user_id, role: TeamRole::Guest.into() }.encode_to_vec()
            }
            "TeamService/RemoveMember" => pb::RemoveMemberRequest { team_id, user_id }.encode_to_vec(),
            "ProjectService/CreateProject" => pb::CreateProjectRequest {
                team_id,
                name: key(),
                repository_url: String::new(),
                idempotency_key: key(),
            }
            .encode_to_vec(),
            "ProjectService/GetProject" => pb::GetProjectRequest { project_id }.encode_to_vec(),
            "ProjectService/ListProjects" => {
                pb::ListProjectsRequest { team_id, ..Default::default() }.encode_to_vec()
            }
            "ProjectService/LinkRepository" => {
                let repository_url = "https://git.example.com/site".to_owned();
                pb::LinkRepositoryRequest { project_id, repository_url }.encode_to_vec()
            }
            "ProjectService/DeleteProject" => pb::DeleteProjectRequest { project_id }.encode_to_vec(),
            "ProjectService/SyncRepository" => {
                pb::SyncRepositoryRequest { project_id, idempotency_key: key() }.encode_to_vec()
            }
            "ProjectService/ListTree" => {
                pb::ListTreeRequest { project_id, ..Default::default() }.encode_to_vec()
            }
            "ProjectService/ReadFile" => {
                pb::ReadFileRequest { project_id, path: "index.html".to_owned(), ..Default::default() }
                    .encode_to_vec()
            }
            "ProjectService/ListCommits" => {
                pb::ListCommitsRequest { project_id, ..Default::default() }.encode_to_vec()
            }
            "PreviewService/CreatePreview" => create_preview(&project_id).encode_to_vec(),
            "PreviewService/FindMissing" => pb::FindMissingRequest { preview_id }.encode_to_vec(),
            "PreviewService/RequestUploads" => {
                pb::RequestUploadsRequest { preview_id, sha256: digests }.encode_to_vec()
            }
            "PreviewService/FinalizePreview" => pb::FinalizePreviewRequest { preview_id }.encode_to_vec(),
            "PreviewService/IssuePreviewToken" => pb::IssuePreviewTokenRequest { preview_id }.encode_to_vec(),
            "PreviewService/GetPreview" => pb::GetPreviewRequest { preview_id }.encode_to_vec(),
            "PreviewService/ListPreviews" => {
                pb::ListPreviewsRequest { project_id, ..Default::default() }.encode_to_vec()
            }
            "PreviewService/RevokePreview" => pb::RevokePreviewRequest { preview_id }.encode_to_vec(),
            "JobService/GetJob" => pb::GetJobRequest { job_id }.encode_to_vec(),
            "JobService/ListJobs" => pb::ListJobsRequest { team_id, ..Default::default() }.encode_to_vec(),
            "JobService/CancelJob" => pb::CancelJobRequest { job_id }.encode_to_vec(),
            _ => return None,
        };
        Some(bytes.into())
    }
}

fn create_preview(project: &str) -> pb::CreatePreviewRequest {
    pb::CreatePreviewRequest {
        project_id: project.to_owned(),
        manifest: Some(manifest(vec![file("index.html", CONTENT)])),
        device_id: String::new(),
        lifetime_secs: 0,
        idempotency_key: key(),
    }
}

async fn enlist(owner: &Caller, team: &str, newcomer: &Caller, role: TeamRole) {
    let invite = pb::InviteMemberRequest {
        team_id: team.to_owned(),
        email: newcomer.email.clone(),
        role: role.into(),
        idempotency_key: key(),
    };
    let invitation: pb::Invitation = owner.get("hivesync.v1.TeamService/InviteMember", invite).await;
    let accept = pb::AcceptInvitationRequest { invitation_id: invitation.id };
    let _: pb::Member = newcomer.get("hivesync.v1.TeamService/AcceptInvitation", accept).await;
}

/// The matrix: a refusal for its role is `PERMISSION_DENIED` to members and `NOT_FOUND` to strangers; any other reason
/// means that the call was let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_matrix_is_the_reviewed_one() {
    let world = World::without_worker(Backend::Embedded, &[]).await;
    let owner = world.caller("owner").await;
    let create = pb::CreateTeamRequest { name: "Engines".to_owned(), idempotency_key: key() };
    let team = owner.get::<_, pb::Team>("hivesync.v1.TeamService/CreateTeam", create).await.id;
    let mut roles = vec![("owner", Caller::sign_in(owner.wire.clone(), &owner.email, Device::new()).await)];
    for (name, role) in [("admin", TeamRole::Admin), ("member", TeamRole::Member), ("guest", TeamRole::Guest)]
    {
        let caller = world.caller(name).await;
        enlist(&owner, &team, &caller, role).await;
        roles.push((name, caller));
    }
    roles.push(("stranger", world.caller("stranger").await));

    let mut matrix = String::from("# route | owner | admin | member | guest | stranger\n");
    for row in TABLE.iter().filter(|row| row.permission.is_some()) {
        let mut line = row.route.to_owned();
        for (_, caller) in &roles {
            let scene = Scene::make(&world, &owner, &team).await;
            let Some(message) = scene.message(row.route) else { break };
            let outcome = match caller.call_bytes(row.route, message).await {
                Ok(_) => "ok",
                Err(status) => status::name(Refusal::of(&status).reason),
            };
            write!(line, " | {outcome}").expect("memory");
        }
        writeln!(matrix, "{line}").expect("memory");
    }
    for line in matrix.lines().skip(1) {
        assert!(
            line.ends_with(" | NOT_FOUND") || line.contains("WatchJob"),
            "a stranger learns something: {line}"
        );
    }
    golden::assert_same("authorization.golden", &matrix);
}
