//! Files that are written whole or not at all, and directories that nobody else can enter.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags, ResolveFlags, openat2},
    process::geteuid,
};

/// Begins the name of what is being removed.
pub(super) const TRASH_PREFIX: &str = ".trash-";

/// Ends the name of a file that is being written.
pub(super) const NEW_SUFFIX: &str = ".new";

/// The deepest directory that is walked; git nests far less.
const DEPTH_MAX: u32 = 32;

/// Makes a directory unless it is there, and makes sure that it is ours alone.
pub(super) fn private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if is_private_dir(path)? {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "a directory is a link, or open to others"))
    }
}

/// Whether this is a directory, not a link to one, that only this user can enter.
pub(super) fn is_private_dir(path: &Path) -> io::Result<bool> {
    let metadata = fs::symlink_metadata(path)?;
    Ok(metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0)
}

/// Opens a file of a directory without following any link.
pub(super) fn open_beneath(dir: &Path, name: &str, is_made: bool) -> io::Result<File> {
    let dir = File::open(dir)?;
    let flags = if is_made { OFlags::RDWR | OFlags::CREATE } else { OFlags::RDONLY };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mode = if is_made { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    Ok(File::from(openat2(&dir, name, flags | OFlags::CLOEXEC, mode, resolve)?))
}

/// Reads a file of at most `bytes_max` bytes.
pub(super) fn read_capped(file: File, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

/// Replaces a file in one step that lasts.
pub(super) fn write_atomically(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = dir.join(format!(".{name}{NEW_SUFFIX}"));
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, dir.join(name))?;
    sync(dir)
}

/// Makes a file's bytes, or a directory's entries, last.
pub(super) fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes whatever is there, without following links; nothing if nothing is.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The bytes of all files below a directory.
pub(super) fn size_bytes(dir: &Path) -> io::Result<u64> {
    let mut bytes: u64 = 0;
    walk(dir, &mut |_, metadata| {
        if metadata.is_file() {
            bytes = bytes.saturating_add(metadata.len());
        }
        Ok(())
    })?;
    Ok(bytes)
}

/// Shows each entry below a directory, links as such.
pub(super) fn walk(
    dir: &Path,
    see: &mut impl FnMut(&Path, &fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    walk_within(dir, see, DEPTH_MAX)
}

fn walk_within(
    dir: &Path,
    see: &mut impl FnMut(&Path, &fs::Metadata) -> io::Result<()>,
    depth: u32,
) -> io::Result<()> {
    if depth == 0 {
        return Err(io::Error::other("directories are nested too deeply"));
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        see(&entry.path(), &metadata)?;
        if metadata.is_dir() {
            walk_within(&entry.path(), see, depth - 1)?;
        }
    }
    Ok(())
}
