//! What the calls are about: a team with a project that is synced, and beside it things that only one call uses up,
//! each of which may be used up more than once.

use std::collections::BTreeMap;

use bytes::Bytes;
use hivesync_proto::v1::{self as pb, TeamRole};
use hivesync_tests::{
    caller::{Caller, PASSWORD, address_of},
    device::Device,
    manifest::{file, manifest, sha256},
    raw_worker::RawWorker,
    repository::Repository,
    wire::Wire,
    world::{WORKER_SECRET, World},
};
use prost::Message as _;
use tonic_health::pb::HealthCheckRequest;
use tonic_reflection::pb::v1::{ServerReflectionRequest, server_reflection_request::MessageRequest};
use uuid::Uuid;

use crate::cast::Part;

/// The content that the project has sent and had verified.
const KNOWN: &[u8] = b"the content of a bundle";
/// A content that was announced and never sent.
const ANNOUNCED: &[u8] = b"a content that is still to come";
/// A content that was sent and not verified.
const SENT: &[u8] = b"a content that has arrived";

fn key() -> String {
    Uuid::new_v4().to_string()
}

/// What the calls are about.
pub(crate) struct Scene {
    owner: Caller,
    team: String,
    /// Synced; the previews are of it.
    project: String,
    linked_project: String,
    doomed_project: String,
    job: String,
    doomed_job: String,
    uploading: String,
    uploaded: String,
    ready: String,
    doomed_preview: String,
    /// A member whom nobody plays.
    extra: Caller,
    /// For the owner, from another team.
    invitation: String,
    /// Another sign-in of the owner.
    other: Caller,
    /// Opens a preview, by who holds it.
    tokens: BTreeMap<&'static str, String>,
    workers_door: Wire,
    /// What a worker holds, by the call that gives it up. It comes when it is needed: it does not beat, and would soon
    /// be taken for lost.
    leases: BTreeMap<&'static str, (RawWorker, pb::Lease)>,
    _repository: Repository,
}

impl Scene {
    /// Sets the scene. From then on nobody takes the jobs but a worker that does what it is told.
    pub(crate) async fn set(world: &mut World) -> Self {
        let owner = world.caller("owner").await;
        let team = team(&owner).await;
        let repository = Repository::sample();
        let project = linked_project(&owner, &team, &repository).await;
        sync_to_the_end(&owner, &project).await;
        publish_to_the_end(&owner, &project).await;
        world.stop_worker().await;

        let extra = world.caller("extra").await;
        owner.enlist(&team, &extra, TeamRole::Member).await;
        let host = world.caller("host").await;
        Self {
            linked_project: linked_project(&owner, &team, &repository).await,
            doomed_project: linked_project(&owner, &team, &repository).await,
            job: queued(&owner, &team, &repository).await,
            doomed_job: queued(&owner, &team, &repository).await,
            uploading: create_preview(&owner, &project, ANNOUNCED, "").await.0,
            uploaded: uploaded(&owner, &project).await,
            ready: create_preview(&owner, &project, KNOWN, "").await.0,
            doomed_preview: create_preview(&owner, &project, KNOWN, "").await.0,
            extra,
            invitation: invitation(&host, &owner).await,
            other: Caller::sign_in(owner.wire.clone(), &owner.email, Device::new()).await,
            tokens: BTreeMap::new(),
            workers_door: world.wire_to(world.app().addresses.worker).await,
            leases: BTreeMap::new(),
            _repository: repository,
            owner,
            team,
            project,
        }
    }

    /// The owner once more, for a call that ends the session.
    pub(crate) async fn second_sign_in_of_owner(&self) -> Caller {
        Caller::sign_in(self.owner.wire.clone(), &self.owner.email, Device::new()).await
    }

    /// Another project than the one that most calls are about; it has a repository and no job.
    pub(crate) fn linked_project(&self) -> &str {
        &self.linked_project
    }

