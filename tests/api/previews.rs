//! Previews: publishing, opening, and everything that must not be published or opened.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use hivesync::{
    ErrorReason,
    auth::Platform,
    previews::{MemorySource, PreviewState, PreviewToken, PublishOptions},
};
use hivesync_proto::v1::{self as pb, ErrorReason as Reason, ManifestFile};
use hivesync_server::app;
use hivesync_tests::{
    backend::{Backend, OBJECTS_DIR},
    caller::Caller,
    device::Device,
    manifest::{file, manifest, sha256},
    on_backend, on_each_backend,
    wire::{Refusal, refused},
    world::World,
};
use tokio::sync::oneshot;
use uuid::Uuid;

const CREATE: &str = "hivesync.v1.PreviewService/CreatePreview";
const UPLOADS: &str = "hivesync.v1.PreviewService/RequestUploads";
const FINALIZE: &str = "hivesync.v1.PreviewService/FinalizePreview";
const RESOLVE: &str = "hivesync.v1.PreviewService/ResolvePreview";
pub(super) const DOWNLOADS: &str = "hivesync.v1.PreviewService/RequestDownloads";
const GET: &str = "hivesync.v1.PreviewService/GetPreview";

on_each_backend!(
    a_preview_is_published_and_opened,
    publishing_again_uploads_nothing,
    a_preview_is_for_its_device,
    tokens_open_nothing_when_touched,
    a_preview_expires,
    a_revoked_preview_opens_nothing,
    manifests_that_break_a_rule_are_refused,
    an_upload_takes_only_its_bytes,
    an_upload_survives_a_server_that_comes_and_goes,
    an_upload_that_is_missing_fails_the_preview,
    uploads_are_for_files_of_the_manifest,
    downloads_are_for_files_of_the_preview,
    a_stranger_reaches_nothing,
    contents_of_other_projects_are_no_oracle,
);

// A real S3 server, unlike the one of the tests, forgets what it has refused.
on_backend!(
    gateway,
    Gateway;
    a_preview_is_published_and_opened,
    publishing_again_uploads_nothing,
    an_upload_takes_only_its_bytes,
    an_upload_that_is_missing_fails_the_preview,
    downloads_are_for_files_of_the_preview,
);

const FILES: [(&str, &[u8]); 3] =
    [("app/main.js", b"document.title = 'HiveSync';"), ("index.html", b"<!doctype html>"), ("zero", b"")];

async fn a_preview_is_published_and_opened(world: World) {
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let phone = world.device_of(&ada, "phone", Platform::Ios).await;
    let published = ada.publish(project.id, &FILES).await.unwrap();
    assert_eq!(published.preview.state, PreviewState::Ready);
    assert_eq!((published.stats.files, published.stats.new_files), (3, 3));

    let opened = phone.client.previews().open(&published.token).await.unwrap();
    let paths: Vec<String> = opened.files().into_iter().map(|file| file.path).collect();
    assert_eq!(paths, ["app/main.js", "index.html", "zero"]);
    for (path, bytes) in FILES {
        assert_eq!(opened.read(path).await.unwrap().as_ref(), bytes, "{path}");
    }
    let target = world.directory().join("phone");
    let stats = opened.save_to(&target, &|_| {}).await.unwrap();
    assert_eq!(stats.files, 3);
    assert_eq!(fs::read(target.join("index.html")).unwrap(), b"<!doctype html>");
}

async fn publishing_again_uploads_nothing(world: World) {
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    ada.publish(project.id, &FILES).await.unwrap();
    let again = ada.publish(project.id, &FILES).await.unwrap();
    assert_eq!((again.stats.new_files, again.stats.uploaded_bytes), (0, 0));
    assert!(
        world
            .device_of(&ada, "phone", Platform::Ios)
            .await
            .client
            .previews()
            .open(&again.token)
            .await
            .is_ok()
    );
    let changed = ada.publish(project.id, &[FILES[0], ("index.html", b"changed"), FILES[2]]).await.unwrap();
    assert_eq!((changed.stats.new_files, changed.stats.uploaded_bytes), (1, 7));
}

