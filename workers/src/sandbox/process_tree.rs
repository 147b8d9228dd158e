//! All processes of one job, wherever they hide: found in `/proc`, ended, and seen to be gone.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// The variable whose value marks a job's processes. It is inherited over `setsid` and double forks, by
/// which a process leaves its group, its session and its parent.
pub(super) const MARKER_NAME: &str = "HIVESYNC_SANDBOX";

/// How often a dying tree is looked at.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// How long a tree may take to die of SIGKILL.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// The most bytes of a process's environment that are searched for the marker.
const ENVIRONMENT_BYTES_MAX: usize = 64 * 1024;

/// The processes that one spawned process has started.
#[derive(Debug)]
pub(super) struct ProcessTree {
    root: i32,
    marker: String,
}

#[derive(Debug)]
struct Process {
    parent: i32,
    group: i32,
}

impl ProcessTree {
    /// The tree below `root`, whose environment holds `MARKER_NAME=marker`.
    pub(super) fn new(root: i32, marker: &str) -> Self {
        Self { root, marker: format!("{MARKER_NAME}={marker}") }
    }

    /// Ends the tree: SIGTERM, SIGKILL after `grace`, until none is left.
    ///
    /// # Errors
    /// If a process outlives SIGKILL, or if `/proc` cannot be read.
    pub(super) async fn end(&self, grace: Duration) -> io::Result<()> {
        let mut signal = if grace.is_zero() { Signal::KILL } else { Signal::TERM };
        let started_at = Instant::now();
        let kill_at = started_at + grace;
        let give_up_at = kill_at + KILL_LIMIT;
        let mut terminated = HashSet::new();
        loop {
            let members = self.members()?;
            let now = Instant::now();
            if members.is_empty() {
                return Ok(());
            }
            if now >= give_up_at {
                return Err(io::Error::other("a process outlived SIGKILL"));
            }
            if now >= kill_at {
                signal = Signal::KILL;
            }
            for pid in members {
                // A polite signal is said once; the other one until it is heard.
                if signal == Signal::KILL || terminated.insert(pid) {
                    send(pid, signal);
                }
            }
            sleep(POLL_EVERY).await;
        }
    }

    /// The living members. A zombie is none: it runs nothing any more.
    fn members(&self) -> io::Result<Vec<i32>> {
        let processes = processes()?;
        Ok(processes
            .iter()
            .filter(|(pid, process)| self.holds(**pid, process, &processes))
            .map(|(pid, _)| *pid)
            .collect())
    }

    fn holds(&self, pid: i32, process: &Process, processes: &HashMap<i32, Process>) -> bool {
        pid == self.root
            || process.group == self.root
            || self.is_descendant(process.parent, processes)
            || is_marked(pid, &self.marker)
    }

    fn is_descendant(&self, mut parent: i32, processes: &HashMap<i32, Process>) -> bool {
        // A snapshot of parents that changed meanwhile can hold a loop, so the walk is bounded.
        for _ in 0..processes.len() {
            if parent == self.root {
                return true;
            }
            let Some(process) = processes.get(&parent) else { return false };
            parent = process.parent;
        }
        false
    }
}

fn send(pid: i32, signal: Signal) {
    // It may be gone by now, which is what is wanted.
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

fn processes() -> io::Result<HashMap<i32, Process>> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(process) = read_process(pid) {
            processes.insert(pid, process);
        }
    }
    Ok(processes)
}

/// Reads `/proc/<pid>/stat` (proc(5)); none for a zombie or for a process that is gone.
fn read_process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the command in parentheses, which may hold anything, parentheses included.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(Process { parent, group })
}

fn is_marked(pid: i32, marker: &str) -> bool {
    // Another user's process cannot be read, and cannot be ours.
    let Ok(mut environment) = fs::read(format!("/proc/{pid}/environ")) else { return false };
    environment.truncate(ENVIRONMENT_BYTES_MAX);
    environment.split(|byte| *byte == 0).any(|variable| variable == marker.as_bytes())
}