    pub(crate) async fn enlist(&self, newcomer: &Caller, role: TeamRole) {
        self.owner.enlist(&self.team, newcomer, role).await;
    }

    /// Publishes a preview for the device of everybody in the team. Whoever is not in it has found the owner's token.
    pub(crate) async fn issue_tokens(&mut self, parts: &[Part]) {
        let (_, found) = create_preview(&self.owner, &self.project, KNOWN, "").await;
        for part in parts {
            let is_outside = matches!(part.name, "anonymous" | "stranger" | "worker" | "operator");
            let token = match &part.caller {
                Some(caller) if !is_outside => {
                    create_preview(&self.owner, &self.project, KNOWN, &caller.tokens.device_id).await.1
                }
                _ => found.clone(),
            };
            self.tokens.insert(part.name, token);
        }
    }

    /// The message of an honest call of `route` by `part`.
    pub(crate) async fn message(&mut self, route: &str, part: &Part) -> Bytes {
        if let Some(route) = route.strip_prefix("hivesync.v1.WorkerService/") {
            return self.worker_message(route).await;
        }
        let found = self
            .account_message(route, part)
            .or_else(|| self.team_message(route))
            .or_else(|| self.project_message(route))
            .or_else(|| self.preview_message(route, part))
            .or_else(|| other_message(route));
        let found = found.unwrap_or_else(|| panic!("say here what an honest call of {route} is about"));
        found.into()
    }

    fn account_message(&self, route: &str, part: &Part) -> Option<Vec<u8>> {
        let email = part.caller.as_ref().map_or_else(|| address_of(&key()), |caller| caller.email.clone());
        Some(match route.strip_prefix("hivesync.v1.")? {
            "AuthService/Register" => pb::RegisterRequest {
                email: address_of(&key()),
                password: PASSWORD.to_owned(),
                display_name: "a newcomer".to_owned(),
            }
            .encode_to_vec(),
            "AuthService/Login" => pb::LoginRequest {
                email,
                password: PASSWORD.to_owned(),
                device_name: "a test".to_owned(),
                platform: pb::Platform::Desktop.into(),
            }
            .encode_to_vec(),
            "AuthService/Refresh" => {
                let token = part.caller.as_ref().map(|caller| caller.tokens.refresh_token.clone());
                let refresh_token = token.unwrap_or_else(|| "hsr_".to_owned());
                pb::RefreshRequest { refresh_token, attempt_id: key() }.encode_to_vec()
            }
            "AuthService/Logout" => pb::LogoutRequest { everywhere: false }.encode_to_vec(),
            "AuthService/ListSessions" => pb::ListSessionsRequest::default().encode_to_vec(),
            "AuthService/ListDevices" => pb::ListDevicesRequest::default().encode_to_vec(),
            "AuthService/RevokeSession" => {
                pb::RevokeSessionRequest { session_id: self.other.tokens.session_id.clone() }.encode_to_vec()
            }
            "AuthService/RevokeDevice" => {
                pb::RevokeDeviceRequest { device_id: self.other.tokens.device_id.clone() }.encode_to_vec()
            }
            "UserService/GetMe" => pb::GetMeRequest {}.encode_to_vec(),
            "UserService/UpdateMe" => {
                pb::UpdateMeRequest { display_name: "Renamed".to_owned() }.encode_to_vec()
            }
            "NotificationService/ListNotifications" => {
                pb::ListNotificationsRequest::default().encode_to_vec()
            }
            "NotificationService/MarkNotificationsRead" => {
                pb::MarkNotificationsReadRequest { up_to_sequence: 1 }.encode_to_vec()
            }
            "NotificationService/StreamNotifications" => {
                pb::StreamNotificationsRequest::default().encode_to_vec()
            }
            _ => return None,
        })
    }

