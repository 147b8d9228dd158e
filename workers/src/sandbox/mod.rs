//! Where a job's subprocess runs: the bare tier. Cleared environment, own directory, resource limits, a
//! wall-clock limit, capped pipes, and an end that takes the whole process tree.
//!
//! The limits are set by a shell that replaces itself with the program (`ulimit`, then `exec`), so that
//! they hold from the program's first instruction on; setting them from outside after the start would
//! leave a gap, and setting them between fork and exec needs `unsafe` code.

mod disk_limit;
mod output;
mod process_tree;
pub mod stop;
mod work_dir;

use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use thiserror::Error;
use tokio::{
    process::{Child, Command as Process},
    time::sleep,
};

use crate::entropy;

pub use self::{disk_limit::DiskLimit, work_dir::WorkDir};
use self::{
    output::{Collected, Pipes},
    process_tree::ProcessTree,
    stop::StopSignal,
};

/// How well this sandbox confines jobs, as told to the server: 3 is a bare subprocess.
pub const TIER: u32 = 3;

/// Sets the limits given as its first four arguments, then becomes the program.
const LAUNCHER: &str = r#"set -e; ulimit -c 0; ulimit -f "$1"; ulimit -t "$2"; ulimit -n "$3"; ulimit -d "$4"; shift 4; exec "$@""#;

/// What `ulimit -f` counts in (POSIX.1-2024, `ulimit`).
const FILE_BLOCK_BYTES: u64 = 512;
/// What `ulimit -d` counts in.
const MEMORY_BLOCK_BYTES: u64 = 1024;

/// What a subprocess may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time from start to end.
    pub wall: Duration,
    /// Processor seconds of each process.
    pub cpu_secs: u64,
    /// Bytes of each file that it writes.
    pub file_bytes: u64,
    /// File descriptors of each process.
    pub open_files: u32,
    /// Bytes of memory that each process writes to (`RLIMIT_DATA`): mapped files that it only reads do not count.
    pub memory_bytes: u64,
    /// Bytes of its output.
    pub stdout_bytes: usize,
}

/// A subprocess to run.
#[derive(Clone, Debug)]
pub struct Command {
    /// The program, found by `PATH` of `environment`.
    pub program: &'static str,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(String, OsString)>,
    /// Where it starts.
    pub directory: PathBuf,
    /// What it may use.
    pub limits: Limits,
    /// What it may put on the disk in all, if that is watched.
    pub disk: Option<DiskLimit>,
}

/// What a subprocess left.
#[derive(Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Its output.
    pub stdout: Vec<u8>,
    /// The end of what it said on its error stream.
    pub stderr_tail: Vec<u8>,
}

/// Why a subprocess did not end by itself.
#[derive(Debug, Error)]
pub enum RunError {
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
    /// It ran for too long.
    #[error("the wall-clock limit passed")]
    WallTime,
    /// It wrote too much.
    #[error("the output is too large")]
    OutputTooLarge,
    /// It put too much on the disk.
    #[error("the disk limit passed")]
    DiskLimit,
    /// The system failed.
    #[error("the subprocess could not be run: {0}")]
    System(#[from] io::Error),
}

/// Runs a subprocess to its end, and ends whatever it started. `on_stderr_line` sees each line (or
/// carriage-returned part of one) of its error stream, cut at a fixed length.
///
/// # Errors
/// If it did not end by itself. In every case nothing of it is left.
pub async fn run(
    command: Command,
    stop: &StopSignal,
    on_stderr_line: impl FnMut(&[u8]) + Send,
) -> Result<Output, RunError> {
    let marker = entropy::uuid().to_string();
    let mut child = spawn(&command, &marker)?;
    let root =
        child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or_else(|| io::Error::other("no pid"))?;
    let tree = ProcessTree::new(root, &marker);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut pipes = Pipes::new(stdout, stderr, command.limits.stdout_bytes, on_stderr_line);
    let mut stop = stop.clone();
    let interrupted = until_it_ends(&command, &mut child, &mut pipes, &mut stop).await;
    let grace = interrupted.as_ref().map_or(Duration::ZERO, |(_, grace)| *grace);
    tokio::select! {
        ended = end(&tree, grace, &mut stop) => ended?,
        // What has something to say before it ends must not wait for a reader.
        never = pipes.drain() => match never {},
    }
    let status = child.wait().await?;
    match interrupted {
        Some((error, _)) => Err(error),
        None => {
            let Collected { stdout, stderr_tail } = pipes.collected().await?;
            Ok(Output { status, stdout, stderr_tail })
        }
    }
}

/// Waits until the subprocess has ended, or must end: why, and the grace that it has for that.
async fn until_it_ends(
    command: &Command,
    child: &mut Child,
    pipes: &mut Pipes<'_>,
    stop: &mut StopSignal,
) -> Option<(RunError, Duration)> {
    tokio::select! {
        status = child.wait() => status.err().map(|error| (error.into(), Duration::ZERO)),
        // The pipes themselves say later why.
        () = pipes.failed() => None,
        () = sleep(command.limits.wall) => Some((RunError::WallTime, Duration::ZERO)),
        error = full_disk(command.disk.as_ref()) => Some((error, Duration::ZERO)),
        grace = stop.asked() => Some((RunError::Stopped, grace)),
    }
}

/// Why a subprocess must end for what it put on the disk; waits until it must.
async fn full_disk(limit: Option<&DiskLimit>) -> RunError {
    match limit {
        Some(limit) => limit.passed().await.map_or_else(RunError::System, |()| RunError::DiskLimit),
        None => std::future::pending().await,
    }
}

/// Ends the tree; a shorter grace that is asked for meanwhile takes over.
async fn end(tree: &ProcessTree, grace: Duration, stop: &mut StopSignal) -> io::Result<()> {
    if grace.is_zero() {
        return tree.end(grace).await;
    }
    tokio::select! {
        ended = tree.end(grace) => ended,
        _ = stop.asked_within(Duration::ZERO) => tree.end(Duration::ZERO).await,
    }
}

fn spawn(command: &Command, marker: &str) -> io::Result<Child> {
    let limits = &command.limits;
    Process::new("/bin/sh")
        .args(["-c", LAUNCHER, "sandbox"])
        .arg((limits.file_bytes.div_ceil(FILE_BLOCK_BYTES)).to_string())
        .arg(limits.cpu_secs.to_string())
        .arg(limits.open_files.to_string())
        .arg(limits.memory_bytes.div_ceil(MEMORY_BLOCK_BYTES).to_string())
        .arg(command.program)
        .args(&command.arguments)
        .env_clear()
        .envs(command.environment.iter().map(|(name, value)| (name, value)))
        .env(process_tree::MARKER_NAME, marker)
        .current_dir(&command.directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}
