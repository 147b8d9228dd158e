//! The files of a bundle as they were read: what there is, and what stays out.

use std::collections::HashMap;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hivesync_proto::{
    manifest::{BundleManifest, ManifestError},
    v1 as pb,
};
use sha2::{Digest as _, Sha256};

use super::{
    limits,
    publish::{Progress, PublishOptions, PublishPhase, PublishProgress, PublishStats},
    source::{BundleSource, is_excluded, is_private_key},
};
use crate::{
    error::{Error, ErrorKind, ErrorReason, Result},
    wire,
};

/// Files that are hashed at a time.
const HASHES: usize = 4;
/// Files one of which is the entry point if none is named, the first that exists.
const ENTRY_POINTS: [&str; 5] = ["index.html", "public/index.html", "index.js", "package.json", "README.md"];

/// The files as they were read.
pub(super) struct Bundle {
    pub(super) manifest: pb::Manifest,
    pub(super) stats: PublishStats,
    /// A path and the size of each distinct content.
    pub(super) by_digest: HashMap<[u8; 32], (String, u64)>,
}

impl Bundle {
    pub(super) async fn read(
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
    pub(super) fn contents(&self, positions: &[u32]) -> Result<Vec<[u8; 32]>> {
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
            preview_id: None,
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