    fn team_message(&self, route: &str) -> Option<Vec<u8>> {
        let (team_id, user_id) = (self.team.clone(), self.extra.tokens.user_id.clone());
        Some(match route.strip_prefix("hivesync.v1.TeamService/")? {
            "CreateTeam" => {
                pb::CreateTeamRequest { name: "Engines".to_owned(), idempotency_key: key() }.encode_to_vec()
            }
            "GetTeam" => pb::GetTeamRequest { team_id }.encode_to_vec(),
            "ListTeams" => pb::ListTeamsRequest::default().encode_to_vec(),
            "ListMembers" => pb::ListMembersRequest { team_id, ..Default::default() }.encode_to_vec(),
            "InviteMember" => pb::InviteMemberRequest {
                team_id,
                email: address_of(&key()),
                role: TeamRole::Guest.into(),
                idempotency_key: key(),
            }
            .encode_to_vec(),
            "ListMyInvitations" => pb::ListMyInvitationsRequest::default().encode_to_vec(),
            "AcceptInvitation" => {
                pb::AcceptInvitationRequest { invitation_id: self.invitation.clone() }.encode_to_vec()
            }
            "SetMemberRole" => {
                pb::SetMemberRoleRequest { team_id, user_id, role: TeamRole::Guest.into() }.encode_to_vec()
            }
            "RemoveMember" => pb::RemoveMemberRequest { team_id, user_id }.encode_to_vec(),
            _ => return None,
        })
    }

    fn project_message(&self, route: &str) -> Option<Vec<u8>> {
        let (team_id, project_id) = (self.team.clone(), self.project.clone());
        Some(match route.strip_prefix("hivesync.v1.")? {
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
            "ProjectService/LinkRepository" => pb::LinkRepositoryRequest {
                project_id: self.linked_project.clone(),
                repository_url: "https://git.example.com/site".to_owned(),
            }
            .encode_to_vec(),
            "ProjectService/DeleteProject" => {
                pb::DeleteProjectRequest { project_id: self.doomed_project.clone() }.encode_to_vec()
            }
            "ProjectService/SyncRepository" => {
                pb::SyncRepositoryRequest { project_id, idempotency_key: key() }.encode_to_vec()
            }
            "ProjectService/ListTree" => {
                pb::ListTreeRequest { project_id, ..Default::default() }.encode_to_vec()
            }
            "ProjectService/ReadFile" => {
                let path = "index.html".to_owned();
                pb::ReadFileRequest { project_id, path, ..Default::default() }.encode_to_vec()
            }
            "ProjectService/ListCommits" => {
                pb::ListCommitsRequest { project_id, ..Default::default() }.encode_to_vec()
            }
            "JobService/GetJob" => pb::GetJobRequest { job_id: self.job.clone() }.encode_to_vec(),
            "JobService/WatchJob" => pb::WatchJobRequest { job_id: self.job.clone() }.encode_to_vec(),
            "JobService/CancelJob" => {
                pb::CancelJobRequest { job_id: self.doomed_job.clone() }.encode_to_vec()
            }
            "JobService/ListJobs" => pb::ListJobsRequest { team_id, ..Default::default() }.encode_to_vec(),
            _ => return None,
        })
    }

