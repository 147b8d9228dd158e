//! Opening: fetch the files of a preview and trust none of them unchecked.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use hivesync_proto::{
    manifest::{BundleFile, BundleManifest},
    v1 as pb,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;
use tokio::{fs::File, io::AsyncWriteExt as _};

use super::{
    BATCH, PreviewToken, ROUNDS, TRANSFERS, limits, pause_after,
    staging::{Staging, unwritable},
    transfer::Presigned,
};
use crate::{
    api::{auth::Platform, rpc},
    core::Core,
    entropy,
    error::{Error, ErrorKind, ErrorReason, Result},
    operation::Operation,
    wire,
};

/// A file of a preview.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewFile {
    /// Its path from the root of the bundle, by the rules of repository paths.
    pub path: String,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// How far a download is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenProgress {
    /// Distinct contents that arrived and were verified.
    pub files_done: u64,
    /// Distinct contents in all.
    pub files_total: u64,
    /// Bytes that arrived and were verified.
    pub bytes_done: u64,
    /// Bytes of all distinct contents.
    pub bytes_total: u64,
}

/// What a download brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenStats {
    /// Files that were written.
    pub files: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Bytes that were downloaded; each distinct content once.
    pub downloaded_bytes: u64,
}

/// An opened preview.
pub struct OpenPreview {
    core: Core,
    token: PreviewToken,
    manifest: BundleManifest,
    expires_at: OffsetDateTime,
}

type Progress<'a> = &'a (dyn Fn(&OpenProgress) + Send + Sync);

impl OpenPreview {
    pub(super) async fn resolve(core: Core, token: PreviewToken) -> Result<Self> {
        let request = pb::ResolvePreviewRequest { token: token.expose().to_owned() };
        let response = core.unary::<rpc::ResolvePreview>(request).await?;
        let manifest = response.manifest.ok_or_else(wire::broken)?;
        // The same rules as on the way in: a server that was broken into writes no file where it likes.
        let manifest = BundleManifest::parse(&manifest, &limits()).map_err(|_| wire::broken())?;
        Ok(Self { core, token, manifest, expires_at: wire::time(response.expires_at)? })
    }

    /// The files, in ascending byte order of their paths.
    pub fn files(&self) -> Vec<PreviewFile> {
        let file = |file: &BundleFile| PreviewFile {
            path: file.path.as_str().to_owned(),
            size: file.size,
            sha256: file.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        self.manifest.files().iter().map(file).collect()
    }

    /// The file to start with; one of [`files`](Self::files).
    pub fn entry_point(&self) -> &str {
        self.manifest.entry_point().as_str()
    }

    /// What the bundle is for.
    pub fn platform(&self) -> Platform {
        Platform::from_wire(self.manifest.platform() as i32)
    }

    /// The version of the runtime that the bundle needs; empty if any will do.
    pub fn runtime_version(&self) -> &str {
        self.manifest.runtime_version()
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.manifest.total_bytes()
    }

    /// When the preview stops being openable.
    pub fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }

