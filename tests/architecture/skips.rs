//! A test that is left out is heard of, although the test runner keeps to itself what a test prints that passes.

use std::{
    collections::BTreeSet,
    env, fs,
    process::{Command, Output},
};

use hivesync_tests::tool;

use crate::source::{repository, tracked};

/// Who may say it: the one place, its copies in the crates that cannot use it, and those that count or explain it.
const SAYING: [&str; 6] = [
    "tests/src/tool.rs",
    "server/src/base/blob/tests.rs",
    "sdk-rust/tests/secret_service.rs",
    ".ci/run",
    "tests/run",
    "CONTRIBUTING.md",
];

/// Put together here, so that this file does not hold it itself.
fn announcement() -> String {
    ["!! SKIP", "PED"].concat()
}

#[test]
fn nobody_else_leaves_something_out() {
    let is_said = |name: &String| {
        fs::read_to_string(repository().join(name)).is_ok_and(|text| text.contains(&announcement()))
    };
    let saying: BTreeSet<String> = tracked("").into_iter().filter(is_said).collect();
    assert_eq!(saying, SAYING.map(str::to_owned).into(), "use hivesync_tests::tool");
}

/// Run by the tests below, in a process of its own.
#[test]
#[ignore = "is run by another test"]
fn a_test_that_lacks_something() {
    tool::do_without("what is not there");
}

fn run_without(ci: Option<&str>) -> Output {
    let mut command = Command::new(env::current_exe().expect("the test's own path"));
    command.args(["--ignored", "--exact", "skips::a_test_that_lacks_something"]).env_remove("CI");
    command.envs(ci.map(|value| ("CI", value))).output().expect("it runs")
}

#[test]
fn what_is_left_out_is_heard_of() {
    let output = run_without(None);
    assert!(output.status.success(), "{}", tool::words(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, format!("{}: what is not there\n", announcement()));
}

#[test]
fn on_ci_nothing_is_left_out() {
    let output = run_without(Some("true"));
    assert!(!output.status.success(), "{}", tool::words(&output));
}