async fn a_preview_is_for_its_device(world: World) {
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let phone = world.device_of(&ada, "phone", Platform::Ios).await;
    let tablet = world.device_of(&ada, "tablet", Platform::Ios).await;
    let eve = world.user("eve").await;
    let phone_id = phone.client.auth().account().await.unwrap().device_id;
    let options = PublishOptions { device_id: Some(phone_id), ..PublishOptions::default() };
    let source: MemorySource = FILES.iter().map(|(path, bytes)| (*path, bytes.to_vec())).collect();
    let published = ada.client.previews().publish(project.id, &source, &options, &|_| {}).await.unwrap();
    assert!(phone.client.previews().open(&published.token).await.is_ok());
    for other in [&tablet, &ada, &eve] {
        let refusal = other.client.previews().open(&published.token).await.err().unwrap();
        assert_eq!(refusal.reason(), Some(ErrorReason::InvalidPreviewToken), "{}", other.name);
    }
}

async fn tokens_open_nothing_when_touched(world: World) {
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let token = ada.publish(project.id, &FILES).await.unwrap().token;
    let text = token.expose();
    let mut touched: Vec<String> = (0..text.len())
        .step_by(7)
        .map(|at| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(bytes).unwrap()
        })
        .filter(|changed| changed != text)
        .collect();
    touched.push(text[..text.len() - 4].to_owned());
    touched.push(format!("{text}AAAA"));
    touched.push("v4.local.AAAA".to_owned());
    touched.push("nonsense".to_owned());
    let mut seen: Option<(String, tonic::Code)> = None;
    let eve = world.caller("eve").await;
    for token in touched {
        let refusal = ada.client.previews().open(&PreviewToken::new(&token)).await.err().unwrap();
        assert_eq!(refusal.reason(), Some(ErrorReason::InvalidPreviewToken), "{token}");
        // One constant answer, whatever is wrong with it.
        let refusal = resolve(&eve, &token).await;
        let answer = (refusal.text, refusal.code);
        assert_eq!(seen.get_or_insert(answer.clone()), &answer);
    }
}

async fn resolve(caller: &Caller, token: &str) -> Refusal {
    let request = pb::ResolvePreviewRequest { token: token.to_owned() };
    refused(caller.call::<_, pb::ResolvePreviewResponse>(RESOLVE, request).await)
}

/// Creates a preview of these files, uploads them all and finalises it.
pub(super) async fn publish(ada: &Caller, project: &str, files: &[(&str, &[u8])]) -> pb::Preview {
    let created = create(ada, project, files).await;
    let preview = created.preview.unwrap();
    upload(ada, &preview.id, files).await;
    let preview: pb::Preview = ada.get(FINALIZE, pb::FinalizePreviewRequest { preview_id: preview.id }).await;
    settled(ada, preview).await
}

pub(super) async fn create(
    ada: &Caller,
    project: &str,
    files: &[(&str, &[u8])],
) -> pb::CreatePreviewResponse {
    let files = files.iter().map(|(path, bytes)| file(path, bytes)).collect();
    ada.get(CREATE, request(project, manifest(files))).await
}

fn request(project: &str, manifest: pb::Manifest) -> pb::CreatePreviewRequest {
    pb::CreatePreviewRequest {
        project_id: project.to_owned(),
        manifest: Some(manifest),
        device_id: String::new(),
        lifetime_secs: 0,
        idempotency_key: Uuid::new_v4().to_string(),
    }
}

pub(super) async fn uploads_of(
    ada: &Caller,
    preview_id: &str,
    digests: Vec<Vec<u8>>,
) -> Vec<pb::PresignedRequest> {
    let request = pb::RequestUploadsRequest { preview_id: preview_id.to_owned(), sha256: digests };
    ada.get::<_, pb::RequestUploadsResponse>(UPLOADS, request).await.uploads
}

