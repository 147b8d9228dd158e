//! Finds the directory of a mirror, and makes sure that it is one.

use std::{
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};

use crate::base::{
    error::{Error, Reason, Result},
    ids::ProjectId,
};

/// Names below `objects/info` that make git read objects from elsewhere.
const ALTERNATES: [&str; 2] = ["info/alternates", "info/http-alternates"];

/// The object directory of a project's mirror. Every directory on the way is opened beneath the one
/// before it, without following a link, and belongs to the server's user alone.
///
/// # Errors
/// `REPOSITORY_NOT_READY` if there is none, `INTERNAL` if it is not a mirror that a worker of this user
/// left.
pub fn objects_of(repos: &Path, project: ProjectId) -> Result<PathBuf> {
    let name = project.to_string();
    let step = |parent: &OwnedFd, name: &str| open_private(parent, Path::new(name)).map_err(absent);
    let root = open_private(CWD, repos).map_err(absent)?;
    let git = step(&step(&root, &name)?, "git")?;
    let objects = step(&git, "objects")?;
    check_plain(&objects).and_then(|()| check_plain(&open_private(&objects, Path::new("pack"))?)).map_err(
        |error| Error::internal(format!("a mirror is not as a worker leaves it: {}", error.kind())),
    )?;
    Ok(repos.join(name).join("git").join("objects"))
}

fn absent(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => Error::new(Reason::RepositoryNotReady),
        // A link where a directory should be, or somebody else's directory: for the operator.
        kind => Error::internal(format!("a mirror cannot be opened: {kind}")),
    }
}

fn open_private(parent: impl std::os::fd::AsFd, name: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    if is_private(&rustix::fs::fstat(&directory)?) { Ok(directory) } else { Err(refused()) }
}

/// Whether it belongs to this user, and nobody else may write to it.
fn is_private(stat: &Stat) -> bool {
    let others_write = Mode::WGRP | Mode::WOTH;
    stat.st_uid == rustix::process::geteuid().as_raw()
        && !Mode::from_raw_mode(stat.st_mode).intersects(others_write)
}

/// Only files and directories are in it: a link could lead out, and anything else could block. Objects of
/// other repositories are not borrowed.
fn check_plain(directory: &OwnedFd) -> io::Result<()> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            FileType::Unknown => FileType::from_raw_mode(
                rustix::fs::statat(directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW)?.st_mode,
            ),
            known => known,
        };
        if !matches!(kind, FileType::RegularFile | FileType::Directory) {
            return Err(refused());
        }
    }
    for name in ALTERNATES {
        match rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(error) if error == rustix::io::Errno::NOENT => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Err(refused()),
        }
    }
    Ok(())
}

fn refused() -> io::Error {
    io::ErrorKind::PermissionDenied.into()
}