    fn preview_message(&self, route: &str, part: &Part) -> Option<Vec<u8>> {
        let project_id = self.project.clone();
        let token = || self.tokens[part.name].clone();
        Some(match route.strip_prefix("hivesync.v1.PreviewService/")? {
            "CreatePreview" => preview_of(&project_id, KNOWN, "").encode_to_vec(),
            "FindMissing" => pb::FindMissingRequest { preview_id: self.uploading.clone() }.encode_to_vec(),
            "RequestUploads" => pb::RequestUploadsRequest {
                preview_id: self.uploading.clone(),
                sha256: vec![sha256(ANNOUNCED)],
            }
            .encode_to_vec(),
            "FinalizePreview" => {
                pb::FinalizePreviewRequest { preview_id: self.uploaded.clone() }.encode_to_vec()
            }
            "IssuePreviewToken" => {
                pb::IssuePreviewTokenRequest { preview_id: self.ready.clone() }.encode_to_vec()
            }
            "GetPreview" => pb::GetPreviewRequest { preview_id: self.ready.clone() }.encode_to_vec(),
            "ListPreviews" => pb::ListPreviewsRequest { project_id, ..Default::default() }.encode_to_vec(),
            "RevokePreview" => {
                pb::RevokePreviewRequest { preview_id: self.doomed_preview.clone() }.encode_to_vec()
            }
            "ResolvePreview" => pb::ResolvePreviewRequest { token: token() }.encode_to_vec(),
            "RequestDownloads" => {
                pb::RequestDownloadsRequest { token: token(), sha256: vec![sha256(KNOWN)] }.encode_to_vec()
            }
            _ => return None,
        })
    }

    async fn worker_message(&mut self, method: &str) -> Bytes {
        match method {
            "Commit" => {
                let lease = self.lease("Commit").await;
                let failure = pb::JobFailure {
                    class: pb::FailureClass::NonRetryable.into(),
                    reason: pb::ErrorReason::RepositoryUnreachable.into(),
                    ..Default::default()
                };
                pb::CommitRequest {
                    job_id: lease.job_id,
                    lease_token: lease.lease_token,
                    commit_id: key(),
                    outcome: Some(pb::commit_request::Outcome::Failure(failure)),
                }
                .encode_to_vec()
            }
            "Release" => {
                let lease = self.lease("Release").await;
                pb::ReleaseRequest { job_id: lease.job_id, lease_token: lease.lease_token }.encode_to_vec()
            }
            "GetServerInfo" => pb::GetServerInfoRequest {}.encode_to_vec(),
            // The server speaks first.
            "Session" => pb::SessionRequest::default().encode_to_vec(),
            _ => panic!("say here what an honest call of {method} is about"),
        }
        .into()
    }

    /// What the worker holds, for one call to give up.
    async fn lease(&mut self, method: &'static str) -> pb::Lease {
        if !self.leases.contains_key(method) {
            let name = method.to_lowercase();
            let worker = RawWorker::connect(self.workers_door.clone(), &name, WORKER_SECRET).await;
            let mut worker = worker.expect("it knows the secret");
            let lease = worker.take().await;
            self.leases.insert(method, (worker, lease));
        }
        self.leases[method].1.clone()
    }
}

/// What other people's services, which are served beside ours, are asked.
fn other_message(route: &str) -> Option<Vec<u8>> {
    Some(match route {
        "hivesync.v1.AuditService/ListAuditEntries" => pb::ListAuditEntriesRequest::default().encode_to_vec(),
        "hivesync.v1.AuditService/VerifyAuditLog" => pb::VerifyAuditLogRequest {}.encode_to_vec(),
        "hivesync.v1.AdminService/GetQueueDepth" => pb::GetQueueDepthRequest {}.encode_to_vec(),
        "hivesync.v1.AdminService/ListWorkers" => pb::ListWorkersRequest::default().encode_to_vec(),
        "grpc.health.v1.Health/Check" | "grpc.health.v1.Health/Watch" => {
            HealthCheckRequest::default().encode_to_vec()
        }
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo" => ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        }
        .encode_to_vec(),
        _ => return None,
    })
}

/// A team of `owner`, beside the personal one.
pub(crate) async fn team(owner: &Caller) -> String {
    let create = pb::CreateTeamRequest { name: "Engines".to_owned(), idempotency_key: key() };
    owner.get::<_, pb::Team>("hivesync.v1.TeamService/CreateTeam", create).await.id
}

/// Ends the session of `caller`.
pub(crate) async fn sign_out(caller: &Caller) {
    let logout = pb::LogoutRequest { everywhere: false };
    let _: pb::LogoutResponse = caller.get("hivesync.v1.AuthService/Logout", logout).await;
}

