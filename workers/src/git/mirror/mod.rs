//! A project's mirror on disk: `DATA_DIR/repos/<project_id>/` with a bare repository `git/`, `meta.json`
//! and `lock`.
//!
//! A sync claims the mirror for its lease epoch, fetches into a staging repository beside it, and
//! publishes that by renames. Packs go first and one rename of `packed-refs`, which holds every ref,
//! moves all refs at once; so whoever reads, and whoever comes after a crash, sees the state before or
//! the state after. What was fetched anew, and needs nothing of the mirror, takes its place by two renames, between which
//! there is none; a crash there is undone by the next claim. A sync whose epoch is no longer the newest can neither claim
//! nor publish.

mod disk;
mod layout;
mod staging;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Uuid;

pub use self::staging::Staging;
use super::{
    pack::PackError,
    snapshot::{Snapshot, SnapshotError, hexadecimal},
};
use crate::entropy;

/// The bare repository inside of a mirror.
const GIT_DIR: &str = "git";

/// Where a repository that is not as it was left is kept for the operator.
const CORRUPT_DIR: &str = "corrupt";

/// Where a repository is while another takes its place.
const FORMER_DIR: &str = "former";

const META_FILE: &str = "meta.json";
const LOCK_FILE: &str = "lock";

/// The largest `meta.json` that is read.
const META_BYTES_MAX: u64 = 4096;

/// How often, and how often again, a sync asks for the lock while another is publishing: for ten seconds.
const LOCK_POLL_EVERY: Duration = Duration::from_millis(20);
const LOCK_POLLS_MAX: u32 = 500;

/// Why a mirror cannot be worked on.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// A newer lease has claimed it.
    #[error("a newer lease holds the mirror")]
    Superseded,
    /// Another process holds its lock.
    #[error("the mirror is locked")]
    Locked,
    /// What was fetched has refs that are not kept.
    #[error(transparent)]
    Refs(#[from] SnapshotError),
    /// What was fetched has objects that are not kept.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What was fetched is not what git leaves when it fetches one pack, and checks it.
    #[error("git has not checked what it received; only its smart protocol is accepted")]
    Unchecked,
    /// It would be larger than its quota.
    #[error("the repository is larger than its quota")]
    Quota,
    /// The disk failed.
    #[error("the mirror cannot be read or written: {0}")]
    Disk(#[from] io::Error),
}

/// What is remembered about a mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// The newest lease that claimed it; no older one may change it.
    pub lease_epoch: u64,
    /// The digest of the refs that it holds; none before the first sync.
    pub snapshot: Option<String>,
    /// Bytes that its objects take on disk.
    pub mirror_bytes: u64,
    /// The digest of the address that it was fetched from.
    pub source: Option<String>,
}

/// A claimed mirror.
#[derive(Clone, Debug)]
pub struct Mirror {
    dir: PathBuf,
    lease_epoch: u64,
    meta: Meta,
    source: String,
}

impl Mirror {
    /// Takes the mirror of a project for a lease that fetches from `address`: makes it if there is none, removes what an
    /// interrupted sync left, puts its configuration right, and sets it aside if it is not as HiveSync left it.
    ///
    /// # Errors
    /// If a newer lease has claimed it, if it stays locked, or if the disk fails. Blocks.
    pub fn claim(
        data_dir: &Path,
        project_id: Uuid,
        lease_epoch: u64,
        address: &str,
    ) -> Result<Self, MirrorError> {
        let repos = data_dir.join("repos");
        disk::private_dir(&repos)?;
        let dir = repos.join(project_id.hyphenated().to_string());
        disk::private_dir(&dir)?;
        disk::sync(&repos)?;
        let source = hexadecimal(&Sha256::digest(address));
        let mut mirror = Self { dir, lease_epoch, meta: Meta::default(), source };
        let _lock = mirror.lock()?;
        mirror.meta = mirror.read_meta();
        if mirror.meta.lease_epoch > lease_epoch {
            return Err(MirrorError::Superseded);
        }
        mirror.meta.lease_epoch = lease_epoch;
        mirror.put_back()?;
        mirror.sweep()?;
        mirror.restore()?;
        mirror.write_meta()?;
        Ok(mirror)
    }

    /// The bare repository.
    #[must_use]
    pub fn git_dir(&self) -> PathBuf {
        self.dir.join(GIT_DIR)
    }

    /// What was remembered when it was claimed.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Whether what it holds was fetched from the address that it is fetched from now.
    #[must_use]
    pub fn is_of_its_source(&self) -> bool {
        self.meta.source.as_ref() == Some(&self.source)
    }