async fn upload(ada: &Caller, preview_id: &str, files: &[(&str, &[u8])]) {
    let digests = files.iter().map(|(_, bytes)| sha256(bytes)).collect();
    for presigned in uploads_of(ada, preview_id, digests).await {
        let (_, bytes) = files.iter().find(|(_, bytes)| sha256(bytes) == presigned.sha256).unwrap();
        let answer = send(&presigned, bytes.to_vec()).await;
        assert!(answer.status().is_success(), "{}", answer.status());
    }
}

async fn send(presigned: &pb::PresignedRequest, body: Vec<u8>) -> reqwest::Response {
    let length = body.len();
    send_stream(presigned, body.into(), length).await
}

async fn send_stream(
    presigned: &pb::PresignedRequest,
    body: reqwest::Body,
    length: usize,
) -> reqwest::Response {
    let method = presigned.method.parse().unwrap();
    let length = length.to_string();
    let mut request = reqwest::Client::new().request(method, &presigned.url).body(body);
    for header in &presigned.headers {
        // Whoever lies about the content still sends the length that it has.
        let value = if header.name == "content-length" { &length } else { &header.value };
        request = request.header(&header.name, value);
    }
    request.send().await.unwrap()
}

/// The preview once its verification has ended.
async fn settled(ada: &Caller, mut preview: pb::Preview) -> pb::Preview {
    for _ in 0..600 {
        if preview.state() != pb::PreviewState::Verifying {
            return preview;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        preview = ada.get(GET, pb::GetPreviewRequest { preview_id: preview.id }).await;
    }
    panic!("the verification did not end");
}

pub(super) async fn token_of(ada: &Caller, preview_id: &str) -> String {
    let request = pb::IssuePreviewTokenRequest { preview_id: preview_id.to_owned() };
    ada.get::<_, pb::IssuePreviewTokenResponse>("hivesync.v1.PreviewService/IssuePreviewToken", request)
        .await
        .token
}

async fn a_preview_expires(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = publish(&ada, &project, &FILES).await;
    assert_eq!(preview.state(), pb::PreviewState::Ready);
    let token = token_of(&ada, &preview.id).await;
    let request = pb::ResolvePreviewRequest { token: token.clone() };
    let _: pb::ResolvePreviewResponse = ada.get(RESOLVE, request).await;
    world.advance(Duration::from_secs(901));
    // The sign-in has expired as well by then.
    let ada = Caller::sign_in(ada.wire.clone(), &ada.email, ada.device).await;
    assert_eq!(resolve(&ada, &token).await.reason, Reason::InvalidPreviewToken);
    let preview: pb::Preview = ada.get(GET, pb::GetPreviewRequest { preview_id: preview.id }).await;
    assert_eq!(preview.state(), pb::PreviewState::Expired);
}

async fn a_revoked_preview_opens_nothing(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = publish(&ada, &project, &FILES).await;
    let token = token_of(&ada, &preview.id).await;
    let request = pb::RevokePreviewRequest { preview_id: preview.id.clone() };
    let revoked: pb::Preview = ada.get("hivesync.v1.PreviewService/RevokePreview", request).await;
    assert_eq!(revoked.state(), pb::PreviewState::Revoked);
    assert_eq!(resolve(&ada, &token).await.reason, Reason::InvalidPreviewToken);
    let request = pb::RequestDownloadsRequest { token, sha256: vec![sha256(FILES[0].1)] };
    let outcome = ada.call::<_, pb::RequestDownloadsResponse>(DOWNLOADS, request).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidPreviewToken);
}

