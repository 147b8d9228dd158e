//! One process that a test starts, listens to, and kills.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::{Path, PathBuf},
    process::{ExitStatus, Output, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

use crate::binary;

/// How long a process may take to be ready, and to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What a server logs once it serves, and once it has begun to stop.
pub(super) const SERVER_READY: &str = "server.started";
pub(super) const SERVER_DRAINING: &str = "server.draining";
/// What a worker logs once it takes jobs.
pub(super) const WORKER_READY: &str = "session_opened";
/// What tests wait for in the log of a process.
const MILESTONES: [&str; 3] = [SERVER_READY, SERVER_DRAINING, WORKER_READY];

/// One binary of the workspace, with an environment of its own.
pub(super) struct Process {
    pub(super) name: String,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    /// What it logs once it is ready.
    ready: &'static str,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Which of [`MILESTONES`] it has logged; ends with its log.
    passed: watch::Receiver<Vec<&'static str>>,
}

impl Process {
    pub(super) fn new(name: &str, directory: &Path, arguments: &[&str], ready: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: vec![("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())],
            ready,
            log: directory.join(format!("{name}.log")),
            running: None,
        }
    }

    /// Another process like this one, not started yet.
    pub(super) fn again(&self) -> Self {
        let Self { name, arguments, environment, ready, log, .. } = self;
        let (name, arguments, environment) = (name.clone(), arguments.clone(), environment.clone());
        Self { name, arguments, environment, ready, log: log.clone(), running: None }
    }

    pub(super) fn set(&mut self, name: &str, value: impl ToString) -> &mut Self {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_string()));
        self
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.environment.retain(|(known, _)| known != name);
    }

    /// Runs the binary with other arguments and the same environment, to its end.
    pub(super) async fn once(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binary::path(&self.name));
        command.args(arguments).env_clear().envs(self.environment.iter().cloned()).stdin(Stdio::null());
        command.kill_on_drop(true).output().await.expect("the binary runs")
    }

    /// Starts the process and waits until it is ready.
    pub(super) async fn start(&mut self) {
        let mut child = Command::new(binary::path(&self.name))
            .args(&self.arguments)
            .env_clear()
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let stderr = child.stderr.take().and_then(|stderr| stderr.into_owned_fd().ok()).expect("piped");
        let log = File::options().create(true).append(true).open(&self.log).expect("a log file");
        let (pass, passed) = watch::channel(Vec::new());
        std::thread::spawn(move || keep_log(stderr.into(), log, &pass));
        self.running = Some(Running { child, passed });
        self.says(self.ready).await;
    }

    /// Waits until it has logged this one of [`MILESTONES`].
    pub(super) async fn says(&mut self, milestone: &'static str) {
        let running = self.running.as_mut().expect("it was started");
        let said = running.passed.wait_for(|passed| passed.contains(&milestone));
        let said = timeout(PATIENCE, said).await.is_ok_and(|said| said.is_ok());
        assert!(said, "{} does not say {milestone}:\n{}", self.name, self.log());
    }

    /// Kills it where it stands, and makes sure that this is what it died of.
    pub(super) async fn kill(&mut self) {
        let mut running = self.running.take().expect("it runs");
        running.child.kill().await.expect("it can be killed");
        let status = running.child.wait().await.expect("it is ours");
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{} was gone:\n{}", self.name, self.log());
    }

    /// Its id.
    pub(super) fn id(&self) -> Pid {
        let id = self.running.as_ref().and_then(|running| running.child.id()).expect("it runs");
        Pid::from_raw(id.try_into().expect("a process id")).expect("not 0")
    }

    pub(super) fn tell_to_stop(&self) {
        kill_process(self.id(), Signal::TERM).expect("it can be told");
    }

    pub(super) async fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it runs");
        let ended = timeout(PATIENCE, running.child.wait()).await;
        ended.unwrap_or_else(|_| panic!("{} does not end:\n{}", self.name, self.log())).expect("it is ours")
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// Writes what a process logs to its file, until it ends, and takes note of the milestones.
fn keep_log(from: File, mut log: File, passed: &watch::Sender<Vec<&'static str>>) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let _ = log.write_all(&line);
        for milestone in MILESTONES {
            if line.windows(milestone.len()).any(|window| window == milestone.as_bytes()) {
                passed.send_modify(|passed| passed.push(milestone));
            }
        }
        line.clear();
    }
}
