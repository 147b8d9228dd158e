//! Publishing: hash, say what there is, send what is missing, wait for the verdict.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hivesync_proto::{
    manifest::{BundleManifest, ManifestError},
    v1 as pb,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    BATCH, Preview, PreviewState, PreviewToken, ROUNDS, TRANSFERS, limits,
    source::{BundleSource, is_excluded, is_private_key},
    transfer::Presigned,
};
use crate::{
    api::{auth::Platform, jobs::Jobs, rpc},
    client::Core,
    entropy,
    error::{Error, ErrorKind, ErrorReason, Result},
    wire,
};

/// Files that are hashed at a time.
const HASHES: usize = 4;
/// Files one of which is the entry point if none is named, the first that exists.
const ENTRY_POINTS: [&str; 5] = ["index.html", "public/index.html", "index.js", "package.json", "README.md"];
/// How long to wait for a preview whose job has ended to say so.
const SETTLE_TRIES: u32 = 20;
const SETTLE_INTERVAL: Duration = Duration::from_millis(100);

/// How a bundle is published.
#[derive(Clone, Debug)]
pub struct PublishOptions {
    /// What the bundle is for.
    pub platform: Platform,
    /// The only device that can open it; `None` for every device of the caller.
    pub device_id: Option<Uuid>,
    /// The file to start with. `None` takes the first there is of `index.html`, `public/index.html`,
    /// `index.js`, `package.json`, `README.md`, or else the first file.
    pub entry_point: Option<String>,
    /// The version of the runtime that it needs: at most 64 printable ASCII characters; may be empty.
    pub runtime_version: String,
    /// Seconds it can be opened, 600 to 1,800; 0 leaves it to the server.
    pub lifetime_secs: u32,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            platform: Platform::Ios,
            device_id: None,
            entry_point: None,
            runtime_version: String::new(),
            lifetime_secs: 0,
        }
    }
}

/// What publishing does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PublishPhase {
    /// Files are read and hashed.
    Hashing,
    /// Missing files are sent.
    Uploading,
    /// A worker checks what arrived.
    Verifying,
}

/// How far publishing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PublishProgress {
    /// What it does.
    pub phase: PublishPhase,
    /// Files done in this phase.
    pub files_done: u64,
    /// Files of this phase in all.
    pub files_total: u64,
    /// Bytes done in this phase.
    pub bytes_done: u64,
    /// Bytes of this phase in all; 0 while unknown.
    pub bytes_total: u64,
}

/// What publishing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PublishStats {
    /// Files in the bundle.
    pub files: u64,
    /// Bytes in the bundle.
    pub bytes: u64,
    /// Distinct contents that the project had not sent before.
    pub new_files: u64,
    /// Bytes that were sent.
    pub uploaded_bytes: u64,
    /// Files that stayed out because they may hold secrets.
    pub left_out: u64,
}

/// A preview that can be opened.
#[derive(Clone, Debug)]
pub struct Published {
    /// The preview.
    pub preview: Preview,
    /// What opens it.
    pub token: PreviewToken,
    /// When the token stops opening it.
    pub expires_at: OffsetDateTime,
    /// What it took.
    pub stats: PublishStats,
}

type Progress<'a> = &'a (dyn Fn(&PublishProgress) + Send + Sync);

pub(super) async fn run(
    core: &Core,
    project_id: Uuid,
    source: &dyn BundleSource,
    options: &PublishOptions,
    progress: Progress<'_>,
) -> Result<Published> {
    let bundle = Bundle::read(source, options, progress).await?;
    let request = pb::CreatePreviewRequest {
        project_id: project_id.to_string(),
        manifest: Some(bundle.manifest.clone()),
        device_id: options.device_id.map(|id| id.to_string()).unwrap_or_default(),
        lifetime_secs: options.lifetime_secs,
        idempotency_key: entropy::id().to_string(),
    };
    let response = core.unary::<rpc::CreatePreview>(request).await?;
    let preview = response.preview.ok_or_else(wire::broken).and_then(Preview::from_wire)?;
    let mut stats = bundle.stats;
    if !response.token.is_empty() {
        let (token, expires_at) = (PreviewToken::new(&response.token), preview.expires_at);
        return Ok(Published { preview, token, expires_at, stats });
    }
    let missing = bundle.contents(&response.missing)?;
    stats.new_files = missing.len() as u64;
    stats.uploaded_bytes = Upload::new(core, source, &bundle, preview.id, progress).run(missing).await?;
    let preview = verified(core, preview.id, stats.files, progress).await?;
    let (token, expires_at) = super::Previews(core.clone()).issue_token(preview.id).await?;
    Ok(Published { preview, token, expires_at, stats })
}

