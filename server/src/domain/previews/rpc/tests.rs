//! The way of a preview, with real accounts and devices, and with the test in the worker's and the client's
//! place.

use pb::{
    auth_service_server::AuthService as _, preview_service_server::PreviewService as _,
    project_service_server::ProjectService as _, user_service_server::UserService as _,
};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use super::{
    super::{model::DOOM_DELAY, sweep},
    *,
};
use crate::{
    base::{
        actor::{Actor, PlatformRole, User},
        blob::ObjectKey,
        crypto::sha256,
        entropy::Entropy,
        ids::{JobId, SessionId, UserId},
    },
    domain::{
        auth, fixture,
        jobs::{self, JobHandler as _, LeasedWork, Outcome, VerifyOutcome},
        previews::PreviewVerifyJob,
        projects, users,
    },
};

const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A server, as far as previews need it.
struct World {
    fixture: fixture::World,
}

/// A signed-in client.
struct Client {
    ctx: Ctx,
    device: String,
}

impl Client {
    fn call<M>(&self, message: M) -> Request<M> {
        request(&self.ctx, message)
    }
}

fn request<M>(ctx: &Ctx, message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(ctx.clone());
    request
}

fn reason<T>(outcome: Result<T, Status>) -> String {
    let status = outcome.err().expect("it is refused");
    status.get_details_error_info().expect("it has a reason").reason
}

fn key() -> String {
    let entropy = Entropy::default();
    entropy.uuid(Timestamp::from_secs(1)).unwrap().to_string()
}

impl World {
    /// One for each store that the tests have.
    async fn each() -> Vec<Self> {
        fixture::World::all().await.into_iter().map(|fixture| Self { fixture }).collect()
    }

    fn system(&self) -> Ctx {
        self.fixture.call(Actor::System)
    }

    async fn register(&self, email: &str) {
        let ctx = self.fixture.call(Actor::Anonymous);
        let message = pb::RegisterRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            display_name: "Somebody".to_owned(),
        };
        auth::Rpc.register(request(&ctx, message)).await.unwrap();
    }

    async fn login(&self, email: &str, device_key: &str) -> Client {
        let mut ctx = self.fixture.call_from(device_key);
        let message = pb::LoginRequest {
            email: email.to_owned(),
            password: PASSWORD.to_owned(),
            device_name: device_key.to_owned(),
            platform: pb::Platform::Ios.into(),
        };
        let session = auth::Rpc.login(request(&ctx, message)).await.unwrap().into_inner();
        ctx.actor = Actor::User(User {
            id: UserId(session.user_id.parse().unwrap()),
            session: SessionId(session.session_id.parse().unwrap()),
            device: DeviceId(session.device_id.parse().unwrap()),
            role: PlatformRole::User,
        });
        Client { ctx, device: session.device_id }
    }

    /// A publisher with a project.
    async fn publisher(&self) -> (Client, String) {
        self.register("ada@example.com").await;
        let desktop = self.login("ada@example.com", "desktop").await;
        let me = users::Rpc.get_me(desktop.call(pb::GetMeRequest {})).await.unwrap().into_inner();
        let message = pb::CreateProjectRequest {
            team_id: me.personal_team_id,
            name: "Website".to_owned(),
            repository_url: String::new(),
            idempotency_key: key(),
        };
        let base = &self.fixture.base;
        let projects =
            projects::Rpc::new(projects::Mirrors::new(base.config.repos_dir(), base.tasks.clone()));
        let project = projects.create_project(desktop.call(message)).await.unwrap().into_inner();
        (desktop, project.id)
    }

    /// Uploads contents as a client does, but without HTTP.
    async fn upload(&self, client: &Client, preview: &str, contents: &[&str]) -> usize {
        let sha256 = contents.iter().map(|content| sha256(content.as_bytes()).to_vec()).collect();
        let message = pb::RequestUploadsRequest { preview_id: preview.to_owned(), sha256 };
        let uploads = Rpc.request_uploads(client.call(message)).await.unwrap().into_inner().uploads;
        for upload in &uploads {
            let content = contents.iter().find(|content| sha256_of(content) == upload.sha256).unwrap();
            let object = object_of(&upload.url);
            self.fixture.base.blobs.put(&object, content.as_bytes()).await;
        }
        uploads.len()
    }

    /// Ends the job that verifies a preview as a worker does that finds `rejected` wrong.
    async fn verify(&self, preview: &pb::Preview, rejected: &[&str]) {
        let ctx = self.system();
        let tx = ctx.begin().await.unwrap();
        let id = JobId(preview.verify_job_id.parse().unwrap());
        let mut job = jobs::find(&tx, id).await.unwrap().unwrap();
        job.started_at = Some(ctx.clock.now());
        let LeasedWork::PreviewVerify { files } = PreviewVerifyJob.prepare(&ctx, &job).await.unwrap() else {
            panic!("the work of another kind");
        };
        let rejected: Vec<[u8; 32]> = rejected.iter().map(|content| sha256(content.as_bytes())).collect();
        let verified =
            files.into_iter().map(|file| file.sha256).filter(|digest| !rejected.contains(digest)).collect();
        let outcome = Outcome::PreviewVerify(VerifyOutcome { verified, rejected });
        PreviewVerifyJob.committed(&ctx, &tx, &job, outcome).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// Publishes a bundle of these contents for a device, up to its token.
    async fn publish(
        &self,
        client: &Client,
        project: &str,
        device: &str,
        contents: &[&str],
    ) -> (String, String) {
        let created = create(client, project, device, contents).await.unwrap();
        let preview = created.preview.unwrap();
        if preview.state() == pb::PreviewState::Ready {
            return (preview.id, created.token);
        }
        self.upload(client, &preview.id, contents).await;
        let preview = finalize(client, &preview.id).await.unwrap();
        self.verify(&preview, &[]).await;
        let message = pb::IssuePreviewTokenRequest { preview_id: preview.id.clone() };
        let issued = Rpc.issue_preview_token(client.call(message)).await.unwrap().into_inner();
        (preview.id, issued.token)
    }

    async fn sweep_after(&self, pause: Duration) {
        self.fixture.base.clock.advance(pause);
        sweep(&self.system()).await.unwrap();
    }

    async fn object_count(&self) -> usize {
        self.fixture.base.blobs.count().await
    }
}

