//! The text of a panic goes nowhere: not to the caller, and not to standard error. By itself, because a process has one
//! panic hook.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "the test runs itself again, and talks to itself"
)]

use std::{env, process::Command, sync::Arc};

use async_trait::async_trait;
use hivesync_ffi::{HiveSyncError, SecretStore, StoreError, check_secret_store};

const TEXT: &str = "the secret in a panic";
/// Set where the library is to panic.
const IS_CHILD: &str = "HIVESYNC_TEST_PANICS";

struct Panicking;

#[async_trait]
impl SecretStore for Panicking {
    async fn load(&self, _: String) -> Result<Option<String>, StoreError> {
        panic!("{TEXT}")
    }
    async fn save(&self, _: String, _: String) -> Result<(), StoreError> {
        panic!("{TEXT}")
    }
    async fn delete(&self, _: String) -> Result<(), StoreError> {
        panic!("{TEXT}")
    }
}

/// Prints the error that a call ends with, in which something panics.
fn panic_in_a_call() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let error = runtime.block_on(check_secret_store(Arc::new(Panicking))).unwrap_err();
    assert!(matches!(error, HiveSyncError::Internal { .. }), "{error:?}");
    println!("{error:?} {error}");
}

#[test]
fn the_text_of_a_panic_goes_nowhere() {
    if env::var_os(IS_CHILD).is_some() {
        return panic_in_a_call();
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "the_text_of_a_panic_goes_nowhere", "--nocapture"]).env(IS_CHILD, "");
    let output = child.output().unwrap();
    let (printed, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}\n{complained}");
    assert!(printed.contains("Internal"), "the call failed: {printed}");
    for said in [printed, complained] {
        assert!(!said.contains(TEXT), "{said}");
    }
}