/// The files as they were read.
struct Bundle {
    manifest: pb::Manifest,
    stats: PublishStats,
    /// A path and the size of each distinct content.
    by_digest: HashMap<[u8; 32], (String, u64)>,
}

impl Bundle {
    async fn read(
        source: &dyn BundleSource,
        options: &PublishOptions,
        progress: Progress<'_>,
    ) -> Result<Self> {
        let found = source.paths().await?;
        let found_count = found.len() as u64;
        let mut paths: Vec<String> = found.into_iter().filter(|path| !is_excluded(path)).collect();
        paths.sort_unstable();
        if paths.len() > limits().files_max {
            return Err(over_limit(format!("The bundle has {} files.", paths.len())));
        }
        let files = hash_all(source, paths, progress).await?;
        let total: u64 = files.iter().map(|file| file.size).sum();
        let stats = PublishStats {
            files: files.len() as u64,
            bytes: total,
            left_out: found_count - files.len() as u64,
            ..PublishStats::default()
        };
        let manifest = pb::Manifest {
            entry_point: entry_point(&files, options.entry_point.as_deref())?,
            files,
            platform: options.platform.to_wire(),
            runtime_version: options.runtime_version.clone(),
        };
        let parsed =
            BundleManifest::parse(&manifest, &limits()).map_err(|error| broken_rule(&manifest, error))?;
        let contents =
            parsed.files().iter().map(|file| (file.sha256, (file.path.as_str().to_owned(), file.size)));
        Ok(Self { by_digest: contents.collect(), manifest, stats })
    }

    /// The digests at positions of the manifest.
    fn contents(&self, positions: &[u32]) -> Result<Vec<[u8; 32]>> {
        let digest = |position: &u32| {
            let file = usize::try_from(*position).ok().and_then(|position| self.manifest.files.get(position));
            file.ok_or_else(wire::broken).and_then(|file| wire::digest(&file.sha256))
        };
        positions.iter().map(digest).collect()
    }
}

async fn hash_all(
    source: &dyn BundleSource,
    paths: Vec<String>,
    progress: Progress<'_>,
) -> Result<Vec<pb::ManifestFile>> {
    let files_total = paths.len() as u64;
    let hashes = stream::iter(paths.into_iter().map(|path| hash(source, path))).buffered(HASHES);
    let (mut files, mut files_done, mut bytes_done) = (Vec::new(), 0, 0);
    futures::pin_mut!(hashes);
    while let Some(file) = hashes.try_next().await? {
        files_done += 1;
        bytes_done += file.as_ref().map_or(0, |file| file.size);
        if bytes_done > limits().total_bytes_max {
            return Err(over_limit("The bundle has more than 150 MiB.".to_owned()));
        }
        files.extend(file);
        progress(&PublishProgress {
            phase: PublishPhase::Hashing,
            files_done,
            files_total,
            bytes_done,
            bytes_total: 0,
        });
    }
    Ok(files)
}

/// One file of the manifest; `None` if its content must stay out.
async fn hash(source: &dyn BundleSource, path: String) -> Result<Option<pb::ManifestFile>> {
    let mut bytes = source.open(&path).await?;
    let (mut digest, mut size) = (Sha256::new(), 0);
    while let Some(chunk) = bytes.try_next().await? {
        if size == 0 && is_private_key(&chunk) {
            return Ok(None);
        }
        size += chunk.len() as u64;
        if size > limits().file_bytes_max {
            return Err(over_limit(format!("{path} has more than 50 MiB.")));
        }
        digest.update(&chunk);
    }
    Ok(Some(pb::ManifestFile { path, size, sha256: digest.finalize().to_vec() }))
}

