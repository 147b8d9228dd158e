//! The manifest of a preview bundle: which files it has, judged before anything is uploaded.

use std::collections::HashMap;

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::{
    path::{PathError, RepositoryPath, fold},
    v1,
};

/// Separates the digest of a manifest from every other digest.
const DIGEST_DOMAIN: &str = "hivesync-manifest-v1";
/// As in the contract.
const RUNTIME_VERSION_CHARS_MAX: usize = 64;

/// How large a bundle may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleLimits {
    /// Files in the bundle.
    pub files_max: usize,
    /// Bytes of one file.
    pub file_bytes_max: u64,
    /// Bytes of all files together, each counted as often as it is named.
    pub total_bytes_max: u64,
    /// Bytes of the manifest itself, in the encoding of the contract.
    pub manifest_bytes_max: usize,
}

impl Default for BundleLimits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        Self {
            files_max: 5_000,
            file_bytes_max: 50 * MIB,
            total_bytes_max: 50 * MIB,
            manifest_bytes_max: 2 * 1024 * 1024,
        }
    }
}

/// One file of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleFile {
    /// Where it is in the bundle.
    pub path: RepositoryPath,
    /// Its bytes.
    pub size: u64,
    /// The SHA-256 of its bytes.
    pub sha256: [u8; 32],
}

/// A manifest that keeps every rule: its files can be written beneath one directory on any system, and
/// none of them hides another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleManifest {
    files: Vec<BundleFile>,
    entry_point: RepositoryPath,
    platform: v1::Platform,
    runtime_version: String,
    total_bytes: u64,
}

impl BundleManifest {
    /// Takes a manifest that keeps every rule, unchanged.
    ///
    /// # Errors
    /// The first rule that the manifest breaks, and where.
    pub fn parse(manifest: &v1::Manifest, limits: &BundleLimits) -> Result<Self, ManifestError> {
        if manifest.files.is_empty() {
            return Err(ManifestError::Empty);
        }
        if manifest.files.len() > limits.files_max {
            return Err(ManifestError::TooManyFiles);
        }
        if manifest.encoded_len() > limits.manifest_bytes_max {
            return Err(ManifestError::ManifestTooLarge);
        }
        let files = parse_files(&manifest.files, limits)?;
        let total_bytes = total_bytes(&files, limits)?;
        check_order(&files)?;
        check_collisions(&files)?;
        check_contents(&files)?;

        let entry_point = RepositoryPath::parse(&manifest.entry_point).map_err(ManifestError::EntryPoint)?;
        if files.binary_search_by(|file| file.path.cmp(&entry_point)).is_err() {
            return Err(ManifestError::EntryPointMissing);
        }
        let platform = v1::Platform::try_from(manifest.platform)
            .ok()
            .filter(|platform| *platform != v1::Platform::Unspecified)
            .ok_or(ManifestError::Platform)?;
        let runtime_version = manifest.runtime_version.clone();
        if runtime_version.chars().count() > RUNTIME_VERSION_CHARS_MAX
            || !runtime_version.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(ManifestError::RuntimeVersion);
        }
        Ok(Self { files, entry_point, platform, runtime_version, total_bytes })
    }

    /// The files, in ascending byte order of their paths; at least one.
    pub fn files(&self) -> &[BundleFile] {
        &self.files
    }

    /// The file to start with; one of [`files`](Self::files).
    pub fn entry_point(&self) -> &RepositoryPath {
        &self.entry_point
    }

    /// What the bundle is for; never unspecified.
    pub fn platform(&self) -> v1::Platform {
        self.platform
    }

    /// The version of the runtime that the bundle needs; empty if any will do.
    pub fn runtime_version(&self) -> &str {
        &self.runtime_version
    }

    /// Bytes of all files together.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The SHA-256 that identifies the manifest: over the domain, the head and each file in order, every
    /// text with its length before it, every number as eight big-endian bytes.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        put_text(&mut hash, DIGEST_DOMAIN);
        put_number(&mut hash, u64::from((self.platform as i32).unsigned_abs()));
        put_text(&mut hash, &self.runtime_version);
        put_text(&mut hash, self.entry_point.as_str());
        put_number(&mut hash, self.files.len() as u64);
        for file in &self.files {
            put_text(&mut hash, file.path.as_str());
            put_number(&mut hash, file.size);
            hash.update(file.sha256);
        }
        hash.finalize().into()
    }
}

