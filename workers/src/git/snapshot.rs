//! The branches and tags of a repository at one moment, read strictly from what git prints and writes.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// The most refs that a mirror holds.
pub const REFS_MAX: usize = 20_000;

/// The longest name of a ref, in bytes.
const REF_NAME_BYTES_MAX: usize = 1024;

/// Where branches are.
const BRANCHES: &str = "refs/heads/";

/// Why refs are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// There are more than [`REFS_MAX`].
    #[error("the repository has too many refs")]
    TooMany,
    /// A line is not what git writes, or names something that is not kept.
    #[error("the repository has refs that cannot be read")]
    Malformed,
}

/// Branches and tags, and which branch is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The full name of the default branch; one of `refs`.
    pub head: Option<String>,
    /// Object names (40 hexadecimal digits) by full ref name.
    pub refs: BTreeMap<String, String>,
}

impl Snapshot {
    /// Reads the output of `git ls-remote --symref`. Refs other than branches and tags are left out.
    ///
    /// # Errors
    /// If a line cannot be read, or if there are too many refs.
    pub fn from_ls_remote(output: &[u8]) -> Result<Self, SnapshotError> {
        let text = std::str::from_utf8(output).map_err(|_| SnapshotError::Malformed)?;
        let mut snapshot = Self::default();
        let mut symbolic_head = None;
        let mut head_object = None;
        for line in text.lines() {
            let (object, name) = line.split_once('\t').ok_or(SnapshotError::Malformed)?;
            if let Some(target) = object.strip_prefix("ref: ") {
                if name == "HEAD" {
                    symbolic_head = Some(target.to_owned());
                }
            } else if name == "HEAD" {
                head_object = Some(object.to_owned());
            } else if is_kept(name) && !name.ends_with("^{}") {
                snapshot.insert(name, object)?;
            }
        }
        snapshot.head = snapshot.default_branch(symbolic_head, head_object);
        Ok(snapshot)
    }

    /// Reads a `packed-refs` file (gitrepository-layout(5)) which holds branches and tags only.
    ///
    /// # Errors
    /// If a line cannot be read, or if there are too many refs.
    pub fn from_packed_refs(file: &[u8]) -> Result<Self, SnapshotError> {
        let text = std::str::from_utf8(file).map_err(|_| SnapshotError::Malformed)?;
        let mut snapshot = Self::default();
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            if let Some(peeled) = line.strip_prefix('^') {
                if is_object_name(peeled) {
                    continue;
                }
                return Err(SnapshotError::Malformed);
            }
            let (object, name) = line.split_once(' ').ok_or(SnapshotError::Malformed)?;
            if !is_kept(name) {
                return Err(SnapshotError::Malformed);
            }
            snapshot.insert(name, object)?;
        }
        Ok(snapshot)
    }

    /// The default branch without its prefix, and its commit.
    #[must_use]
    pub fn default_commit(&self) -> Option<(&str, &str)> {
        let head = self.head.as_deref()?;
        Some((head.strip_prefix(BRANCHES)?, self.refs.get(head)?))
    }

    /// A digest of everything above, in hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("HEAD {}\n", self.head.as_deref().unwrap_or_default()));
        for (name, object) in &self.refs {
            hash.update(format!("{object} {name}\n"));
        }
        hexadecimal(&hash.finalize())
    }

    fn insert(&mut self, name: &str, object: &str) -> Result<(), SnapshotError> {
        if self.refs.len() >= REFS_MAX {
            return Err(SnapshotError::TooMany);
        }
        if !is_object_name(object) || !is_ref_name(name) {
            return Err(SnapshotError::Malformed);
        }
        match self.refs.insert(name.to_owned(), object.to_owned()) {
            None => Ok(()),
            Some(_) => Err(SnapshotError::Malformed),
        }
    }

    /// The branch that HEAD names, or, where the server does not say, the first one at HEAD's commit.
    fn default_branch(&self, symbolic: Option<String>, object: Option<String>) -> Option<String> {
        let is_branch = |name: &String| name.starts_with(BRANCHES) && self.refs.contains_key(name);
        match symbolic {
            Some(name) => Some(name).filter(is_branch),
            None => self
                .refs
                .iter()
                .find(|(name, at)| name.starts_with(BRANCHES) && Some(*at) == object.as_ref())
                .map(|(name, _)| name.clone()),
        }
    }
}

fn is_kept(name: &str) -> bool {
    name.starts_with(BRANCHES) || name.starts_with("refs/tags/")
}