fn entry_point(files: &[pb::ManifestFile], wanted: Option<&str>) -> Result<String> {
    let has = |path: &str| files.iter().any(|file| file.path == path);
    match wanted {
        Some(path) if has(path) => Ok(path.to_owned()),
        Some(path) => Err(Error::invalid(
            "entry_point",
            format!("{path} is not a file of the bundle. Name one that is."),
        )),
        None => ENTRY_POINTS
            .into_iter()
            .find(|path| has(path))
            .or_else(|| files.first().map(|file| file.path.as_str()))
            .map(str::to_owned)
            .ok_or_else(|| {
                Error::invalid("source", "There is no file to publish. Look at the ignore files.")
            }),
    }
}

fn over_limit(what: String) -> Error {
    let kind = ErrorKind::InvalidRequest { fields: vec!["manifest.files".to_owned()] };
    Error::refused(kind, ErrorReason::BundleTooLarge, format!("{what} Exclude files by an ignore file."))
}

/// Names the file that breaks a rule: this side may, its user wrote it.
fn broken_rule(manifest: &pb::Manifest, error: ManifestError) -> Error {
    let field = error.field();
    let position = field.split(['[', ']']).nth(1).and_then(|position| position.parse::<usize>().ok());
    let path =
        position.and_then(|position| manifest.files.get(position)).map(|file| format!("{:?}: ", file.path));
    let sentence = format!("{}{error}. Correct it and publish again.", path.unwrap_or_default());
    let kind = ErrorKind::InvalidRequest { fields: vec![format!("manifest.{field}")] };
    Error::refused(kind, ErrorReason::InvalidManifest, sentence)
}

/// Sends missing contents.
struct Upload<'a> {
    core: &'a Core,
    source: &'a dyn BundleSource,
    bundle: &'a Bundle,
    preview_id: Uuid,
    progress: Progress<'a>,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    files_total: u64,
    bytes_total: u64,
}

impl<'a> Upload<'a> {
    fn new(
        core: &'a Core,
        source: &'a dyn BundleSource,
        bundle: &'a Bundle,
        preview_id: Uuid,
        progress: Progress<'a>,
    ) -> Self {
        let (files_done, bytes_done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            core,
            source,
            bundle,
            preview_id,
            progress,
            files_done,
            bytes_done,
            files_total: 0,
            bytes_total: 0,
        }
    }

    /// Sends what is missing; what did not arrive is asked for and sent again. Returns the bytes sent.
    async fn run(mut self, mut missing: Vec<[u8; 32]>) -> Result<u64> {
        self.files_total = missing.len() as u64;
        self.bytes_total =
            missing.iter().filter_map(|digest| self.bundle.by_digest.get(digest)).map(|(_, size)| size).sum();
        for round in 1..=ROUNDS {
            let mut failure = None;
            for batch in missing.chunks(BATCH) {
                failure = self.send_batch(batch).await?.or(failure);
            }
            let Some(error) = failure else { break };
            if round == ROUNDS {
                return Err(error);
            }
            missing = self.find_missing().await?;
        }
        Ok(self.bytes_done.into_inner())
    }

    /// Sends one batch; a transfer that failed is no reason to stop the others.
    async fn send_batch(&self, batch: &[[u8; 32]]) -> Result<Option<Error>> {
        let request = pb::RequestUploadsRequest {
            preview_id: self.preview_id.to_string(),
            sha256: batch.iter().map(|digest| digest.to_vec()).collect(),
        };
        let response = self.core.unary::<rpc::RequestUploads>(request).await?;
        let uploads: Vec<_> =
            response.uploads.into_iter().map(Presigned::from_wire).collect::<Result<_>>()?;
        let outcomes =
            stream::iter(uploads.into_iter().map(|upload| self.send(upload))).buffer_unordered(TRANSFERS);
        Ok(outcomes
            .filter_map(|outcome| async { outcome.err() })
            .fold(None, |_, error| async { Some(error) })
            .await)
    }

    async fn send(&self, upload: Presigned) -> Result<()> {
        let (path, size) = self.bundle.by_digest.get(&upload.sha256).ok_or_else(wire::broken)?;
        let bytes = self.source.open(path).await?;
        upload.put(self.core.http(), *size, bytes).await?;
        let files_done = self.files_done.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes_done = self.bytes_done.fetch_add(*size, Ordering::Relaxed) + size;
        (self.progress)(&PublishProgress {
            phase: PublishPhase::Uploading,
            files_done,
            files_total: self.files_total,
            bytes_done,
            bytes_total: self.bytes_total,
        });
        Ok(())
    }