/// The rule that a manifest breaks, with the position of the file that breaks it. The text is public and
/// repeats neither path nor digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It has no files.
    #[error("a manifest must name at least one file")]
    Empty,
    /// It has more files than [`BundleLimits::files_max`].
    #[error("the manifest names too many files")]
    TooManyFiles,
    /// It is larger than [`BundleLimits::manifest_bytes_max`].
    #[error("the manifest itself is too large")]
    ManifestTooLarge,
    /// The path of a file breaks a rule of paths.
    #[error("{1}")]
    Path(usize, PathError),
    /// The digest of a file is not 32 bytes.
    #[error("a digest must have 32 bytes")]
    Digest(usize),
    /// A file is larger than [`BundleLimits::file_bytes_max`].
    #[error("the file is too large")]
    FileTooLarge(usize),
    /// The files together are larger than [`BundleLimits::total_bytes_max`], from this file on.
    #[error("the bundle is too large")]
    BundleTooLarge(usize),
    /// A path sorts before the one that precedes it.
    #[error("paths must be in ascending byte order")]
    Unordered(usize),
    /// A path is the one that precedes it.
    #[error("a path must not occur twice")]
    Duplicate(usize),
    /// A path, or a directory on it, differs from an earlier one only in case or Unicode form.
    #[error("paths must differ in more than case or Unicode form")]
    Collision(usize),
    /// A path is both a file and a directory.
    #[error("a file must not also be a directory")]
    FileIsDirectory(usize),
    /// A digest occurs before with another size.
    #[error("files with one digest must have one size")]
    InconsistentSize(usize),
    /// The entry point breaks a rule of paths.
    #[error("{0}")]
    EntryPoint(PathError),
    /// The entry point is not among the files.
    #[error("the entry point must be one of the files")]
    EntryPointMissing,
    /// The platform is missing or unknown.
    #[error("a platform must be named")]
    Platform,
    /// The runtime version is too long or not plain ASCII.
    #[error(
        "a runtime version has at most {RUNTIME_VERSION_CHARS_MAX} printable ASCII characters and no spaces"
    )]
    RuntimeVersion,
}

impl ManifestError {
    /// The offending field, relative to the manifest, such as `files[3].path`.
    pub fn field(&self) -> String {
        match self {
            Self::Empty | Self::TooManyFiles | Self::ManifestTooLarge => "files".to_owned(),
            Self::Path(index, _)
            | Self::Unordered(index)
            | Self::Duplicate(index)
            | Self::Collision(index)
            | Self::FileIsDirectory(index) => format!("files[{index}].path"),
            Self::Digest(index) => format!("files[{index}].sha256"),
            Self::FileTooLarge(index) | Self::BundleTooLarge(index) | Self::InconsistentSize(index) => {
                format!("files[{index}].size")
            }
            Self::EntryPoint(_) | Self::EntryPointMissing => "entry_point".to_owned(),
            Self::Platform => "platform".to_owned(),
            Self::RuntimeVersion => "runtime_version".to_owned(),
        }
    }

    /// Whether the bundle is over a limit, as opposed to wrong.
    pub fn is_over_limit(&self) -> bool {
        matches!(
            self,
            Self::TooManyFiles | Self::ManifestTooLarge | Self::FileTooLarge(_) | Self::BundleTooLarge(_)
        )
    }
}

fn parse_files(files: &[v1::ManifestFile], limits: &BundleLimits) -> Result<Vec<BundleFile>, ManifestError> {
    let parse = |(index, file): (usize, &v1::ManifestFile)| {
        let path = RepositoryPath::parse(&file.path).map_err(|error| ManifestError::Path(index, error))?;
        let sha256 = file.sha256.as_slice().try_into().map_err(|_| ManifestError::Digest(index))?;
        if file.size > limits.file_bytes_max {
            return Err(ManifestError::FileTooLarge(index));
        }
        Ok(BundleFile { path, size: file.size, sha256 })
    };
    files.iter().enumerate().map(parse).collect()
}

fn total_bytes(files: &[BundleFile], limits: &BundleLimits) -> Result<u64, ManifestError> {
    files.iter().enumerate().try_fold(0_u64, |total, (index, file)| {
        total
            .checked_add(file.size)
            .filter(|total| *total <= limits.total_bytes_max)
            .ok_or(ManifestError::BundleTooLarge(index))
    })
}

fn check_order(files: &[BundleFile]) -> Result<(), ManifestError> {
    for (index, pair) in files.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        match before.path.cmp(&after.path) {
            std::cmp::Ordering::Less => {}
            std::cmp::Ordering::Equal => return Err(ManifestError::Duplicate(index + 1)),
            std::cmp::Ordering::Greater => return Err(ManifestError::Unordered(index + 1)),
        }
    }
    Ok(())
}

