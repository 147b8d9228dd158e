//! Bundle manifests, right ones and wrong ones.

use hivesync_proto::v1::{Manifest, ManifestFile, Platform};
use sha2::{Digest as _, Sha256};

/// The digest of a content.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

/// The entry of one file.
#[must_use]
pub fn file(path: &str, bytes: &[u8]) -> ManifestFile {
    ManifestFile {
        path: path.to_owned(),
        size: u64::try_from(bytes.len()).expect("it fits"),
        sha256: sha256(bytes),
    }
}

/// A manifest of these files, in their order, that starts with the first.
#[must_use]
pub fn manifest(files: Vec<ManifestFile>) -> Manifest {
    Manifest {
        entry_point: files.first().map(|file| file.path.clone()).unwrap_or_default(),
        files,
        platform: Platform::Ios.into(),
        runtime_version: "1".to_owned(),
    }
}