fn sha256_of(content: &str) -> Vec<u8> {
    sha256(content.as_bytes()).to_vec()
}

fn object_of(url: &str) -> ObjectKey {
    let (_, rest) = url.split_once("/blobs/").unwrap();
    ObjectKey::parse(&rest[..32]).unwrap()
}

fn manifest(contents: &[&str]) -> pb::Manifest {
    let file = |(index, content): (usize, &&str)| pb::ManifestFile {
        path: format!("file-{index:03}"),
        size: content.len() as u64,
        sha256: sha256_of(content),
    };
    pb::Manifest {
        files: contents.iter().enumerate().map(file).collect(),
        entry_point: "file-000".to_owned(),
        platform: pb::Platform::Ios.into(),
        runtime_version: "1".to_owned(),
    }
}

async fn create(
    client: &Client,
    project: &str,
    device: &str,
    contents: &[&str],
) -> Result<pb::CreatePreviewResponse, Status> {
    let message = pb::CreatePreviewRequest {
        project_id: project.to_owned(),
        manifest: Some(manifest(contents)),
        device_id: device.to_owned(),
        lifetime_secs: 0,
        idempotency_key: key(),
    };
    Ok(Rpc.create_preview(client.call(message)).await?.into_inner())
}

async fn finalize(client: &Client, preview: &str) -> Result<pb::Preview, Status> {
    let message = pb::FinalizePreviewRequest { preview_id: preview.to_owned() };
    Ok(Rpc.finalize_preview(client.call(message)).await?.into_inner())
}

async fn resolve(client: &Client, token: &str) -> Result<pb::Manifest, Status> {
    let message = pb::ResolvePreviewRequest { token: token.to_owned() };
    Ok(Rpc.resolve_preview(client.call(message)).await?.into_inner().manifest.unwrap())
}

