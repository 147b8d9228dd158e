#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test fails by panicking")]

use std::{
    collections::HashMap,
    fs, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::StatusCode,
    routing::put,
};
use bytes::Bytes;
use futures::{StreamExt as _, stream, stream::BoxStream};
use hivesync_proto::v1::{
    self as pb,
    job_service_server::{JobService, JobServiceServer},
    preview_service_server::{PreviewService, PreviewServiceServer},
};
use prost_types::Timestamp;
use tonic::{Code, Request, Response, Status};
use uuid::Uuid;

use super::{MemorySource, PreviewToken, PublishOptions, PublishProgress, Published};
use crate::{
    Client, ErrorReason, Result,
    fake_server::{FakeServer, refusal},
};

/// Previews without a worker: what arrived is taken for verified.
#[derive(Default)]
struct Shelf {
    address: Mutex<String>,
    manifest: Mutex<Option<pb::Manifest>>,
    blobs: Mutex<HashMap<String, Bytes>>,
    calls: AtomicU32,
    /// Uploads that are refused before one is taken.
    refused_uploads: AtomicU32,
    /// Downloads that break off before one is whole.
    broken_downloads: AtomicU32,
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Shelf {
    async fn start() -> (Arc<Self>, Client) {
        let shelf = Arc::new(Self::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        *shelf.address.lock().unwrap() = format!("http://{}", listener.local_addr().unwrap());
        let blobs = Router::new().route("/{digest}", put(receive).get(send)).with_state(shelf.clone());
        tokio::spawn(async move { axum::serve(listener, blobs).await });
        let server = FakeServer::start_with(|routes| {
            routes.add_service(PreviewServiceServer::from_arc(shelf.clone()));
            routes.add_service(JobServiceServer::from_arc(shelf.clone()));
        });
        (shelf, server.signed_in().await)
    }

    fn missing(&self) -> Vec<(u32, Vec<u8>)> {
        let blobs = self.blobs.lock().unwrap();
        let manifest = self.manifest.lock().unwrap().clone().unwrap();
        let mut missing: Vec<(u32, Vec<u8>)> = Vec::new();
        for (position, file) in (0..).zip(manifest.files) {
            let known = missing.iter().any(|(_, digest)| *digest == file.sha256);
            if !blobs.contains_key(&hex(&file.sha256)) && !known {
                missing.push((position, file.sha256));
            }
        }
        missing
    }

    fn preview(&self, state: pb::PreviewState) -> pb::Preview {
        self.calls.fetch_add(1, Ordering::SeqCst);
        pb::Preview {
            id: Uuid::nil().to_string(),
            project_id: Uuid::nil().to_string(),
            state: state as i32,
            verify_job_id: Uuid::nil().to_string(),
            created_at: Some(Timestamp::default()),
            expires_at: Some(Timestamp::default()),
            ..pb::Preview::default()
        }
    }

    fn presigned(&self, method: &str, digests: &[Vec<u8>]) -> Vec<pb::PresignedRequest> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let address = self.address.lock().unwrap().clone();
        let request = |digest: &Vec<u8>| pb::PresignedRequest {
            sha256: digest.clone(),
            method: method.to_owned(),
            url: format!("{address}/{}", hex(digest)),
            headers: vec![pb::PresignedHeader { name: "content-length".to_owned(), value: "1".to_owned() }],
            expires_at: Some(Timestamp::default()),
        };
        digests.iter().map(request).collect()
    }
}

async fn receive(State(shelf): State<Arc<Shelf>>, Path(digest): Path<String>, body: Bytes) -> StatusCode {
    let refused =
        shelf.refused_uploads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if refused.is_ok() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    shelf.blobs.lock().unwrap().insert(digest, body);
    StatusCode::OK
}

async fn send(
    State(shelf): State<Arc<Shelf>>,
    Path(digest): Path<String>,
) -> std::result::Result<Body, StatusCode> {
    let bytes = shelf.blobs.lock().unwrap().get(&digest).cloned().ok_or(StatusCode::NOT_FOUND)?;
    let broken =
        shelf.broken_downloads.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
    if broken.is_err() {
        return Ok(Body::from(bytes));
    }
    let beginning = stream::iter([Ok(bytes.slice(..bytes.len() / 2))]);
    let end = stream::once(async {
        // What there is goes on its way when nothing follows for a moment.
        tokio::task::yield_now().await;
        Err(io::Error::from(io::ErrorKind::BrokenPipe))
    });
    Ok(Body::from_stream(beginning.chain(end)))
}

type Answer<T> = std::result::Result<Response<T>, Status>;

#[tonic::async_trait]
impl PreviewService for Shelf {
    async fn create_preview(
        &self,
        request: Request<pb::CreatePreviewRequest>,
    ) -> Answer<pb::CreatePreviewResponse> {
        *self.manifest.lock().unwrap() = request.into_inner().manifest;
        let missing: Vec<u32> = self.missing().into_iter().map(|(position, _)| position).collect();
        let ready = missing.is_empty();
        let state = if ready { pb::PreviewState::Ready } else { pb::PreviewState::Uploading };
        let token = if ready { "token".to_owned() } else { String::new() };
        Ok(Response::new(pb::CreatePreviewResponse { preview: Some(self.preview(state)), missing, token }))
    }

