//! Things to list: a way to put one more into every list of the contract, and to take one out.

use std::collections::VecDeque;

use hivesync_proto::v1::{self as pb, TeamRole};
use hivesync_tests::{
    caller::Caller,
    device::Device,
    manifest::{file, manifest},
    raw_worker::RawWorker,
    repository::Repository,
    rows,
    world::{WORKER_SECRET, World},
};
use prost_reflect::{DynamicMessage, Value};
use uuid::Uuid;

use crate::descriptors;

/// People who join and leave.
const PEOPLE: usize = 9;

fn key() -> String {
    Uuid::new_v4().to_string()
}

/// What is listed.
pub(crate) struct Shelf {
    pub(crate) world: World,
    /// Whose lists they are.
    ada: Caller,
    /// Who may see the same.
    bob: Caller,
    /// Two operators, at their own listener.
    olga: Caller,
    otto: Caller,
    team: String,
    other_team: String,
    project: String,
    other_project: String,
    repository: Repository,
    /// The commit that is listed, and one before it.
    commits: [String; 2],
    /// Sessions and devices, oldest first.
    sign_ins: VecDeque<pb::SessionTokens>,
    /// Teams that ada is in or invited to, with the invitations, oldest first.
    teams: VecDeque<String>,
    invitations: VecDeque<String>,
    projects: VecDeque<String>,
    outside: VecDeque<Caller>,
    inside: VecDeque<Caller>,
    workers: VecDeque<RawWorker>,
}

impl Shelf {
    /// An empty shelf, but for a repository with some files and commits that is synced.
    pub(crate) async fn set_up(world: World) -> Self {
        let (ada, bob) = (world.caller("ada").await, world.caller("bob").await);
        let [olga, otto] = [operator(&world, "olga").await, operator(&world, "otto").await];
        let (team, other_team) = (team_of(&ada).await, team_of(&ada).await);
        ada.enlist(&team, &bob, TeamRole::Admin).await;
        ada.enlist(&other_team, &bob, TeamRole::Admin).await;
        let repository = Repository::sample();
        for number in 0..6 {
            repository.write(&format!("page-{number}.html"), b"a page");
            repository.commit("One more");
        }
        let commits = [repository.head(), repository.git(&["rev-parse", "HEAD~1"])];
        let project = project_in(&ada, &team, &repository.url()).await;
        sync(&ada, &project).await;
        let mut outside = VecDeque::new();
        for number in 0..PEOPLE {
            outside.push_back(world.caller(&format!("person-{number}")).await);
        }
        Self {
            other_project: project_in(&ada, &team, "").await,
            world,
            ada,
            bob,
            olga,
            otto,
            team,
            other_team,
            project,
            repository,
            commits,
            sign_ins: VecDeque::new(),
            teams: VecDeque::new(),
            invitations: VecDeque::new(),
            projects: VecDeque::new(),
            outside,
            inside: VecDeque::new(),
            workers: VecDeque::new(),
        }
    }

    /// Who lists, and who else may.
    pub(crate) fn readers(&self, route: &str) -> (&Caller, &Caller) {
        if route.contains("AuditService") || route.contains("AdminService") {
            (&self.olga, &self.otto)
        } else {
            (&self.ada, &self.bob)
        }
    }

    /// A request for the list.
    pub(crate) fn request(&self, route: &str) -> DynamicMessage {
        let input = descriptors::method(route).input();
        let mut request = DynamicMessage::new(input.clone());
        let has = |name: &str| input.get_field_by_name(name).is_some();
        if has("team_id") {
            request.set_field_by_name("team_id", Value::String(self.team.clone()));
        } else if has("project_id") && !has("event") {
            request.set_field_by_name("project_id", Value::String(self.project.clone()));
        }
        if has("event") {
            request.set_field_by_name("event", Value::String("teams.create".to_owned()));
        }
        if has("commit") {
            request.set_field_by_name("commit", Value::String(self.commits[0].clone()));
        }
        request
    }

