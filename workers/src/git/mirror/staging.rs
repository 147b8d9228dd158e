//! The repository that a sync fetches into, before anything of it counts.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::entropy;

use super::{
    super::{
        pack, record,
        snapshot::{Snapshot, SnapshotError},
    },
    MirrorError, disk, layout,
};

const PACKED_REFS: &str = "packed-refs";

/// The header of an empty `packed-refs`.
const NO_REFS: &str = "# pack-refs with: peeled fully-peeled sorted \n";

/// The largest `packed-refs` that is read: 20,000 refs with the longest names.
const PACKED_REFS_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The files of a pack in the order in which they become visible: git opens a pack by its index.
const PACK_EXTENSIONS: [&str; 3] = ["pack", "rev", "idx"];

/// A repository beside a mirror; removed with the value.
#[derive(Debug)]
pub struct Staging {
    git_dir: PathBuf,
    alternate: Option<PathBuf>,
}

impl Staging {
    /// A repository that stands on the objects of a mirror, and has its refs: by them git tells the other side what is
    /// here already.
    pub(super) fn upon(dir: &Path, mirror: &Path) -> io::Result<Self> {
        let mut staging = Self::empty(dir)?;
        staging.alternate = Some(mirror.join("objects"));
        match fs::copy(mirror.join(PACKED_REFS), staging.git_dir.join(PACKED_REFS)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(staging),
        }
    }

    pub(super) fn empty(dir: &Path) -> io::Result<Self> {
        let git_dir = dir.join(format!("staging-{}", entropy::uuid()));
        layout::create(&git_dir)?;
        Ok(Self { git_dir, alternate: None })
    }

    /// Where git finds the objects that are here already; nowhere, if everything is to be fetched.
    #[must_use]
    pub fn alternate(&self) -> Option<&Path> {
        self.alternate.as_deref()
    }

    /// The bare repository.
    #[must_use]
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// The refs, once `git pack-refs --all` has packed them.
    ///
    /// # Errors
    /// If a ref is not a branch or a tag, if there are too many, or if the disk fails.
    pub fn refs(&self) -> Result<Snapshot, MirrorError> {
        let file = match disk::open_beneath(&self.git_dir, PACKED_REFS, false) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                disk::write_atomically(&self.git_dir, PACKED_REFS, NO_REFS.as_bytes())?;
                return Ok(Snapshot::default());
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = disk::read_capped(file, PACKED_REFS_BYTES_MAX).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => MirrorError::Refs(SnapshotError::TooMany),
            _ => error.into(),
        })?;
        Ok(Snapshot::from_packed_refs(&bytes)?)
    }

    /// The bytes of all its files.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn bytes(&self) -> io::Result<u64> {
        disk::size_bytes(&self.git_dir)
    }

    /// The bytes of everything that was received, also of a pack that is not finished.
    ///
    /// # Errors
    /// If the disk fails.
    pub fn packs_bytes(&self) -> io::Result<u64> {
        disk::size_bytes(&self.packs())
    }

    /// Makes sure that what was received is one pack at most, that git checked it by the `record` of the fetch, and that
    /// it can be read at a bounded cost. Blocks.
    ///
    /// # Errors
    /// If one of these is not so, or if the disk fails.
    pub fn check(&self, record: &Path) -> Result<(), MirrorError> {
        let stems = self.stems()?;
        let checked = record::checked_packs(record)?.ok_or(MirrorError::Unchecked)?;
        if stems.len() > checked.min(1) || !self.holds_only(&stems)? {
            return Err(MirrorError::Unchecked);
        }
        for stem in stems {
            pack::check_depth(&self.packs().join(format!("{stem}.idx")))?;
        }
        Ok(())
    }

    /// Moves packs, and then all refs at once, into a bare repository, whose default branch is then `head`.
    pub(super) fn move_to(&self, git_dir: &Path, head: Option<&str>) -> io::Result<()> {
        self.move_packs(git_dir)?;
        self.move_refs(git_dir)?;
        layout::write_head(git_dir, head)
    }

    fn move_packs(&self, mirror: &Path) -> io::Result<()> {
        let target = mirror.join("objects/pack");
        let stems = self.stems()?;
        for extension in PACK_EXTENSIONS {
            for stem in &stems {
                let name = format!("{stem}.{extension}");
                let source = self.packs().join(&name);
                if source.is_file() {
                    disk::sync(&source)?;
                    fs::rename(&source, target.join(&name))?;
                }
            }
            disk::sync(&target)?;
        }
        Ok(())
    }

    /// One rename: all refs move, or none.
    fn move_refs(&self, mirror: &Path) -> io::Result<()> {
        let source = self.git_dir.join(PACKED_REFS);
        disk::sync(&source)?;
        fs::rename(&source, mirror.join(PACKED_REFS))?;
        disk::sync(mirror)
    }

    /// Whether these packs are all that there is of objects.
    fn holds_only(&self, stems: &[String]) -> io::Result<bool> {
        for entry in fs::read_dir(self.git_dir.join("objects"))? {
            let name = entry?.file_name();
            if name != "pack" && name != "info" {
                return Ok(false);
            }
        }
        for entry in fs::read_dir(self.packs())? {
            let path = entry?.path();
            let is_known = path
                .extension()
                .is_some_and(|extension| PACK_EXTENSIONS.iter().any(|known| extension == *known));
            let stem = path.file_stem().unwrap_or_default();
            if !is_known || !stems.iter().any(|known| stem == known.as_str()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn packs(&self) -> PathBuf {
        self.git_dir.join("objects/pack")
    }

    /// The names of the packs that are finished, without their extensions.
    fn stems(&self) -> io::Result<Vec<String>> {
        let mut stems = Vec::new();
        for entry in fs::read_dir(self.packs())? {
            let path = entry?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            if path.extension().is_some_and(|extension| extension == "idx") && is_pack_name(stem) {
                stems.push(stem.to_owned());
            }
        }
        Ok(stems)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_tree(&self.git_dir) {
            tracing::warn!(kind = %error.kind(), "a staging repository could not be removed");
        }
    }
}

/// `pack-` and the hexadecimal digest of the pack.
fn is_pack_name(stem: &str) -> bool {
    stem.strip_prefix("pack-")
        .is_some_and(|digest| digest.len() == 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
