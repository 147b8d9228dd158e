//! Whether the git of this machine is new enough.

use std::{path::Path, time::Duration};

use thiserror::Error;

use super::{Git, MEMORY_BYTES_MAX};
use crate::sandbox::{self, stop};

/// The first version that lets a connection be pinned to addresses (`http.curloptResolve`).
const OLDEST: (u32, u32) = (2, 37);

/// How long git may take to say its version.
const LIMIT: Duration = Duration::from_secs(10);

/// Why git cannot be used.
#[derive(Debug, Error)]
pub enum GitError {
    /// It does not run.
    #[error("git is not to be found in /usr/local/bin, /usr/bin or /bin")]
    Missing,
    /// It is too old.
    #[error("git 2.37 or newer is needed")]
    TooOld,
}

/// Runs git once, in `work_dir`, and looks at its version.
///
/// # Errors
/// If it does not run, or is too old.
pub async fn check(work_dir: &Path) -> Result<(), GitError> {
    let git = Git {
        work_dir: work_dir.to_owned(),
        protocol: "https",
        pin: None,
        wall_limit: LIMIT,
        memory_bytes: MEMORY_BYTES_MAX,
    };
    let command = git.command(work_dir, None, 0, &["version"]);
    let (_sender, stop) = stop::channel();
    let output = sandbox::run(command, &stop, |_| {}).await.map_err(|_| GitError::Missing)?;
    if !output.status.success() {
        return Err(GitError::Missing);
    }
    match parse(&output.stdout) {
        Some(version) if version >= OLDEST => Ok(()),
        _ => Err(GitError::TooOld),
    }
}

/// Reads `git version 2.39.5` and the forms that distributions make of it.
fn parse(output: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(output).ok()?.strip_prefix("git version ")?;
    let mut numbers = text.split(|character: char| !character.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_versions() {
        for (output, version) in [
            ("git version 2.39.5\n", Some((2, 39))),
            ("git version 2.50.1 (Apple Git-155)\n", Some((2, 50))),
            ("git version 3.0-rc1\n", Some((3, 0))),
            ("git version x\n", None),
            ("git\n", None),
        ] {
            assert_eq!(parse(output.as_bytes()), version, "{output}");
        }
    }
}