    /// A request for another list by the same RPC, if it has more than one for a caller.
    pub(crate) fn other_request(&self, route: &str) -> Option<DynamicMessage> {
        let mut request = self.request(route);
        let (field, value) = match route.split_once('/')?.1 {
            "ListAuditEntries" => ("event", Value::String("auth.login".to_owned())),
            "ListCommits" | "ListTree" => ("commit", Value::String(self.commits[1].clone())),
            "ListJobs" => ("project_id", Value::String(self.project.clone())),
            "ListMembers" | "ListProjects" => ("team_id", Value::String(self.other_team.clone())),
            "ListNotifications" => ("unread_only", Value::Bool(true)),
            "ListPreviews" => ("project_id", Value::String(self.other_project.clone())),
            "ListDevices" | "ListMyInvitations" | "ListSessions" | "ListTeams" | "ListWorkers" => {
                return None;
            }
            _ => panic!("say here by what {route} can be asked for another list"),
        };
        request.set_field_by_name(field, value);
        Some(request)
    }

    /// Puts one more into the list.
    pub(crate) async fn add(&mut self, route: &str) {
        match route.split_once('/').expect("a route").1 {
            "ListSessions" | "ListDevices" => {
                let next = Caller::sign_in(self.ada.wire.clone(), &self.ada.email, Device::new()).await;
                self.sign_ins.push_back(next.tokens);
            }
            "ListTeams" => {
                let team = team_of(&self.bob).await;
                self.bob.enlist(&team, &self.ada, TeamRole::Guest).await;
                self.teams.push_back(team);
            }
            "ListMembers" => {
                // Whoever comes back is somebody new on the list, so everybody joins once.
                if let Some(person) = self.outside.pop_front() {
                    self.ada.enlist(&self.team, &person, TeamRole::Guest).await;
                    self.inside.push_back(person);
                }
            }
            "ListMyInvitations" | "ListNotifications" => {
                let invitation = invite(&self.bob, &self.ada.email).await;
                self.invitations.push_back(invitation);
                rows::settle(&self.world).await;
            }
            "ListProjects" => self.projects.push_back(project_in(&self.ada, &self.team, "").await),
            "ListTree" | "ListCommits" => {
                self.repository.write(&format!("{}.html", key()), b"a page");
                self.repository.commit("Another");
                sync(&self.ada, &self.project).await;
            }
            "ListPreviews" => publish(&self.ada, &self.project).await,
            "ListJobs" => {
                let project = project_in(&self.ada, &self.team, &self.repository.url()).await;
                let request = pb::SyncRepositoryRequest { project_id: project, idempotency_key: key() };
                let _: pb::Job = self.ada.get("hivesync.v1.ProjectService/SyncRepository", request).await;
            }
            "ListAuditEntries" => drop(team_of(&self.ada).await),
            "ListWorkers" => {
                let wire = self.world.wire_to(self.world.app().addresses.worker).await;
                let worker = RawWorker::connect(wire, &format!("w-{}", key()), WORKER_SECRET).await;
                self.workers.push_back(worker.expect("it knows the secret"));
            }
            _ => panic!("say here how {route} gets longer"),
        }
    }

    fn literal(&self, id: &str) -> String {
        rows::literal(&self.world, id.parse().expect("a UUID"))
    }

