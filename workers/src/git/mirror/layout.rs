//! What a mirror's bare repository is made of, and nothing else: no hooks, no alternates, no loose refs,
//! no links, and a configuration that is a constant.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use rustix::process::geteuid;

use super::{super::pack, disk};

const CONFIGURATION: &str = "[core]\n\trepositoryformatversion = 0\n\tbare = true\n";

/// Where HEAD points while there is no default branch.
const UNBORN_BRANCH: &str = "refs/heads/main";

const DIRECTORIES: [&str; 6] = ["objects", "objects/info", "objects/pack", "refs", "refs/heads", "refs/tags"];

/// Everything that may stand at the top.
const TOP: [&str; 5] = ["HEAD", "config", "objects", "packed-refs", "refs"];

/// Names that make git read objects from elsewhere.
const ALTERNATES: [&str; 2] = ["alternates", "http-alternates"];

/// Makes an empty repository.
pub(super) fn create(git_dir: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(git_dir)?;
    for directory in DIRECTORIES {
        DirBuilder::new().mode(0o700).create(git_dir.join(directory))?;
    }
    disk::sync(&git_dir.join("objects"))?;
    disk::write_atomically(git_dir, "config", CONFIGURATION.as_bytes())?;
    write_head(git_dir, None)
}

/// Makes HEAD name a branch, given by its full name.
pub(super) fn write_head(git_dir: &Path, branch: Option<&str>) -> io::Result<()> {
    disk::write_atomically(git_dir, "HEAD", format!("ref: {}\n", branch.unwrap_or(UNBORN_BRANCH)).as_bytes())
}

/// Whether a repository is as this worker leaves it.
pub(super) fn is_sound(git_dir: &Path) -> io::Result<bool> {
    if !disk::is_private_dir(git_dir)? {
        return Ok(false);
    }
    for entry in fs::read_dir(git_dir)? {
        let name = entry?.file_name();
        if !TOP.iter().any(|known| name == *known) && !is_unfinished(&name.to_string_lossy()) {
            return Ok(false);
        }
    }
    if DIRECTORIES.iter().any(|directory| !git_dir.join(directory).is_dir())
        || !git_dir.join("HEAD").is_file()
    {
        return Ok(false);
    }
    let (objects, refs) = (git_dir.join("objects/info"), git_dir.join("refs"));
    let owner = geteuid().as_raw();
    let mut is_sound = true;
    disk::walk(git_dir, &mut |path, metadata| {
        let is_plain = (metadata.is_file() || metadata.is_dir()) && metadata.uid() == owner;
        let is_loose_ref = metadata.is_file() && path.starts_with(&refs);
        let is_alternate = path.parent() == Some(&objects)
            && path.file_name().is_some_and(|name| ALTERNATES.iter().any(|refused| name == *refused));
        let is_index = path.extension().is_some_and(|extension| extension == "idx");
        let is_whole = !is_plain || !is_index || pack::is_whole(path)?;
        is_sound &= is_plain && is_whole && !is_loose_ref && !is_alternate;
        Ok(())
    })?;
    Ok(is_sound)
}

/// Puts the configuration right and removes what an interrupted publication left.
pub(super) fn refresh(git_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(git_dir)? {
        let entry = entry?;
        if is_unfinished(&entry.file_name().to_string_lossy()) {
            disk::remove_tree(&entry.path())?;
        }
    }
    remove_packs_without_index(&git_dir.join("objects/pack"))?;
    disk::write_atomically(git_dir, "config", CONFIGURATION.as_bytes())
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(disk::NEW_SUFFIX)
}

/// The index is moved last, so a pack without one was never in use.
fn remove_packs_without_index(packs: &Path) -> io::Result<()> {
    for entry in fs::read_dir(packs)? {
        let path = entry?.path();
        if !path.with_extension("idx").exists() {
            disk::remove_tree(&path)?;
        }
    }
    Ok(())
}