    /// A repository beside the mirror to fetch into, with the mirror's refs and access to its objects.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn stage(&self) -> Result<Staging, MirrorError> {
        Ok(Staging::upon(&self.dir, &self.git_dir())?)
    }

    /// A repository beside the mirror to fetch into, which takes the mirror's place when it is published.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn stage_anew(&self) -> Result<Staging, MirrorError> {
        Ok(Staging::empty(&self.dir)?)
    }

    /// Bytes that may be fetched into `staging` while the mirror may take `quota_bytes`.
    #[must_use]
    pub fn room_bytes(&self, staging: &Staging, quota_bytes: u64) -> u64 {
        let kept_bytes = if staging.alternate().is_some() { self.meta.mirror_bytes } else { 0 };
        quota_bytes.saturating_sub(kept_bytes)
    }

    /// Puts what was fetched in place of what was there. `fetched` is what `staging` holds, packed.
    /// Returns the bytes that the mirror then takes.
    ///
    /// # Errors
    /// If a newer lease has claimed the mirror meanwhile, if it would exceed `quota_bytes`, or if the
    /// disk fails; the mirror's refs are then as they were. Blocks.
    pub fn publish(
        mut self,
        staging: Staging,
        fetched: &Snapshot,
        quota_bytes: u64,
    ) -> Result<u64, MirrorError> {
        let _lock = self.lock()?;
        if self.read_meta().lease_epoch != self.lease_epoch {
            return Err(MirrorError::Superseded);
        }
        let git_dir = self.git_dir();
        let is_kept = staging.alternate().is_some();
        let kept_bytes = if is_kept { disk::size_bytes(&git_dir.join("objects"))? } else { 0 };
        let mirror_bytes = kept_bytes.saturating_add(staging.packs_bytes()?);
        if mirror_bytes > quota_bytes {
            return Err(MirrorError::Quota);
        }
        let head = fetched.head.as_deref();
        if is_kept {
            staging.move_to(&git_dir, head)?;
        } else {
            self.replace(&staging, head)?;
        }
        self.meta.source = Some(self.source.clone());
        self.meta.snapshot = Some(fetched.digest());
        self.meta.mirror_bytes = mirror_bytes;
        self.write_meta()?;
        Ok(mirror_bytes)
    }

    /// Removes the mirror of a project, and returns the bytes that it took; none if there is none.
    ///
    /// # Errors
    /// If it stays locked, or if the disk fails. Blocks.
    pub fn remove(data_dir: &Path, project_id: Uuid) -> Result<Option<u64>, MirrorError> {
        let repos = data_dir.join("repos");
        let dir = repos.join(project_id.hyphenated().to_string());
        match fs::symlink_metadata(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(metadata) if !metadata.is_dir() => {
                fs::remove_file(&dir)?;
                return Ok(Some(0));
            }
            Ok(_) => {}
        }
        let bytes = disk::size_bytes(&dir)?;
        let mirror = Self { dir, lease_epoch: 0, meta: Meta::default(), source: String::new() };
        let _lock = mirror.lock()?;
        // Renamed first, so that nobody meets half a mirror.
        let trash = repos.join(format!("{}{}", disk::TRASH_PREFIX, entropy::uuid()));
        fs::rename(&mirror.dir, &trash)?;
        disk::sync(&repos)?;
        disk::remove_tree(&trash)?;
        Ok(Some(bytes))
    }

    /// Removes the remains of interrupted removals.
    ///
    /// # Errors
    /// If the disk fails. Blocks.
    pub fn sweep_trash(data_dir: &Path) -> io::Result<()> {
        let repos = data_dir.join("repos");
        if !repos.is_dir() {
            return Ok(());
        }
        for entry in fs::read_dir(&repos)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(disk::TRASH_PREFIX) {
                disk::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// The lock is advisory, and let go when the file is closed, also by the death of the process.
    #[allow(
        clippy::disallowed_methods,
        reason = "flock(2) has no time limit; this is no thread of the runtime"
    )]
    fn lock(&self) -> Result<File, MirrorError> {
        let file = disk::open_beneath(&self.dir, LOCK_FILE, true)?;
        for _ in 0..LOCK_POLLS_MAX {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_POLL_EVERY),
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
        }
        Err(MirrorError::Locked)
    }

    fn read_meta(&self) -> Meta {
        disk::open_beneath(&self.dir, META_FILE, false)
            .and_then(|file| disk::read_capped(file, META_BYTES_MAX))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default()
    }

    fn write_meta(&self) -> io::Result<()> {
        disk::write_atomically(&self.dir, META_FILE, &serde_json::to_vec(&self.meta)?)
    }

    /// Puts what was fetched anew in place of the repository, and removes that.
    fn replace(&mut self, staging: &Staging, head: Option<&str>) -> io::Result<()> {
        // Of what git left, nothing but packs and refs.
        let new = Staging::empty(&self.dir)?;
        staging.move_to(new.git_dir(), head)?;
        // Whoever comes after a crash does not know which of the two is there.
        self.meta = Meta { lease_epoch: self.lease_epoch, ..Meta::default() };
        self.write_meta()?;
        let (git_dir, former) = (self.git_dir(), self.dir.join(FORMER_DIR));
        fs::rename(&git_dir, &former)?;
        if let Err(error) = fs::rename(new.git_dir(), &git_dir) {
            self.put_back()?;
            return Err(error);
        }
        disk::sync(&self.dir)?;
        disk::remove_tree(&former)
    }

    /// Undoes half a replacement.
    fn put_back(&self) -> io::Result<()> {
        let (git_dir, former) = (self.git_dir(), self.dir.join(FORMER_DIR));
        if fs::symlink_metadata(&git_dir).is_err() && disk::is_private_dir(&former).unwrap_or(false) {
            fs::rename(&former, &git_dir)?;
        }
        Ok(())
    }

    /// Removes everything that does not belong into a mirror's directory.
    fn sweep(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name();
            if ![GIT_DIR, CORRUPT_DIR, META_FILE, LOCK_FILE].iter().any(|kept| name == *kept) {
                disk::remove_tree(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Makes sure that the repository is there and is sound.
    fn restore(&mut self) -> io::Result<()> {
        let git_dir = self.git_dir();
        let is_there = fs::symlink_metadata(&git_dir).is_ok();
        if is_there && layout::is_sound(&git_dir)? {
            return layout::refresh(&git_dir);
        }
        if is_there {
            tracing::warn!(event = "mirror_corrupt", "a mirror is not as it was left; it is set aside");
            let aside = self.dir.join(CORRUPT_DIR);
            disk::remove_tree(&aside)?;
            fs::rename(&git_dir, &aside)?;
        }
        self.meta = Meta { lease_epoch: self.meta.lease_epoch, ..Meta::default() };
        layout::create(&git_dir)
    }
}