    /// Takes one of the list's oldest out, where the list can get shorter.
    pub(crate) async fn remove(&mut self, route: &str) {
        let ada = &self.ada;
        match route.split_once('/').expect("a route").1 {
            "ListSessions" => {
                let session_id = self.sign_ins.pop_front().expect("one was added").session_id;
                let request = pb::RevokeSessionRequest { session_id };
                let _: pb::RevokeSessionResponse =
                    ada.get("hivesync.v1.AuthService/RevokeSession", request).await;
            }
            "ListDevices" => {
                let device_id = self.sign_ins.pop_front().expect("one was added").device_id;
                let request = pb::RevokeDeviceRequest { device_id };
                let _: pb::RevokeDeviceResponse =
                    ada.get("hivesync.v1.AuthService/RevokeDevice", request).await;
            }
            "ListTeams" => {
                let team = self.teams.pop_front().expect("one was added");
                remove_member(ada, &team, &ada.tokens.user_id).await;
            }
            "ListMembers" => {
                let person = self.inside.pop_front().expect("one was added");
                remove_member(ada, &self.team, &person.tokens.user_id).await;
            }
            "ListMyInvitations" => {
                let invitation_id = self.invitations.pop_front().expect("one was added");
                let request = pb::AcceptInvitationRequest { invitation_id };
                let _: pb::Member = ada.get("hivesync.v1.TeamService/AcceptInvitation", request).await;
            }
            "ListProjects" => {
                let project_id = self.projects.pop_front().expect("one was added");
                let request = pb::DeleteProjectRequest { project_id };
                let _: pb::DeleteProjectResponse =
                    ada.get("hivesync.v1.ProjectService/DeleteProject", request).await;
            }
            "ListWorkers" => drop(self.workers.pop_front().expect("one was added")),
            // A sweep of the server takes these, when they are old.
            "ListPreviews" => {
                let of = format!("project_id = {}", self.literal(&self.project));
                let oldest = format!("SELECT min(created_at) FROM previews WHERE {of}");
                let sql = format!("DELETE FROM previews WHERE {of} AND created_at = ({oldest})");
                rows::change(&self.world, &sql).await;
            }
            "ListNotifications" => {
                let of = format!("user_id = {}", self.literal(&ada.tokens.user_id));
                let oldest = format!("SELECT min(sequence) FROM notifications WHERE {of}");
                let sql = format!("DELETE FROM notifications WHERE {of} AND sequence = ({oldest})");
                rows::change(&self.world, &sql).await;
            }
            // These only grow, or are of one commit.
            _ => {}
        }
    }
}

async fn operator(world: &World, name: &str) -> Caller {
    use hivesync_server::{app, base::actor::PlatformRole};
    let caller = world.caller(name).await;
    app::set_role(world.app().base().clone(), &caller.email, PlatformRole::Admin).await.expect("granted");
    let mut caller = Caller::sign_in(caller.wire, &caller.email, caller.device).await;
    caller.wire = world.wire_to(world.app().addresses.admin).await;
    caller
}

async fn team_of(owner: &Caller) -> String {
    let request = pb::CreateTeamRequest { name: "A team".to_owned(), idempotency_key: key() };
    owner.get::<_, pb::Team>("hivesync.v1.TeamService/CreateTeam", request).await.id
}

async fn project_in(owner: &Caller, team: &str, repository_url: &str) -> String {
    let request = pb::CreateProjectRequest {
        team_id: team.to_owned(),
        name: key(),
        repository_url: repository_url.to_owned(),
        idempotency_key: key(),
    };
    owner.get::<_, pb::Project>("hivesync.v1.ProjectService/CreateProject", request).await.id
}

async fn sync(owner: &Caller, project: &str) {
    let request = pb::SyncRepositoryRequest { project_id: project.to_owned(), idempotency_key: key() };
    let job: pb::Job = owner.get("hivesync.v1.ProjectService/SyncRepository", request).await;
    assert_eq!(owner.await_job(&job.id).await.state(), pb::JobState::Succeeded);
}

async fn invite(host: &Caller, email: &str) -> String {
    let request = pb::InviteMemberRequest {
        team_id: team_of(host).await,
        email: email.to_owned(),
        role: TeamRole::Guest.into(),
        idempotency_key: key(),
    };
    host.get::<_, pb::Invitation>("hivesync.v1.TeamService/InviteMember", request).await.id
}

async fn publish(owner: &Caller, project: &str) {
    let request = pb::CreatePreviewRequest {
        project_id: project.to_owned(),
        manifest: Some(manifest(vec![file("index.html", key().as_bytes())])),
        idempotency_key: key(),
        ..Default::default()
    };
    let _: pb::CreatePreviewResponse = owner.get("hivesync.v1.PreviewService/CreatePreview", request).await;
}

async fn remove_member(by: &Caller, team: &str, user: &str) {
    let request = pb::RemoveMemberRequest { team_id: team.to_owned(), user_id: user.to_owned() };
    let _: pb::RemoveMemberResponse = by.get("hivesync.v1.TeamService/RemoveMember", request).await;
}
