//! The subprocess sandbox, against processes that do not want to end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use hivesync_workers::sandbox::{
    self, Command, DiskLimit, Limits, Output, RunError, WorkDir,
    stop::{self, StopSignal},
};
use tempfile::TempDir;

const GENEROUS: Limits = Limits {
    wall: Duration::from_secs(30),
    cpu_secs: 30,
    file_bytes: 1024 * 1024,
    open_files: 64,
    memory_bytes: 256 * 1024 * 1024,
    stdout_bytes: 64 * 1024,
};

fn script(dir: &Path, script: &str, limits: Limits) -> Command {
    Command {
        program: "sh",
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("PATH".to_owned(), "/usr/bin:/bin".into())],
        directory: dir.to_owned(),
        limits,
        disk: None,
    }
}

async fn run(text: &str, limits: Limits) -> Result<Output, RunError> {
    let dir = TempDir::new().unwrap();
    let (_sender, stop) = stop::channel();
    sandbox::run(script(dir.path(), text, limits), &stop, |_| {}).await
}

async fn stdout(text: &str) -> String {
    String::from_utf8(run(text, GENEROUS).await.unwrap().stdout).unwrap()
}

/// Whether a process runs whose command line holds this word.
fn runs(word: &str) -> bool {
    fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
        let is_zombie = fs::read_to_string(entry.path().join("stat")).is_ok_and(|stat| stat.contains(") Z "));
        fs::read(entry.path().join("cmdline"))
            .is_ok_and(|line| !is_zombie && line.split(|byte| *byte == 0).any(|part| part == word.as_bytes()))
    })
}

#[tokio::test]
async fn shows_nothing_of_the_environment() {
    let environment = stdout("env").await;
    let names: BTreeSet<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    // The shell adds its own three. Cargo's variables are the canaries: they are set in this process.
    assert!(
        names.iter().all(|name| ["PATH", "PWD", "SHLVL", "_", "OLDPWD", "HIVESYNC_SANDBOX"].contains(name)),
        "{names:?}"
    );
    assert!(option_env!("CARGO_MANIFEST_DIR").is_some() && !environment.contains("CARGO"));
}

#[tokio::test]
async fn limits_what_a_process_uses() {
    assert_eq!(
        stdout("ulimit -c; ulimit -f; ulimit -t; ulimit -n; ulimit -d").await,
        "0\n2048\n30\n64\n262144\n"
    );
    let output = run("head -c 2000000 /dev/zero > big; wc -c < big", GENEROUS).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "1048576");
    // tail(1) holds what it may have to print.
    let hoard = run("head -c 400000000 /dev/zero | tail -c 399999999 | wc -c", GENEROUS).await.unwrap();
    assert_eq!(String::from_utf8(hoard.stdout).unwrap().trim(), "0");
    assert!(matches!(run("yes", GENEROUS).await, Err(RunError::OutputTooLarge)));
    let brief = Limits { wall: Duration::from_millis(50), ..GENEROUS };
    assert!(matches!(run("sleep 1000.25", brief).await, Err(RunError::WallTime)));
    assert!(!runs("1000.25"));
}

#[tokio::test]
async fn limits_what_all_files_come_to() {
    let files =
        "for file in 1 2 3 4; do mkdir -p $file/a; head -c 1000 /dev/zero > $file/a/b; done; ln 1/a/b c";
    for (bytes, entries, is_within) in [(4000, 13, true), (3999, 13, false), (4000, 12, false)] {
        let dir = TempDir::new().unwrap();
        let (_sender, stop) = stop::channel();
        let end = if is_within { "sleep 0.3" } else { "setsid sleep 1003.25" };
        let mut command = script(dir.path(), &format!("{files}; {end}"), GENEROUS);
        command.disk = Some(DiskLimit { directory: dir.path().to_owned(), bytes, entries });
        let result = sandbox::run(command, &stop, |_| {}).await;
        assert_eq!(result.is_ok(), is_within, "{bytes} {entries}");
        assert!(is_within || matches!(result, Err(RunError::DiskLimit)), "{result:?}");
        assert!(!runs("1003.25"));
    }
}

#[tokio::test]
async fn cannot_be_fooled_by_its_arguments() {
    let dir = TempDir::new().unwrap();
    let (_sender, stop) = stop::channel();
    let mut command = script(dir.path(), r#"printf '%s|' "$@""#, GENEROUS);
    command.arguments.extend(["x".into(), "$(id)".into(), "; id".into(), "-n".into(), "a b\nc".into()]);
    let output = sandbox::run(command, &stop, |_| {}).await.unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "$(id)|; id|-n|a b\nc|");
}

#[tokio::test]
async fn leaves_no_process_behind() {
    // One in a session of its own, one reparented by a double fork, one that has left the process group.
    let escape =
        "setsid sleep 1001.25 & (setsid -f sleep 1001.25 >/dev/null 2>&1); sleep 1001.25 & echo started";
    assert_eq!(stdout(escape).await, "started\n");
    assert!(!runs("1001.25"));
}

#[tokio::test]
async fn stops_politely_and_then_by_force() {
    let dir = TempDir::new().unwrap();
    let (sender, stop) = stop::channel();
    let polite = "trap 'echo bye > farewell; exit' TERM; echo ready >&2; while :; do sleep 0.01; done";
    let stopped = sandbox::run(script(dir.path(), polite, GENEROUS), &stop, |line| {
        if line == b"ready" {
            sender.ask(Duration::from_secs(20));
        }
    });
    assert!(matches!(stopped.await, Err(RunError::Stopped)));
    assert!(dir.path().join("farewell").exists());

    let (sender, stop) = stop::channel();
    let stubborn = "trap '' TERM; echo ready >&2; setsid sleep 1002.25 & while :; do sleep 0.01; done";
    let stopped = sandbox::run(script(dir.path(), stubborn, GENEROUS), &stop, |line| {
        if line == b"ready" {
            sender.ask(Duration::from_millis(50));
        }
    });
    assert!(matches!(stopped.await, Err(RunError::Stopped)));
    assert!(!runs("1002.25"));
}

#[tokio::test]
async fn lets_a_shorter_grace_take_over() {
    let dir = TempDir::new().unwrap();
    let (sender, stop) = stop::channel();
    let stubborn = "trap 'echo again >&2' TERM; echo ready >&2; while :; do sleep 0.01; done";
    let stopped = sandbox::run(script(dir.path(), stubborn, GENEROUS), &stop, |line| match line {
        b"ready" => sender.ask(Duration::from_secs(1000)),
        b"again" => sender.ask(Duration::ZERO),
        _ => {}
    });
    assert!(matches!(stopped.await, Err(RunError::Stopped)));
}

#[tokio::test]
async fn runs_on_when_nobody_is_left_to_stop_it() {
    let stop: StopSignal = stop::channel().1;
    let dir = TempDir::new().unwrap();
    assert!(
        sandbox::run(script(dir.path(), "true", GENEROUS), &stop, |_| {}).await.unwrap().status.success()
    );
}

#[test]
fn removes_its_directory_without_following_links() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let data = TempDir::new().unwrap();
    let outside = data.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "").unwrap();
    let tmp = data.path().join("tmp/worker");
    let dir = WorkDir::create(&tmp).unwrap();
    let path = dir.path().to_owned();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    symlink(&outside, path.join("link")).unwrap();
    drop(dir);
    assert!(!path.exists() && outside.join("kept").exists());
    fs::create_dir(tmp.join("stale")).unwrap();
    WorkDir::sweep(&tmp).unwrap();
    WorkDir::sweep(&tmp).unwrap();
    assert!(!tmp.exists());
}