    async fn find_missing(&self) -> Result<Vec<[u8; 32]>> {
        let request = pb::FindMissingRequest { preview_id: self.preview_id.to_string() };
        let response = self.core.unary::<rpc::FindMissing>(request).await?;
        response.sha256.iter().map(|digest| wire::digest(digest)).collect()
    }
}

/// Has the upload verified, and waits for the verdict.
async fn verified(core: &Core, preview_id: Uuid, files: u64, progress: Progress<'_>) -> Result<Preview> {
    let request = pb::FinalizePreviewRequest { preview_id: preview_id.to_string() };
    let preview = core.unary::<rpc::FinalizePreview>(request).await.and_then(Preview::from_wire)?;
    if let (PreviewState::Verifying, Some(job_id)) = (preview.state, preview.verify_job_id) {
        let states = Jobs(core.clone()).watch(job_id);
        futures::pin_mut!(states);
        while let Some(job) = states.try_next().await? {
            let done = job.progress.map(|progress| (progress.done, progress.total, progress.bytes));
            let (files_done, files_total, bytes_done) = done.unwrap_or((0, files, 0));
            let phase = PublishPhase::Verifying;
            progress(&PublishProgress { phase, files_done, files_total, bytes_done, bytes_total: 0 });
        }
    }
    settled(core, preview).await
}

/// A preview once its verification shows; the job may be seen to end a moment before.
async fn settled(core: &Core, mut preview: Preview) -> Result<Preview> {
    let previews = super::Previews(core.clone());
    for _ in 0..SETTLE_TRIES {
        match preview.state {
            PreviewState::Ready => return Ok(preview),
            PreviewState::Verifying => {}
            _ => return Err(rejected(&preview)),
        }
        preview = previews.get(preview.id).await?;
        if preview.state == PreviewState::Verifying {
            sleep(SETTLE_INTERVAL).await;
        }
    }
    Err(Error::new(ErrorKind::Timeout))
}

fn rejected(preview: &Preview) -> Error {
    let sentence = match preview.state {
        PreviewState::Failed => {
            let paths = preview.rejected_paths.join(", ");
            format!("Files changed while they were sent, or arrived damaged: {paths}. Publish again.")
        }
        _ => "The preview was ended before it was ready. Publish again.".to_owned(),
    };
    Error::refused(ErrorKind::Conflict, ErrorReason::BundleIncomplete, sentence)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use bytes::Bytes;

    use super::*;
    use crate::previews::MemorySource;

    async fn read(files: &[(&str, &str)]) -> Result<Bundle> {
        let source: MemorySource =
            files.iter().map(|(path, text)| (*path, Bytes::from(text.to_string()))).collect();
        Bundle::read(&source, &PublishOptions::default(), &|_| {}).await
    }

    #[tokio::test]
    async fn a_bundle_is_sorted_and_has_no_secrets() {
        let bundle = read(&[
            ("src/b.js", "same"),
            ("index.html", "<p>"),
            (".env", "SECRET=1"),
            ("notes.txt", &["-----BEGIN RSA ", "PRIVATE KEY-----\nAAAA"].concat()),
            ("a.js", "same"),
        ])
        .await
        .unwrap();
        let paths: Vec<_> = bundle.manifest.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.js", "index.html", "src/b.js"]);
        assert_eq!(bundle.manifest.entry_point, "index.html");
        assert_eq!(
            bundle.stats,
            PublishStats { files: 3, bytes: 11, left_out: 2, ..PublishStats::default() }
        );
        assert_eq!(bundle.by_digest.len(), 2);
    }

    #[tokio::test]
    async fn a_broken_rule_names_the_file() {
        let error = read(&[("a/x", "1"), ("A/x", "2")]).await.err().unwrap();
        assert_eq!(error.reason(), Some(ErrorReason::InvalidManifest));
        assert!(error.to_string().contains("a/x"), "{error}");
        assert!(read(&[("../up", "1")]).await.is_err());
        assert!(read(&[]).await.is_err());
    }
}