    /// Fetches one file into memory and verifies it.
    pub async fn read(&self, path: &str) -> Result<Bytes> {
        let file = self.manifest.files().iter().find(|file| file.path.as_str() == path);
        let file =
            file.ok_or_else(|| Error::invalid("path", format!("{path} is not a file of the preview.")))?;
        let request = self.presign(&[file.sha256]).await?.pop().ok_or_else(wire::broken)?;
        let mut chunks = Checked::new(request.get(self.core.http()).await?, file);
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Fetches all files, verifies each, and puts them into a new directory `target`, which appears only
    /// when everything is right. `progress` is told often, and must not block.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` if `target` exists and is not an empty directory; `Conflict` with the reason
    /// `BundleIncomplete` if a file is not what the manifest says. Nothing is left behind then.
    pub async fn save_to(&self, target: impl AsRef<Path>, progress: Progress<'_>) -> Result<OpenStats> {
        let staging = Staging::create(target.as_ref())?;
        let downloaded_bytes = self.download(staging.path(), progress).await?;
        let files = self.manifest.files().len() as u64;
        staging.publish().await?;
        Ok(OpenStats { files, bytes: self.manifest.total_bytes(), downloaded_bytes })
    }

    /// As [`save_to`](Self::save_to), beside the caller. Must be called within a tokio runtime.
    pub fn start_save_to(self: Arc<Self>, target: impl Into<PathBuf>) -> Operation<OpenProgress, OpenStats> {
        let target = target.into();
        Operation::start(|reporter| async move {
            self.save_to(target, &|progress: &OpenProgress| reporter.report(*progress)).await
        })
    }

    /// Fetches each distinct content once; addresses that ran out meanwhile are asked for again.
    async fn download(&self, root: &Path, progress: Progress<'_>) -> Result<u64> {
        let mut by_digest: BTreeMap<[u8; 32], Vec<&BundleFile>> = BTreeMap::new();
        for file in self.manifest.files() {
            by_digest.entry(file.sha256).or_default().push(file);
        }
        let contents = by_digest.values().filter_map(|files| files.first());
        let meter = Meter::new(by_digest.len() as u64, contents.map(|file| file.size).sum(), progress);
        for round in 1..=ROUNDS {
            let wanted: Vec<[u8; 32]> = by_digest.keys().copied().collect();
            let mut failure = None;
            for batch in wanted.chunks(BATCH) {
                let fetches = self.presign(batch).await?.into_iter().map(|request| {
                    let (digest, files) =
                        (request.sha256, by_digest.get(&request.sha256).cloned().unwrap_or_default());
                    let meter = &meter;
                    async move { (digest, self.fetch(request, &files, root, meter).await) }
                });
                let outcomes: Vec<_> = stream::iter(fetches).buffer_unordered(TRANSFERS).collect().await;
                for (digest, outcome) in outcomes {
                    match outcome {
                        Ok(()) => drop(by_digest.remove(&digest)),
                        Err(error) if error.is_transient() => failure = Some(error),
                        Err(error) => return Err(error),
                    }
                }
            }
            match failure {
                Some(error) if round == ROUNDS => return Err(error),
                Some(_) => pause_after(round).await,
                None => break,
            }
        }
        if by_digest.is_empty() { Ok(meter.bytes_done.into_inner()) } else { Err(wire::broken()) }
    }

    async fn presign(&self, digests: &[[u8; 32]]) -> Result<Vec<Presigned>> {
        let request = pb::RequestDownloadsRequest {
            token: self.token.expose().to_owned(),
            sha256: digests.iter().map(|digest| digest.to_vec()).collect(),
        };
        let response = self.core.unary::<rpc::RequestDownloads>(request).await?;
        let is_local = self.core.is_local();
        response.downloads.into_iter().map(|request| Presigned::from_wire(request, is_local)).collect()
    }

    /// Fetches one content and writes it to every path that has it.
    async fn fetch(
        &self,
        request: Presigned,
        files: &[&BundleFile],
        root: &Path,
        meter: &Meter<'_>,
    ) -> Result<()> {
        let Some((first, copies)) = files.split_first() else { return Ok(()) };
        let path = prepare(root, first)?;
        let chunks = Checked::new(request.get(self.core.http()).await?, first);
        let partial = root.join(format!(".partial-{}", entropy::id()));
        if let Err(error) = receive(chunks, &partial).await {
            // The next round begins anew, and what is left in the directory becomes part of the target.
            let _ = fs::remove_file(&partial);
            return Err(error);
        }
        fs::rename(&partial, &path).map_err(unwritable)?;
        for copy in copies {
            let copied = prepare(root, copy)?;
            tokio::fs::copy(&path, &copied).await.map_err(unwritable)?;
            let file = File::options().write(true).open(&copied).await.map_err(unwritable)?;
            file.sync_all().await.map_err(unwritable)?;
        }
        meter.add(first.size);
        Ok(())
    }
}

/// Writes what arrives to a new file; it is whole, right and on the disk if there is no error.
async fn receive<S>(mut chunks: Checked<'_, S>, path: &Path) -> Result<()>
where
    S: Stream<Item = Result<Bytes>> + Unpin,
{
    let mut file = File::create_new(path).await.map_err(unwritable)?;
    while let Some(chunk) = chunks.next().await? {
        file.write_all(&chunk).await.map_err(unwritable)?;
    }
    file.flush().await.map_err(unwritable)?;
    file.sync_all().await.map_err(unwritable)
}

/// The place of a file below `root`, with the directories above it. `root` is ours alone, and the rules of
/// the manifest let no path leave it.
fn prepare(root: &Path, file: &BundleFile) -> Result<PathBuf> {
    let path = file.path.components().fold(root.to_owned(), |path, component| path.join(component));
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).map_err(unwritable)?;
    }
    Ok(path)
}