async fn manifests_that_break_a_rule_are_refused(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let one = |path: &str| vec![file(path, b"x")];
    let sized = |path: &str, size: u64| ManifestFile { size, ..file(path, b"x") };
    let numbered = |count: usize| (0..count).map(|n| file(&format!("{n:05}"), b"x")).collect::<Vec<_>>();
    let mebibyte = 1024 * 1024;
    let mut cases: Vec<(String, Vec<ManifestFile>)> = vec![
        ("a duplicate".into(), vec![file("a", b"x"), file("a", b"x")]),
        ("a case collision".into(), vec![file("Index.html", b"x"), file("index.html", b"y")]),
        ("a file that is a directory".into(), vec![file("a", b"x"), file("a/b", b"y")]),
        ("no order".into(), vec![file("b", b"x"), file("a", b"y")]),
        ("nothing".into(), Vec::new()),
        ("5,001 files".into(), numbered(5_001)),
        ("a file of a byte too many".into(), vec![sized("a", 50 * mebibyte + 1)]),
        (
            "a bundle of a byte too many".into(),
            vec![
                sized("a", 50 * mebibyte),
                sized("b", 50 * mebibyte),
                sized("c", 50 * mebibyte),
                sized("d", 1),
            ],
        ),
        ("a short digest".into(), vec![ManifestFile { sha256: vec![0; 31], ..file("a", b"x") }]),
        ("a content of two sizes".into(), vec![sized("a", 1), sized("b", 2)]),
    ];
    cases.extend(crate::BAD_PATHS.iter().map(|path| (format!("the path {path:?}"), one(path))));
    for (what, files) in cases {
        let outcome =
            ada.call::<_, pb::CreatePreviewResponse>(CREATE, request(&project, manifest(files))).await;
        let refusal = refused(outcome);
        let right =
            [Reason::InvalidManifest, Reason::BundleTooLarge, Reason::InvalidRequest, Reason::InvalidPath];
        assert!(right.contains(&refusal.reason), "{what}: {refusal:?}");
        assert_eq!(refusal.code, tonic::Code::InvalidArgument, "{what}");
    }
    let lost = pb::Manifest { entry_point: "b".to_owned(), ..manifest(one("a")) };
    let outcome = ada.call::<_, pb::CreatePreviewResponse>(CREATE, request(&project, lost)).await;
    assert_eq!(refused(outcome).reason, Reason::InvalidManifest);
    // Just inside of the limits is fine.
    let _: pb::CreatePreviewResponse = ada.get(CREATE, request(&project, manifest(numbered(5_000)))).await;
}

async fn an_upload_takes_only_its_bytes(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let good: &[u8] = b"the right bytes";
    let preview = create(&ada, &project, &[("a", good)]).await.preview.unwrap();
    let presigned = uploads_of(&ada, &preview.id, vec![sha256(good)]).await.remove(0);
    for bad in
        [b"the wrong bytes".to_vec(), b"the right bytes!".to_vec(), b"the right byte".to_vec(), Vec::new()]
    {
        let answer = send(&presigned, bad).await;
        assert!(answer.status().is_client_error(), "{}", answer.status());
    }
    // Without what was signed, the address is worth nothing.
    let bare = pb::PresignedRequest { headers: Vec::new(), ..presigned.clone() };
    assert!(!send(&bare, b"the wrong bytes".to_vec()).await.status().is_success());
    let mut elsewhere: url::Url = presigned.url.parse().unwrap();
    elsewhere.set_path(&format!("{}0", elsewhere.path()));
    let elsewhere = pb::PresignedRequest { url: elsewhere.into(), ..presigned.clone() };
    assert!(!send(&elsewhere, good.to_vec()).await.status().is_success());
    let listing = pb::PresignedRequest { method: "GET".to_owned(), ..presigned.clone() };
    assert!(!send(&listing, Vec::new()).await.status().is_success());
    // The S3 server of the tests keeps an object whose digest it has refused; a real one does not.
    if world.backend() != Backend::Production {
        assert!(send(&presigned, good.to_vec()).await.status().is_success());
        let finalize = pb::FinalizePreviewRequest { preview_id: preview.id };
        let preview: pb::Preview = ada.get(FINALIZE, finalize).await;
        assert_eq!(settled(&ada, preview).await.state(), pb::PreviewState::Ready);
    }
}