    async fn find_missing(&self, _: Request<pb::FindMissingRequest>) -> Answer<pb::FindMissingResponse> {
        let sha256 = self.missing().into_iter().map(|(_, digest)| digest).collect();
        Ok(Response::new(pb::FindMissingResponse { sha256 }))
    }

    async fn request_uploads(
        &self,
        request: Request<pb::RequestUploadsRequest>,
    ) -> Answer<pb::RequestUploadsResponse> {
        let uploads = self.presigned("PUT", &request.into_inner().sha256);
        Ok(Response::new(pb::RequestUploadsResponse { uploads }))
    }

    async fn finalize_preview(&self, _: Request<pb::FinalizePreviewRequest>) -> Answer<pb::Preview> {
        Ok(Response::new(self.preview(pb::PreviewState::Verifying)))
    }

    async fn get_preview(&self, _: Request<pb::GetPreviewRequest>) -> Answer<pb::Preview> {
        Ok(Response::new(self.preview(pb::PreviewState::Ready)))
    }

    async fn issue_preview_token(
        &self,
        _: Request<pb::IssuePreviewTokenRequest>,
    ) -> Answer<pb::IssuePreviewTokenResponse> {
        let (token, expires_at) = ("token".to_owned(), Some(Timestamp::default()));
        Ok(Response::new(pb::IssuePreviewTokenResponse { token, expires_at }))
    }

    async fn resolve_preview(
        &self,
        request: Request<pb::ResolvePreviewRequest>,
    ) -> Answer<pb::ResolvePreviewResponse> {
        assert!(request.metadata().contains_key("dpop"));
        if request.get_ref().token != "token" {
            return Err(refusal(Code::NotFound, "INVALID_PREVIEW_TOKEN"));
        }
        let manifest = self.manifest.lock().unwrap().clone();
        Ok(Response::new(pb::ResolvePreviewResponse { manifest, expires_at: Some(Timestamp::default()) }))
    }

    async fn request_downloads(
        &self,
        request: Request<pb::RequestDownloadsRequest>,
    ) -> Answer<pb::RequestDownloadsResponse> {
        let downloads = self.presigned("GET", &request.into_inner().sha256);
        Ok(Response::new(pb::RequestDownloadsResponse { downloads }))
    }

    async fn list_previews(&self, _: Request<pb::ListPreviewsRequest>) -> Answer<pb::ListPreviewsResponse> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn revoke_preview(&self, _: Request<pb::RevokePreviewRequest>) -> Answer<pb::Preview> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

#[tonic::async_trait]
impl JobService for Shelf {
    type WatchJobStream = BoxStream<'static, std::result::Result<pb::WatchJobResponse, Status>>;

    async fn watch_job(&self, _: Request<pb::WatchJobRequest>) -> Answer<Self::WatchJobStream> {
        let job = pb::Job {
            id: Uuid::nil().to_string(),
            state: pb::JobState::Succeeded as i32,
            created_at: Some(Timestamp::default()),
            ..pb::Job::default()
        };
        Ok(Response::new(stream::iter([Ok(pb::WatchJobResponse { job: Some(job) })]).boxed()))
    }

