//! git, hardened: what it may see, where it may connect, and what of its answers is believed.

pub mod address;
mod environment;
pub mod mirror;
pub mod pack;
pub mod progress;
pub mod record;
pub mod snapshot;
pub mod version;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::sandbox::{Command, Limits};

/// Processor seconds of one git process.
const CPU_SECS: u64 = 1800;

/// File descriptors of one git process; packs take one each.
const OPEN_FILES: u32 = 1024;

/// Memory of one git process in a job. An object that is a delta is whole in it, beside the one that it stands on; so
/// are up to 96 MiB of bases for each thread (`core.deltaBaseCacheLimit`).
pub const MEMORY_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes of output: 20,000 refs with long names.
const STDOUT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How one job runs git.
#[derive(Clone, Debug)]
pub struct Git {
    /// Where git starts: the job's private directory.
    pub work_dir: PathBuf,
    /// The one protocol that it may speak.
    pub protocol: &'static str,
    /// The value of `http.curloptResolve`.
    pub pin: Option<String>,
    /// Time that a run may take.
    pub wall_limit: Duration,
    /// Memory that each process of a run may take.
    pub memory_bytes: u64,
}

impl Git {
    /// A run of git on the repository at `git_dir`, which may read objects from `alternate_objects` too
    /// and write files of at most `file_bytes`.
    #[must_use]
    pub fn command(
        &self,
        git_dir: &Path,
        alternate_objects: Option<&Path>,
        file_bytes: u64,
        arguments: &[&str],
    ) -> Command {
        let mut all = vec![OsString::from("--git-dir"), git_dir.into()];
        all.extend(arguments.iter().map(OsString::from));
        Command {
            program: "git",
            arguments: all,
            environment: environment::environment(self.protocol, self.pin.as_deref(), alternate_objects),
            directory: self.work_dir.clone(),
            limits: Limits {
                wall: self.wall_limit,
                cpu_secs: CPU_SECS,
                file_bytes,
                open_files: OPEN_FILES,
                memory_bytes: self.memory_bytes,
                stdout_bytes: STDOUT_BYTES_MAX,
            },
            disk: None,
        }
    }
}