/// Counts what was verified.
struct Meter<'a> {
    files_done: AtomicU64,
    files_total: u64,
    bytes_done: AtomicU64,
    bytes_total: u64,
    progress: Progress<'a>,
}

impl<'a> Meter<'a> {
    fn new(files_total: u64, bytes_total: u64, progress: Progress<'a>) -> Self {
        Self {
            files_done: AtomicU64::new(0),
            files_total,
            bytes_done: AtomicU64::new(0),
            bytes_total,
            progress,
        }
    }

    fn add(&self, bytes: u64) {
        let files_done = self.files_done.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes_done = self.bytes_done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let (files_total, bytes_total) = (self.files_total, self.bytes_total);
        (self.progress)(&OpenProgress { files_done, files_total, bytes_done, bytes_total });
    }
}

/// The bytes of a file, checked against the manifest: an error comes in place of the end, or as soon as
/// there are too many.
struct Checked<'a, S> {
    bytes: S,
    file: &'a BundleFile,
    digest: Sha256,
    size: u64,
}

impl<'a, S: Stream<Item = Result<Bytes>> + Unpin> Checked<'a, S> {
    fn new(bytes: S, file: &'a BundleFile) -> Self {
        Self { bytes, file, digest: Sha256::new(), size: 0 }
    }

    async fn next(&mut self) -> Result<Option<Bytes>> {
        let Some(chunk) = self.bytes.try_next().await? else {
            let whole = self.size == self.file.size;
            let digest: [u8; 32] = self.digest.clone().finalize().into();
            return if whole && digest == self.file.sha256 { Ok(None) } else { Err(self.lie()) };
        };
        self.size = self.size.saturating_add(chunk.len() as u64);
        if self.size > self.file.size {
            return Err(self.lie());
        }
        self.digest.update(&chunk);
        Ok(Some(chunk))
    }

    fn lie(&self) -> Error {
        let sentence =
            format!("{} is not what was published. Ask for a new preview.", self.file.path.as_str());
        Error::refused(ErrorKind::Conflict, ErrorReason::BundleIncomplete, sentence)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use hivesync_proto::path::RepositoryPath;

    use super::*;

    fn file_of(text: &str) -> BundleFile {
        let sha256 = Sha256::digest(text).into();
        BundleFile { path: RepositoryPath::parse("a.txt").unwrap(), size: text.len() as u64, sha256 }
    }

    async fn receive(expected: &str, sent: &'static [&'static str]) -> Result<String> {
        let file = file_of(expected);
        let mut chunks = Checked::new(
            stream::iter(sent.iter().map(|text| Ok(Bytes::from_static(text.as_bytes())))),
            &file,
        );
        let mut all = Vec::new();
        while let Some(chunk) = chunks.next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(all).unwrap())
    }

    #[tokio::test]
    async fn only_the_very_bytes_pass() {
        assert_eq!(receive("hello", &["he", "llo"]).await.unwrap(), "hello");
        for lie in [&["he", "llx"] as &[&str], &["hell"], &["hello", "!"], &[]] {
            let error = receive("hello", lie).await.unwrap_err();
            assert_eq!(error.reason(), Some(ErrorReason::BundleIncomplete));
        }
    }
}