#[tokio::test]
async fn a_bundle_is_sent_checked_and_opened() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let phone = world.login("ada@example.com", "phone").await;
        let contents = ["one", "two", "one"];

        let created = create(&desktop, &project, &phone.device, &contents).await.unwrap();
        assert_eq!((created.missing, created.token.as_str()), (vec![0, 1], ""));
        let id = created.preview.unwrap().id;
        assert_eq!(reason(finalize(&desktop, &id).await), "BUNDLE_INCOMPLETE");

        // An upload that is interrupted goes on with what is missing.
        assert_eq!(world.upload(&desktop, &id, &["one"]).await, 1);
        let message = pb::FindMissingRequest { preview_id: id.clone() };
        let missing = Rpc.find_missing(desktop.call(message)).await.unwrap().into_inner().sha256;
        assert_eq!(missing, [sha256_of("two")]);
        assert_eq!(world.upload(&desktop, &id, &["one", "two"]).await, 1);

        let preview = finalize(&desktop, &id).await.unwrap();
        assert_eq!(preview.state(), pb::PreviewState::Verifying);
        assert_eq!(finalize(&desktop, &id).await.unwrap(), preview, "a repeat changes nothing");
        let issue = pb::IssuePreviewTokenRequest { preview_id: id.clone() };
        assert_eq!(
            reason(Rpc.issue_preview_token(desktop.call(issue.clone())).await),
            "CONFLICT",
            "nothing opens before it is checked"
        );
        world.verify(&preview, &[]).await;
        let token = Rpc.issue_preview_token(desktop.call(issue)).await.unwrap().into_inner().token;

        assert_eq!(resolve(&phone, &token).await.unwrap(), manifest(&contents));
        let message = pb::RequestDownloadsRequest { token, sha256: vec![sha256_of("two"), sha256_of("one")] };
        let downloads = Rpc.request_downloads(phone.call(message)).await.unwrap().into_inner().downloads;
        assert_eq!(downloads.len(), 2);
        let object = world.fixture.base.blobs.get(&object_of(&downloads[0].url)).await.unwrap();
        assert_eq!(object.size, 3);
    }
}

#[tokio::test]
async fn publishing_again_is_one_call() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        world.publish(&desktop, &project, "", &["one", "two"]).await;

        let again = create(&desktop, &project, "", &["one", "two"]).await.unwrap();
        assert_eq!(again.preview.unwrap().state(), pb::PreviewState::Ready);
        assert!(again.missing.is_empty());
        assert!(resolve(&desktop, &again.token).await.is_ok());
        let changed = create(&desktop, &project, "", &["one", "two", "three"]).await.unwrap();
        assert_eq!(changed.missing, [2], "only what is new");
    }
}

#[tokio::test]
async fn a_token_opens_on_its_device_only() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let phone = world.login("ada@example.com", "phone").await;
        let tablet = world.login("ada@example.com", "tablet").await;
        world.register("eve@example.com").await;
        let stranger = world.login("eve@example.com", "phone-of-eve").await;

        let (id, for_phone) = world.publish(&desktop, &project, &phone.device, &["one"]).await;
        let (_, for_all) = world.publish(&desktop, &project, "", &["one"]).await;
        assert!(resolve(&phone, &for_phone).await.is_ok());
        for client in [&phone, &tablet, &desktop] {
            assert!(resolve(client, &for_all).await.is_ok(), "every device of the publisher");
        }
        let refused = "INVALID_PREVIEW_TOKEN";
        for client in [&tablet, &desktop, &stranger] {
            assert_eq!(reason(resolve(client, &for_phone).await), refused);
        }
        assert_eq!(reason(resolve(&stranger, &for_all).await), refused);
        let mut thief = Client { ctx: tablet.ctx.clone(), device: tablet.device.clone() };
        thief.ctx.call.proven_key = stranger.ctx.call.proven_key.clone();
        assert_eq!(reason(resolve(&thief, &for_all).await), refused, "an access token with another key");
        assert_eq!(reason(resolve(&phone, "v4.local.AAAA").await), refused);
        let elsewhere = create(&desktop, &project, &stranger.device, &["one"]).await;
        assert_eq!(reason(elsewhere), "NOT_FOUND", "a device outside of the team");

        let revoke = pb::RevokePreviewRequest { preview_id: id };
        assert_eq!(reason(Rpc.revoke_preview(stranger.call(revoke.clone())).await), "NOT_FOUND");
        Rpc.revoke_preview(desktop.call(revoke)).await.unwrap();
        assert_eq!(reason(resolve(&phone, &for_phone).await), refused, "revoked");
        world.fixture.base.clock.advance(LIFETIME_DEFAULT);
        assert_eq!(reason(resolve(&phone, &for_all).await), refused, "expired");
    }
}