    async fn get_job(&self, _: Request<pb::GetJobRequest>) -> Answer<pb::Job> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn list_jobs(&self, _: Request<pb::ListJobsRequest>) -> Answer<pb::ListJobsResponse> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn cancel_job(&self, _: Request<pb::CancelJobRequest>) -> Answer<pb::Job> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

/// 301 files, two of them alike: more than one batch.
fn bundle() -> MemorySource {
    let numbered = (0..299).map(|number| (format!("src/{number:03}.js"), format!("export default {number}")));
    let others = [("index.html", "<p>"), ("copy/index.html", "<p>")];
    numbered.chain(others.map(|(path, text)| (path.to_owned(), text.to_owned()))).collect()
}

async fn publish(client: &Client) -> Result<Published> {
    client.previews().publish(Uuid::nil(), &bundle(), &PublishOptions::default(), &|_| {}).await
}

#[tokio::test]
async fn what_is_published_is_what_is_opened() {
    let (shelf, client) = Shelf::start().await;
    let published = publish(&client).await.unwrap();
    assert_eq!((published.stats.files, published.stats.new_files), (301, 300));
    assert_eq!(published.stats.uploaded_bytes, published.stats.bytes - 3);

    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("preview");
    let preview = client.previews().open(&published.token).await.unwrap();
    let stats = preview.save_to(&target, &|_| {}).await.unwrap();
    assert_eq!((stats.files, stats.bytes), (301, published.stats.bytes));
    assert_eq!(stats.downloaded_bytes, published.stats.uploaded_bytes);
    assert_eq!(fs::read_to_string(target.join("src/007.js")).unwrap(), "export default 7");
    assert_eq!(fs::read_to_string(target.join("copy/index.html")).unwrap(), "<p>");
    assert_eq!(preview.read(preview.entry_point()).await.unwrap(), "<p>");

    shelf.calls.store(0, Ordering::SeqCst);
    let again = publish(&client).await.unwrap();
    assert_eq!((again.stats.new_files, again.stats.uploaded_bytes), (0, 0));
    assert_eq!(shelf.calls.load(Ordering::SeqCst), 1);
}

/// Whoever stops publishing must know what to revoke, also if there is nothing to send.
#[tokio::test]
async fn progress_names_the_preview_before_publishing_ends() {
    let (_shelf, client) = Shelf::start().await;
    for _ in 0..2 {
        let named = Mutex::new(None);
        let note = |step: &PublishProgress| *named.lock().unwrap() = step.preview_id;
        let options = PublishOptions::default();
        let published = client.previews().publish(Uuid::nil(), &bundle(), &options, &note).await.unwrap();
        assert_eq!(*named.lock().unwrap(), Some(published.preview.id));
    }
}

#[tokio::test]
async fn an_upload_that_fails_is_made_again() {
    let (shelf, client) = Shelf::start().await;
    shelf.refused_uploads.store(5, Ordering::SeqCst);
    let published = publish(&client).await.unwrap();
    assert_eq!(shelf.blobs.lock().unwrap().len(), 300);
    assert_eq!(published.stats.uploaded_bytes, published.stats.bytes - 3);
}

#[tokio::test]
async fn an_upload_that_never_succeeds_is_given_up() {
    let (shelf, client) = Shelf::start().await;
    shelf.refused_uploads.store(u32::MAX, Ordering::SeqCst);
    assert!(publish(&client).await.unwrap_err().is_transient());
}

#[tokio::test]
async fn a_download_that_breaks_off_is_made_again_and_leaves_nothing_behind() {
    let (shelf, client) = Shelf::start().await;
    let published = publish(&client).await.unwrap();
    shelf.broken_downloads.store(5, Ordering::SeqCst);
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("preview");
    let preview = client.previews().open(&published.token).await.unwrap();
    let stats = preview.save_to(&target, &|_| {}).await.unwrap();
    assert_eq!(stats.downloaded_bytes, published.stats.uploaded_bytes);
    let mut names: Vec<_> = fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["copy", "index.html", "src"]);
}

#[tokio::test]
async fn a_file_that_was_changed_on_the_way_leaves_nothing_behind() {
    let (shelf, client) = Shelf::start().await;
    let published = publish(&client).await.unwrap();
    let some = shelf.blobs.lock().unwrap().keys().next().unwrap().clone();
    shelf.blobs.lock().unwrap().insert(some, Bytes::from_static(b"export default evil"));

    let directory = tempfile::tempdir().unwrap();
    let preview = client.previews().open(&published.token).await.unwrap();
    let error = preview.save_to(directory.path().join("preview"), &|_| {}).await.unwrap_err();
    assert_eq!(error.reason(), Some(ErrorReason::BundleIncomplete));
    assert!(fs::read_dir(directory.path()).unwrap().next().is_none());
}

#[tokio::test]
async fn a_manifest_that_leads_out_of_the_directory_is_not_opened() {
    let (shelf, client) = Shelf::start().await;
    let published = publish(&client).await.unwrap();
    shelf.manifest.lock().unwrap().as_mut().unwrap().files[0].path = "../evil".to_owned();
    assert!(client.previews().open(&published.token).await.is_err());
}

#[tokio::test]
async fn a_wrong_token_opens_nothing_and_shows_in_no_error() {
    let (_shelf, client) = Shelf::start().await;
    let token = PreviewToken::new("wrong");
    let error = client.previews().open(&token).await.err().unwrap();
    assert_eq!(error.reason(), Some(ErrorReason::InvalidPreviewToken));
    assert!(!format!("{error:?} {error} {token:?}").contains("wrong"));
}

#[tokio::test]
async fn every_call_can_run_on_any_thread() {
    fn movable<T: Send>(work: T) -> T {
        work
    }
    let (_shelf, client) = Shelf::start().await;
    let previews = client.previews();
    let (source, options) = (bundle(), PublishOptions::default());
    let published = movable(previews.publish(Uuid::nil(), &source, &options, &|_| {})).await.unwrap();
    let preview = movable(previews.open(&published.token)).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    movable(preview.save_to(directory.path().join("preview"), &|_| {})).await.unwrap();
    movable(client.jobs().watch(Uuid::nil()).collect::<Vec<_>>()).await;
}