/// Has `member` publish a preview and revoke it.
pub(crate) async fn revoke_own_preview(member: &Caller, team: &str) {
    let create = pb::CreateProjectRequest {
        team_id: team.to_owned(),
        name: key(),
        repository_url: String::new(),
        idempotency_key: key(),
    };
    let project: pb::Project = member.get("hivesync.v1.ProjectService/CreateProject", create).await;
    let (preview_id, _) = create_preview(member, &project.id, ANNOUNCED, "").await;
    let revoke = pb::RevokePreviewRequest { preview_id };
    let revoked: pb::Preview = member.get("hivesync.v1.PreviewService/RevokePreview", revoke).await;
    assert_eq!(revoked.state(), pb::PreviewState::Revoked);
}

/// Has `member` leave the team.
pub(crate) async fn leave(member: &Caller, team: &str) {
    let leave = pb::RemoveMemberRequest { team_id: team.to_owned(), user_id: member.tokens.user_id.clone() };
    let _: pb::RemoveMemberResponse = member.get("hivesync.v1.TeamService/RemoveMember", leave).await;
}

async fn linked_project(owner: &Caller, team: &str, repository: &Repository) -> String {
    let create = pb::CreateProjectRequest {
        team_id: team.to_owned(),
        name: key(),
        repository_url: repository.url(),
        idempotency_key: key(),
    };
    owner.get::<_, pb::Project>("hivesync.v1.ProjectService/CreateProject", create).await.id
}

async fn sync(owner: &Caller, project: &str) -> String {
    let sync = pb::SyncRepositoryRequest { project_id: project.to_owned(), idempotency_key: key() };
    owner.get::<_, pb::Job>("hivesync.v1.ProjectService/SyncRepository", sync).await.id
}

/// The job of a new project that waits.
async fn queued(owner: &Caller, team: &str, repository: &Repository) -> String {
    sync(owner, &linked_project(owner, team, repository).await).await
}

async fn sync_to_the_end(owner: &Caller, project: &str) {
    let job = sync(owner, project).await;
    owner.await_job(&job).await;
}

fn preview_of(project: &str, content: &[u8], device: &str) -> pb::CreatePreviewRequest {
    pb::CreatePreviewRequest {
        project_id: project.to_owned(),
        manifest: Some(manifest(vec![file("index.html", content)])),
        device_id: device.to_owned(),
        lifetime_secs: 0,
        idempotency_key: key(),
    }
}

/// A preview, and its token if it can be opened.
async fn create_preview(owner: &Caller, project: &str, content: &[u8], device: &str) -> (String, String) {
    let created: pb::CreatePreviewResponse =
        owner.get("hivesync.v1.PreviewService/CreatePreview", preview_of(project, content, device)).await;
    (created.preview.expect("a preview").id, created.token)
}

/// A preview whose file has arrived.
async fn uploaded(owner: &Caller, project: &str) -> String {
    let (preview, _) = create_preview(owner, project, SENT, "").await;
    owner.upload(&preview, SENT).await;
    preview
}

async fn publish_to_the_end(owner: &Caller, project: &str) {
    let (preview_id, _) = create_preview(owner, project, KNOWN, "").await;
    owner.upload(&preview_id, KNOWN).await;
    let finalize = pb::FinalizePreviewRequest { preview_id };
    let preview: pb::Preview = owner.get("hivesync.v1.PreviewService/FinalizePreview", finalize).await;
    owner.await_job(&preview.verify_job_id).await;
}

/// What invites `guest` to another team.
async fn invitation(host: &Caller, guest: &Caller) -> String {
    let invite = pb::InviteMemberRequest {
        team_id: team(host).await,
        email: guest.email.clone(),
        role: TeamRole::Guest.into(),
        idempotency_key: key(),
    };
    host.get::<_, pb::Invitation>("hivesync.v1.TeamService/InviteMember", invite).await.id
}
