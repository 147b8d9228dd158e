//! Where the files of a bundle come from, and which of them stay out of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream, stream::BoxStream};
use ignore::{DirEntry, WalkBuilder};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::{
    error::{Error, Result},
    task,
};

/// The bytes of a file, in pieces.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Bytes read from a file at a time.
const READ_BYTES: usize = 64 * 1024;
/// A walk that finds more files than this ends: no bundle has as many.
const WALK_FILES_MAX: usize = 20_000;

/// Directories that are as large as they are useless in a bundle.
const NEVER_WALKED: [&str; 2] = [".git", "node_modules"];

/// Gives the files of a bundle. Every file is opened twice: to be hashed, and to be sent.
#[async_trait]
pub trait BundleSource: Send + Sync {
    /// The paths of all files, from the root of the bundle, separated by `/`, each once.
    async fn paths(&self) -> Result<Vec<String>>;
    /// The bytes of one of them.
    async fn open(&self, path: &str) -> Result<ByteStream>;
}

/// Files in memory.
#[derive(Clone, Default)]
pub struct MemorySource(BTreeMap<String, Bytes>);

impl<P: Into<String>, B: Into<Bytes>> FromIterator<(P, B)> for MemorySource {
    fn from_iter<I: IntoIterator<Item = (P, B)>>(files: I) -> Self {
        Self(files.into_iter().map(|(path, bytes)| (path.into(), bytes.into())).collect())
    }
}

#[async_trait]
impl BundleSource for MemorySource {
    async fn paths(&self) -> Result<Vec<String>> {
        Ok(self.0.keys().cloned().collect())
    }

    async fn open(&self, path: &str) -> Result<ByteStream> {
        let bytes = self.0.get(path).cloned().ok_or_else(|| changed(path))?;
        Ok(stream::iter([Ok(bytes)]).boxed())
    }
}

/// The files of a directory, without links, `.git` and `node_modules`, and without what its ignore files (`.gitignore`, `.ignore`,
/// `.hivesyncignore`) exclude.
#[derive(Clone, Debug)]
pub struct DirectorySource(PathBuf);

impl DirectorySource {
    /// The files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }
}

#[async_trait]
impl BundleSource for DirectorySource {
    async fn paths(&self) -> Result<Vec<String>> {
        let root = self.0.clone();
        task::blocking(move || walk(&root)).await?
    }

    async fn open(&self, path: &str) -> Result<ByteStream> {
        let (full, shown) = (self.0.join(path), path.to_owned());
        let opened = task::blocking(move || open_plain(&full)).await?;
        let file = opened.ok_or_else(|| changed(path))?;
        let bytes = ReaderStream::with_capacity(File::from_std(file), READ_BYTES);
        Ok(bytes.map_err(move |_| changed(&shown)).boxed())
    }
}

fn walk(root: &Path) -> Result<Vec<String>> {
    if !root.is_dir() {
        return Err(Error::invalid("source", "The source is not a directory."));
    }
    let mut walker = WalkBuilder::new(root);
    walker.hidden(false).follow_links(false).require_git(false).add_custom_ignore_filename(".hivesyncignore");
    walker.filter_entry(|entry| {
        entry.depth() == 0 || !NEVER_WALKED.contains(&&*entry.file_name().to_string_lossy())
    });
    let mut paths = Vec::new();
    for entry in walker.build() {
        let entry = entry
            .map_err(|_| Error::file("A directory of the source cannot be read. Check its permissions."))?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            paths.push(bundle_path(root, &entry)?);
        }
        if paths.len() > WALK_FILES_MAX {
            return Err(Error::invalid(
                "source",
                "The source has too many files. Exclude some by an ignore file.",
            ));
        }
    }
    Ok(paths)
}

fn bundle_path(root: &Path, entry: &DirEntry) -> Result<String> {
    let unreadable =
        || Error::invalid("source", "A file of the source has a name that is not Unicode. Rename it.");
    let relative = entry.path().strip_prefix(root).map_err(|_| Error::internal())?;
    let components: Option<Vec<&str>> = relative.iter().map(|component| component.to_str()).collect();
    components.map(|components| components.join("/")).ok_or_else(unreadable)
}