/// A name in the tree that the files make up when names are folded.
struct Node<'a> {
    id: usize,
    /// The name as it was first spelled.
    spelling: &'a str,
    is_file: bool,
}

/// Builds the tree as a file system that folds names would, and fails where it would confuse two of them.
fn check_collisions(files: &[BundleFile]) -> Result<(), ManifestError> {
    const ROOT: usize = 0;
    let mut tree: HashMap<(usize, String), Node<'_>> = HashMap::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        let mut parent = ROOT;
        let mut names = file.path.components().peekable();
        while let Some(name) = names.next() {
            let is_file = names.peek().is_none();
            let id = tree.len() + 1;
            let node = tree.entry((parent, fold(name))).or_insert(Node { id, spelling: name, is_file });
            if node.is_file != is_file {
                return Err(ManifestError::FileIsDirectory(index));
            }
            if node.id != id && (is_file || node.spelling != name) {
                return Err(ManifestError::Collision(index));
            }
            parent = node.id;
        }
    }
    Ok(())
}

/// Content is stored by its digest: a digest with two sizes lies about one of them.
fn check_contents(files: &[BundleFile]) -> Result<(), ManifestError> {
    let mut sizes: HashMap<&[u8; 32], u64> = HashMap::with_capacity(files.len());
    for (index, file) in files.iter().enumerate() {
        if *sizes.entry(&file.sha256).or_insert(file.size) != file.size {
            return Err(ManifestError::InconsistentSize(index));
        }
    }
    Ok(())
}

fn put_number(hash: &mut Sha256, number: u64) {
    hash.update(number.to_be_bytes());
}