/// A successor starts while a server drains, and commands run beside it: what they sweep is not what it receives.
async fn an_upload_survives_a_server_that_comes_and_goes(world: World) {
    const CONTENT: &[u8] = &[7; 256 * 1024];
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = create(&ada, &project, &[("a", CONTENT)]).await.preview.unwrap();
    let presigned = uploads_of(&ada, &preview.id, vec![sha256(CONTENT)]).await.remove(0);
    let (first, second) = CONTENT.split_at(CONTENT.len() / 2);
    let (gate, opened) = oneshot::channel();
    let rest = async {
        opened.await.unwrap();
        Ok(Bytes::from_static(second))
    };
    let body = stream::iter([Ok::<_, io::Error>(Bytes::from_static(first))]).chain(stream::once(rest));
    let places = [world.data_dir().join("blobs"), world.directory().join(OBJECTS_DIR)];
    let upload = send_stream(&presigned, reqwest::Body::wrap_stream(body), CONTENT.len());
    let meanwhile = async {
        // There is no event for what has arrived by half.
        while !places.iter().any(|place| some_file_begins_with(place, &CONTENT[..64])) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = world.another_server().await;
        app::sweep(other.base().clone()).await.unwrap();
        assert!(other.stop().await, "the other server ends in time");
        gate.send(()).unwrap();
    };
    let (answer, ()) = tokio::join!(upload, meanwhile);
    assert!(answer.status().is_success(), "{}", answer.status());
    let preview: pb::Preview = ada.get(FINALIZE, pb::FinalizePreviewRequest { preview_id: preview.id }).await;
    assert_eq!(settled(&ada, preview).await.state(), pb::PreviewState::Ready);
}

fn some_file_begins_with(directory: &Path, content: &[u8]) -> bool {
    let begins = |path: &Path| {
        let mut beginning = vec![0; content.len()];
        File::open(path).and_then(|mut file| file.read_exact(&mut beginning)).is_ok() && beginning == content
    };
    fs::read_dir(directory).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() { some_file_begins_with(&path, content) } else { begins(&path) }
    })
}

async fn an_upload_that_is_missing_fails_the_preview(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = create(&ada, &project, &FILES).await.preview.unwrap();
    upload(&ada, &preview.id, &FILES[..1]).await;
    let outcome = ada
        .call::<_, pb::Preview>(FINALIZE, pb::FinalizePreviewRequest { preview_id: preview.id.clone() })
        .await;
    match outcome {
        Err(status) => assert_eq!(Refusal::of(&status).reason, Reason::BundleIncomplete),
        Ok(preview) => {
            let preview = settled(&ada, preview).await;
            assert_eq!(preview.state(), pb::PreviewState::Failed);
            assert_eq!(preview.rejected_paths, ["index.html", "zero"]);
        }
    }
    let request = pb::IssuePreviewTokenRequest { preview_id: preview.id };
    let outcome =
        ada.call::<_, pb::IssuePreviewTokenResponse>("hivesync.v1.PreviewService/IssuePreviewToken", request);
    assert!(outcome.await.is_err());
}

async fn uploads_are_for_files_of_the_manifest(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = create(&ada, &project, &FILES).await.preview.unwrap();
    let request =
        pb::RequestUploadsRequest { preview_id: preview.id, sha256: vec![sha256(b"something else")] };
    let refusal = refused(ada.call::<_, pb::RequestUploadsResponse>(UPLOADS, request).await);
    assert!(matches!(refusal.reason, Reason::NotFound | Reason::InvalidRequest), "{refusal:?}");
}