fn is_object_name(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The rules of git-check-ref-format(1) that keep a name from being a path or an option elsewhere.
fn is_ref_name(name: &str) -> bool {
    name.len() <= REF_NAME_BYTES_MAX
        && !name.contains("..")
        && !name.contains("@{")
        && !name.chars().any(|character| character.is_control() || " ~^:?*[\\".contains(character))
        && name.split('/').all(|part| {
            !part.is_empty() && !part.starts_with('.') && !part.ends_with('.') && !part.ends_with(".lock")
        })
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{REFS_MAX, Snapshot, SnapshotError};

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn reads_branches_tags_and_the_default() {
        let output = format!(
            "ref: refs/heads/trunk\tHEAD\n{A}\tHEAD\n{A}\trefs/heads/trunk\n{B}\trefs/pull/1/head\n{B}\trefs/tags/v1\n{A}\trefs/tags/v1^{{}}\n"
        );
        let snapshot = Snapshot::from_ls_remote(output.as_bytes()).unwrap();
        assert_eq!(snapshot.default_commit(), Some(("trunk", A)));
        assert_eq!(snapshot.refs.keys().collect::<Vec<_>>(), ["refs/heads/trunk", "refs/tags/v1"]);
        let packed = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{A} refs/heads/trunk\n{B} refs/tags/v1\n^{A}\n"
        );
        assert_eq!(Snapshot::from_packed_refs(packed.as_bytes()).unwrap().refs, snapshot.refs);
    }

    #[test]
    fn finds_a_default_for_a_detached_head() {
        let output = format!("{B}\tHEAD\n{A}\trefs/heads/a\n{B}\trefs/heads/b\n");
        let snapshot = Snapshot::from_ls_remote(output.as_bytes()).unwrap();
        assert_eq!(snapshot.default_commit(), Some(("b", B)));
    }

    #[test]
    fn has_no_default_if_head_names_no_kept_branch() {
        for target in ["refs/heads/unborn", "refs/tags/v1", "refs/heads/../../x"] {
            let output = format!("ref: {target}\tHEAD\n{A}\trefs/tags/v1\n");
            assert_eq!(Snapshot::from_ls_remote(output.as_bytes()).unwrap().head, None, "{target}");
        }
    }

    #[test]
    fn refuses_lines_that_git_does_not_write() {
        for output in [
            "nonsense\n".to_owned(),
            "abc\trefs/heads/a\n".to_owned(),
            format!("{A}\trefs/heads/a..b\n"),
            format!("{A}\trefs/heads/.a\n"),
            format!("{A}\trefs/heads/a.lock\n"),
            format!("{A}\trefs/heads/a b\n"),
            format!("{A}\trefs/heads/a\u{1b}[2J\n"),
            format!("{A}\trefs/heads//a\n"),
            format!("{A}\trefs/heads/a\n{B}\trefs/heads/a\n"),
            format!("{A}\trefs/heads/{}\n", "a".repeat(1024)),
        ] {
            assert_eq!(
                Snapshot::from_ls_remote(output.as_bytes()),
                Err(SnapshotError::Malformed),
                "{output:?}"
            );
        }
        assert_eq!(Snapshot::from_ls_remote(b"\xff\t\n"), Err(SnapshotError::Malformed));
        let packed = format!("{A} refs/pull/1/head\n");
        assert_eq!(Snapshot::from_packed_refs(packed.as_bytes()), Err(SnapshotError::Malformed));
    }

    #[test]
    fn refuses_too_many_refs() {
        let output: String = (0..=REFS_MAX).map(|n| format!("{A}\trefs/heads/b{n}\n")).collect();
        assert_eq!(Snapshot::from_ls_remote(output.as_bytes()), Err(SnapshotError::TooMany));
    }

    #[test]
    fn changes_its_digest_with_every_part() {
        let read = |output: String| Snapshot::from_ls_remote(output.as_bytes()).unwrap().digest();
        let base = read(format!("ref: refs/heads/a\tHEAD\n{A}\trefs/heads/a\n{A}\trefs/heads/b\n"));
        assert_ne!(base, read(format!("ref: refs/heads/b\tHEAD\n{A}\trefs/heads/a\n{A}\trefs/heads/b\n")));
        assert_ne!(base, read(format!("ref: refs/heads/a\tHEAD\n{A}\trefs/heads/a\n{B}\trefs/heads/b\n")));
        assert_ne!(base, read(format!("ref: refs/heads/a\tHEAD\n{A}\trefs/heads/a\n")));
    }
}