fn put_text(hash: &mut Sha256, text: &str) {
    put_number(hash, text.len() as u64);
    hash.update(text);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    type Change = fn(&mut v1::Manifest);

    fn manifest(paths: &[&str]) -> v1::Manifest {
        let file = |path: &&str| v1::ManifestFile {
            path: (*path).to_owned(),
            size: path.len() as u64,
            sha256: Sha256::digest(path).to_vec(),
        };
        v1::Manifest {
            files: paths.iter().map(file).collect(),
            entry_point: paths.first().copied().unwrap_or_default().to_owned(),
            platform: v1::Platform::Ios.into(),
            runtime_version: "1.2.3".to_owned(),
        }
    }

    fn parse(manifest: &v1::Manifest) -> Result<BundleManifest, ManifestError> {
        BundleManifest::parse(manifest, &BundleLimits::default())
    }

    #[test]
    fn takes_a_bundle() {
        let proto = manifest(&["app/index.html", "app/style.css", "app.json", "b"]);
        let mut sorted = proto.clone();
        sorted.files.sort_by(|a, b| a.path.cmp(&b.path));
        let parsed = parse(&sorted).unwrap();
        let taken = parsed.files().iter().map(|file| (file.path.as_str(), file.size, &file.sha256[..]));
        let given = sorted.files.iter().map(|file| (file.path.as_str(), file.size, &file.sha256[..]));
        assert!(taken.eq(given));
        assert_eq!(parsed.entry_point().as_str(), "app/index.html");
        assert_eq!(parsed.platform(), v1::Platform::Ios);
        assert_eq!(parsed.runtime_version(), "1.2.3");
        assert_eq!(parsed.total_bytes(), sorted.files.iter().map(|file| file.size).sum::<u64>());
    }

    #[test]
    fn refuses_confusing_paths_where_they_are() {
        use ManifestError::*;
        let table: &[(&[&str], ManifestError)] = &[
            (&[], Empty),
            (&["a", "../b"], Path(1, PathError::DotComponent)),
            (&["a", "b/../c"], Path(1, PathError::DotComponent)),
            (&["a", "a"], Duplicate(1)),
            (&["b", "a"], Unordered(1)),
            (&["README", "b", "readme"], Collision(2)),
            (&["Straße", "strasse"], Collision(1)),
            (&["fi", "ﬁ"], Collision(1)),
            (&["Src/a", "src/b"], Collision(1)),
            (&["a", "a/b"], FileIsDirectory(1)),
            (&["A/b", "a"], FileIsDirectory(1)),
            (&["a", "a.txt", "a/b/c"], FileIsDirectory(2)),
            (&["a", "b/.git/config"], Path(1, PathError::GitDirectory)),
        ];
        for (paths, error) in table {
            assert_eq!(parse(&manifest(paths)).err(), Some(*error), "{paths:?}");
        }
    }

    #[test]
    fn holds_the_limits_to_the_byte() {
        let limits =
            BundleLimits { files_max: 2, file_bytes_max: 10, total_bytes_max: 15, manifest_bytes_max: 1_000 };
        let sized = |sizes: &[u64]| {
            let mut proto = manifest(&["a", "b", "c"]);
            proto.files.truncate(sizes.len());
            proto.files.iter_mut().zip(sizes).for_each(|(file, size)| file.size = *size);
            BundleManifest::parse(&proto, &limits).map(|manifest| manifest.total_bytes())
        };
        assert_eq!(sized(&[10, 5]), Ok(15));
        assert_eq!(sized(&[10, 6]), Err(ManifestError::BundleTooLarge(1)));
        assert_eq!(sized(&[11]), Err(ManifestError::FileTooLarge(0)));
        assert_eq!(sized(&[1, 1, 1]), Err(ManifestError::TooManyFiles));

        let unbounded = BundleLimits { file_bytes_max: u64::MAX, total_bytes_max: u64::MAX, ..limits };
        let mut proto = manifest(&["a", "b"]);
        proto.files.iter_mut().for_each(|file| file.size = u64::MAX);
        assert_eq!(BundleManifest::parse(&proto, &unbounded).err(), Some(ManifestError::BundleTooLarge(1)));

        let exact = BundleLimits { manifest_bytes_max: manifest(&["a"]).encoded_len(), ..limits };
        assert!(BundleManifest::parse(&manifest(&["a"]), &exact).is_ok());
        let short = BundleLimits { manifest_bytes_max: exact.manifest_bytes_max - 1, ..limits };
        assert_eq!(
            BundleManifest::parse(&manifest(&["a"]), &short).err(),
            Some(ManifestError::ManifestTooLarge)
        );
    }

    #[test]
    fn takes_5000_files_and_not_one_more() {
        let paths: Vec<String> =
            (0..5_001).map(|index| format!("dir{:02}/file{index:04}", index / 100)).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        assert!(parse(&manifest(&paths[..5_000])).is_ok());
        assert_eq!(parse(&manifest(&paths)).err(), Some(ManifestError::TooManyFiles));
    }

    #[test]
    fn refuses_wrong_digests_and_heads() {
        let broken = |change: Change| {
            let mut proto = manifest(&["a", "b"]);
            change(&mut proto);
            let error = parse(&proto).unwrap_err();
            (error.field(), error)
        };
        let table: [(Change, &str, ManifestError); 7] = [
            (|m| m.files[1].sha256 = vec![0; 31], "files[1].sha256", ManifestError::Digest(1)),
            (|m| m.entry_point = "c".to_owned(), "entry_point", ManifestError::EntryPointMissing),
            (
                |m| m.entry_point = "/a".to_owned(),
                "entry_point",
                ManifestError::EntryPoint(PathError::Absolute),
            ),
            (|m| m.platform = 0, "platform", ManifestError::Platform),
            (|m| m.platform = 99, "platform", ManifestError::Platform),
            (|m| m.runtime_version = "1 2".to_owned(), "runtime_version", ManifestError::RuntimeVersion),
            (|m| m.runtime_version = "1".repeat(65), "runtime_version", ManifestError::RuntimeVersion),
        ];
        for (change, field, error) in table {
            assert_eq!(broken(change), (field.to_owned(), error));
        }
        let lie = |m: &mut v1::Manifest| {
            m.files[1].sha256 = m.files[0].sha256.clone();
            m.files[1].size += 1;
        };
        assert_eq!(broken(lie), ("files[1].size".to_owned(), ManifestError::InconsistentSize(1)));
    }

    #[test]
    fn digests_what_it_holds_and_nothing_else() {
        let base = parse(&manifest(&["a", "b"])).unwrap().digest();
        assert_eq!(parse(&manifest(&["a", "b"])).unwrap().digest(), base);
        let changes: [Change; 7] = [
            |m| m.files[1].path = "c".to_owned(),
            |m| m.files[1].size += 1,
            |m| m.files[1].sha256[0] ^= 1,
            |m| m.entry_point = "b".to_owned(),
            |m| m.platform = v1::Platform::Android.into(),
            |m| m.runtime_version.push('4'),
            |m| m.files.truncate(1),
        ];
        let mut digests = vec![base];
        for change in changes {
            let mut proto = manifest(&["a", "b"]);
            change(&mut proto);
            digests.push(parse(&proto).unwrap().digest());
        }
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), changes.len() + 1);
    }
}
