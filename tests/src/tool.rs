//! Other people's programs: where a test finds them, and what it says where there are none.

use std::{
    env,
    io::{self, Write as _},
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

/// What the slowest of them may take.
const RUN_MAX: Duration = Duration::from_secs(60);

/// The program that the environment names by `setting`, as `tests/run` does. Where it is not to be had, and in a quick
/// run, there is none, which is said aloud.
///
/// # Panics
/// If it is missing on CI.
#[must_use]
pub fn find(setting: &str) -> Option<PathBuf> {
    if is_too_slow(&format!("what {setting} names")) {
        return None;
    }
    let program = env::var_os(setting).map(PathBuf::from);
    if program.is_none() {
        do_without(&format!("{setting} is not set; use tests/run"));
    }
    program
}

/// Whether this is a quick run, which leaves out `what`; that is said aloud.
#[must_use]
pub fn is_too_slow(what: &str) -> bool {
    let is_quick = env::var_os("HIVESYNC_TEST_QUICK").is_some();
    if is_quick {
        leave_out(&format!("{what}, in a quick run"));
    }
    is_quick
}

/// Says aloud what is not tested, and for want of what.
///
/// # Panics
/// On CI, where everything must be there.
pub fn do_without(what: &str) {
    assert!(env::var_os("CI").is_none(), "on CI nothing may be left out: {what}");
    leave_out(what);
}

/// Says aloud what is not tested, on CI too: for what not every machine can have. It goes to the process's own stderr,
/// because the test runner shows what a test prints only if it fails.
pub fn leave_out(what: &str) {
    // In one piece, which nothing that others print comes between.
    let _ = io::stderr().write_all(format!("!! SKIPPED: {what}\n").as_bytes());
}

/// Runs a program to its end.
///
/// # Panics
/// If it cannot be run, or does not end within a minute.
pub async fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("the program runs");
    // A program that does not read its input is free to end before it.
    let _ = child.stdin.take().expect("piped").write_all(input).await;
    tokio::time::timeout(RUN_MAX, child.wait_with_output())
        .await
        .expect("the program ends in time")
        .expect("the program has an output")
}

/// What a program has said on stdout and on stderr.
#[must_use]
pub fn words(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