async fn downloads_are_for_files_of_the_preview(world: World) {
    let ada = world.caller("ada").await;
    let project = ada.project("site", "").await.id;
    let preview = publish(&ada, &project, &FILES).await;
    let other = publish(&ada, &project, &[("other", b"of another preview")]).await;
    assert_eq!(other.state(), pb::PreviewState::Ready);
    let token = token_of(&ada, &preview.id).await;
    let request =
        pb::RequestDownloadsRequest { token: token.clone(), sha256: vec![sha256(b"of another preview")] };
    assert!(ada.call::<_, pb::RequestDownloadsResponse>(DOWNLOADS, request).await.is_err());
    let request = pb::RequestDownloadsRequest { token, sha256: vec![sha256(FILES[0].1)] };
    let downloads: pb::RequestDownloadsResponse = ada.get(DOWNLOADS, request).await;
    let presigned = &downloads.downloads[0];
    assert!(!presigned.url.contains(&project) && !presigned.url.contains("main.js"), "{}", presigned.url);
    assert_eq!(send(presigned, Vec::new()).await.bytes().await.unwrap().as_ref(), FILES[0].1);
    let write = pb::PresignedRequest { method: "PUT".to_owned(), ..presigned.clone() };
    assert!(!send(&write, b"changed".to_vec()).await.status().is_success());
}

async fn a_stranger_reaches_nothing(world: World) {
    let (ada, eve) = (world.caller("ada").await, world.caller("eve").await);
    let project = ada.project("site", "").await.id;
    let created = create(&ada, &project, &FILES).await;
    let id = created.preview.unwrap().id;
    for preview_id in [id, Uuid::now_v7().to_string()] {
        let outcomes = [
            eve.call::<_, pb::Preview>(GET, pb::GetPreviewRequest { preview_id: preview_id.clone() })
                .await
                .map(drop),
            eve.call::<_, pb::FindMissingResponse>(
                "hivesync.v1.PreviewService/FindMissing",
                pb::FindMissingRequest { preview_id: preview_id.clone() },
            )
            .await
            .map(drop),
            eve.call::<_, pb::RequestUploadsResponse>(
                UPLOADS,
                pb::RequestUploadsRequest {
                    preview_id: preview_id.clone(),
                    sha256: vec![sha256(FILES[0].1)],
                },
            )
            .await
            .map(drop),
            eve.call::<_, pb::Preview>(
                FINALIZE,
                pb::FinalizePreviewRequest { preview_id: preview_id.clone() },
            )
            .await
            .map(drop),
            eve.call::<_, pb::IssuePreviewTokenResponse>(
                "hivesync.v1.PreviewService/IssuePreviewToken",
                pb::IssuePreviewTokenRequest { preview_id: preview_id.clone() },
            )
            .await
            .map(drop),
            eve.call::<_, pb::Preview>(
                "hivesync.v1.PreviewService/RevokePreview",
                pb::RevokePreviewRequest { preview_id: preview_id.clone() },
            )
            .await
            .map(drop),
        ];
        for outcome in outcomes {
            assert_eq!(refused(outcome).reason, Reason::NotFound);
        }
    }
}

/// What another project has uploaded counts as missing here, even though the server has it.
async fn contents_of_other_projects_are_no_oracle(world: World) {
    let (ada, eve) = (world.caller("ada").await, world.caller("eve").await);
    let project = ada.project("site", "").await.id;
    assert_eq!(publish(&ada, &project, &FILES).await.state(), pb::PreviewState::Ready);
    let theirs = eve.project("site", "").await.id;
    assert_eq!(create(&eve, &theirs, &FILES).await.missing, [0, 1, 2]);
    let second = ada.project("second", "").await.id;
    assert_eq!(create(&ada, &second, &FILES).await.missing, [0, 1, 2]);
    // Somebody else's device is no way around the token either.
    let thief = Caller::sign_in(eve.wire.clone(), &eve.email, Device::new()).await;
    assert_eq!(create(&thief, &theirs, &FILES).await.missing, [0, 1, 2]);
}