#[tokio::test]
async fn wrong_content_is_named_and_removed() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let created = create(&desktop, &project, "", &["one", "two"]).await.unwrap();
        let id = created.preview.unwrap().id;
        world.upload(&desktop, &id, &["one", "two"]).await;
        let preview = finalize(&desktop, &id).await.unwrap();
        world.verify(&preview, &["two"]).await;

        let message = pb::GetPreviewRequest { preview_id: id };
        let preview = Rpc.get_preview(desktop.call(message)).await.unwrap().into_inner();
        assert_eq!(
            (preview.state(), preview.rejected_paths),
            (pb::PreviewState::Failed, vec!["file-001".to_owned()])
        );
        let again = create(&desktop, &project, "", &["one", "two"]).await.unwrap();
        assert_eq!(again.missing, [1], "what was right is kept");
        world.sweep_after(Duration::ZERO).await;
        assert_eq!(world.object_count().await, 2, "an address could still write it anew");
        world.sweep_after(DOOM_DELAY + Duration::from_secs(1)).await;
        assert_eq!(world.object_count().await, 1);
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_nobody_uses() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let (id, _) = world.publish(&desktop, &project, "", &["one", "two"]).await;
        let unfinished = create(&desktop, &project, "", &["three"]).await.unwrap().preview.unwrap().id;
        world.upload(&desktop, &unfinished, &["three"]).await;
        assert_eq!(world.object_count().await, 3);

        world.sweep_after(Duration::from_secs(61 * 60)).await;
        world.sweep_after(DOOM_DELAY + Duration::from_secs(1)).await;
        assert_eq!(world.object_count().await, 2, "an upload that was not finished");
        let message = pb::GetPreviewRequest { preview_id: id };
        let preview = Rpc.get_preview(desktop.call(message)).await.unwrap().into_inner();
        assert_eq!(preview.state(), pb::PreviewState::Expired);
        world.sweep_after(Duration::from_secs(24 * 60 * 60)).await;
        world.sweep_after(DOOM_DELAY + Duration::from_secs(1)).await;
        assert_eq!(world.object_count().await, 0, "what nobody has published for a day");
    }
}

#[tokio::test]
async fn a_lie_stays_its_tellers_own() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let mut lie = manifest(&["one"]);
        lie.files[0].size = 5;
        let message = pb::CreatePreviewRequest {
            project_id: project.clone(),
            manifest: Some(lie),
            device_id: String::new(),
            lifetime_secs: 0,
            idempotency_key: key(),
        };
        Rpc.create_preview(desktop.call(message)).await.unwrap();
        let (_, token) = world.publish(&desktop, &project, "", &["one"]).await;
        assert_eq!(resolve(&desktop, &token).await.unwrap(), manifest(&["one"]));
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    for world in World::each().await {
        let (desktop, project) = world.publisher().await;
        let message = pb::CreatePreviewRequest {
            project_id: project.clone(),
            manifest: Some(pb::Manifest { entry_point: "elsewhere".to_owned(), ..manifest(&["one"]) }),
            device_id: String::new(),
            lifetime_secs: 0,
            idempotency_key: key(),
        };
        assert_eq!(reason(Rpc.create_preview(desktop.call(message.clone())).await), "INVALID_MANIFEST");
        let message = pb::CreatePreviewRequest { manifest: Some(manifest(&["one"])), ..message };
        let first = Rpc.create_preview(desktop.call(message.clone())).await.unwrap().into_inner();
        let repeat = Rpc.create_preview(desktop.call(message.clone())).await.unwrap().into_inner();
        assert_eq!(repeat, first);
        let other = pb::CreatePreviewRequest { lifetime_secs: 600, ..message };
        assert_eq!(reason(Rpc.create_preview(desktop.call(other)).await), "IDEMPOTENCY_KEY_REUSED");
        let id = first.preview.unwrap().id;
        let message = pb::RequestUploadsRequest { preview_id: id, sha256: vec![sha256_of("not in it")] };
        assert_eq!(reason(Rpc.request_uploads(desktop.call(message)).await), "INVALID_REQUEST");
        let nowhere = create(&desktop, &Uuid::nil().to_string(), "", &["one"]).await;
        assert_eq!(reason(nowhere), "NOT_FOUND");

        let message =
            pb::ListPreviewsRequest { project_id: project, page_size: 1, page_token: String::new() };
        let page = Rpc.list_previews(desktop.call(message)).await.unwrap().into_inner();
        assert_eq!((page.previews.len(), page.next_page_token.as_str()), (1, ""));
    }
}