/// Opens a file that is no link; also not one that took the place of a file a moment ago.
fn open_plain(path: &Path) -> Option<std::fs::File> {
    let seen = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let file = std::fs::File::open(path).ok()?;
    is_same(&seen, &file.metadata().ok()?).then_some(file)
}

#[cfg(unix)]
fn is_same(seen: &std::fs::Metadata, opened: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (seen.dev(), seen.ino()) == (opened.dev(), opened.ino())
}

#[cfg(not(unix))]
fn is_same(seen: &std::fs::Metadata, opened: &std::fs::Metadata) -> bool {
    opened.is_file() && seen.len() == opened.len() && seen.created().ok() == opened.created().ok()
}

fn changed(path: &str) -> Error {
    Error::file(format!("{path} cannot be read any more. Publish again when nothing changes the files."))
}

/// Whether a file stays out of every bundle, whatever its source.
pub(super) fn is_excluded(path: &str) -> bool {
    path.split('/').any(is_excluded_name)
}

fn is_excluded_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    const NAMES: [&str; 11] = [
        ".git",
        "node_modules",
        ".netrc",
        ".npmrc",
        ".pypirc",
        ".pgpass",
        "id_rsa",
        "id_dsa",
        "id_ecdsa",
        "id_ed25519",
        ".ssh",
    ];
    const ENDINGS: [&str; 8] = [".pem", ".key", ".p12", ".pfx", ".p8", ".jks", ".keystore", ".ppk"];
    name.starts_with(".env")
        || NAMES.contains(&name.as_str())
        || ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Whether a file that begins like this holds a private key, whatever it is called.
pub(super) fn is_private_key(head: &[u8]) -> bool {
    let first_line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = first_line.trim_ascii();
    // RFC 7468, 2: a label between dashes.
    let label = line.strip_prefix(b"-----BEGIN ").and_then(|line| line.strip_suffix(b"-----"));
    label.is_some_and(|label| label.ends_with(b"PRIVATE KEY") || label.ends_with(b"PRIVATE KEY BLOCK"))
        || line.starts_with(b"PuTTY-User-Key-File-")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::fs;

    use super::*;

    #[test]
    fn secrets_stay_out_by_name_and_by_content() {
        for out in
            [".env", "a/.env.local", ".git/config", "x/node_modules/y.js", "tls/server.KEY", ".ssh/id_rsa"]
        {
            assert!(is_excluded(out), "{out}");
        }
        for fine in ["index.html", "environment.ts", "src/keys.rs", "a/b.keymap", "id_rsa.pub"] {
            assert!(!is_excluded(fine), "{fine}");
        }
        let begins = |kind: &str| format!("-----BEGIN {kind}-----\r\nAAAA");
        for out in ["PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
            assert!(is_private_key(begins(out).as_bytes()), "{out}");
        }
        assert!(!is_private_key(begins("PUBLIC KEY").as_bytes()));
    }

    #[tokio::test]
    async fn a_directory_gives_its_files_and_nothing_beside_them() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        fs::create_dir_all(root.join("src")).unwrap();
        fs::create_dir_all(root.join("node_modules/dep")).unwrap();
        for (path, text) in [
            ("index.html", "<p>"),
            ("src/app.js", "1"),
            ("src/debug.log", "x"),
            (".gitignore", "*.log\n"),
            (".env", "SECRET=1"),
            ("node_modules/dep/index.js", "2"),
        ] {
            fs::write(root.join(path), text).unwrap();
        }
        #[cfg(unix)]
        std::os::unix::fs::symlink("/etc/passwd", root.join("link")).unwrap();
        let source = DirectorySource::new(root);
        let mut paths = source.paths().await.unwrap();
        paths.retain(|path| !is_excluded(path));
        paths.sort();
        assert_eq!(paths, [".gitignore", "index.html", "src/app.js"]);
        let bytes: Vec<Bytes> = source.open("src/app.js").await.unwrap().try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"1");
        #[cfg(unix)]
        assert!(source.open("link").await.is_err());
    }
}
