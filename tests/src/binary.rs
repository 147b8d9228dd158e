//! The real binaries, as processes that a test can kill.

use std::{env, path::PathBuf};

/// The path of a binary of the workspace, which `cargo build --workspace` put beside the tests.
///
/// # Panics
/// If it was not built.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    let mut directory = env::current_exe().expect("the test's own path");
    directory.pop();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let binary = directory.join(name);
    assert!(binary.is_file(), "{name} was not built: run `cargo build --workspace` first, or use tests/run");
    binary
}
