//! The Secret Service, as a real `gnome-keyring` serves it, on a bus and in directories of the test's own.
//!
//! Which bus a client finds is told by the environment of its process. So each case runs one of the ignored
//! tests below, the clients, in a process of its own.
#![cfg(all(feature = "keychain", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a test has processes")]

use std::{
    env,
    fs::{self, DirBuilder},
    io::{self, Write as _},
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use hivesync::{
    Secret, StorageErrorKind,
    keychain::{conformance, default_store},
};
use tempfile::TempDir;

const SLOT: &str = "session/hivesync.example/default";
const SECRET: &str = "a-refresh-token-that-must-not-be-seen";

/// A bus that starts nothing by itself, whatever is installed.
const BUS: &str = r#"<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>"#;

/// Starts the key store with its collection unlocked; the first time, that makes the collection.
const UNLOCKED: &str = "printf 'the login password' | gnome-keyring-daemon --unlock --components=secrets";
/// Starts the key store as a session without a login has it: locked, or with no collection at all.
const NOT_UNLOCKED: &str = "gnome-keyring-daemon --start --components=secrets";

/// The home of a user whose key store this is.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for directory in ["run", "data", "config", "cache"] {
            DirBuilder::new().mode(0o700).create(home.path().join(directory)).unwrap();
        }
        fs::write(home.path().join("bus.conf"), BUS).unwrap();
        Self(home)
    }

    /// Runs one of the clients below on a bus on which `start` was run.
    fn run(&self, start: &str, client: &str) {
        let script = format!(r#"{start} >&2; exec "$0" --ignored --exact "$1" --nocapture"#);
        let mut command = Command::new("dbus-run-session");
        command.arg("--config-file").arg(self.0.path().join("bus.conf")).args(["--", "sh", "-euc", &script]);
        self.expect(command.arg(env::current_exe().unwrap()).arg(client), client);
    }

    /// Runs one of the clients below without a bus.
    fn run_without_bus(&self, client: &str) {
        let mut command = Command::new(env::current_exe().unwrap());
        command.env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
        self.expect(command.args(["--ignored", "--exact", client, "--nocapture"]), client);
    }

    fn expect(&self, command: &mut Command, client: &str) {
        let home = self.0.path();
        let bus = command.get_envs().find_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let output: Output = command
            .env_clear()
            .envs(bus)
            .env("PATH", env::var_os("PATH").unwrap())
            .env("HOME", home)
            .env("XDG_RUNTIME_DIR", home.join("run"))
            .env("XDG_DATA_HOME", home.join("data"))
            .env("XDG_CONFIG_HOME", home.join("config"))
            .env("XDG_CACHE_HOME", home.join("cache"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let passed = output.status.success() && said.contains("1 passed");
        assert!(passed, "{client}: {}\n{said}", output.status);
    }
}

/// Whether what serves the Secret Service is installed; left out loudly, except on CI.
fn available() -> bool {
    let installed = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    };
    if installed("dbus-run-session") && installed("gnome-keyring-daemon") {
        return true;
    }
    let lack = "the Secret Service: dbus-run-session or gnome-keyring-daemon is not installed; use tests/run";
    assert!(env::var_os("CI").is_none(), "on CI nothing may be left out: {lack}");
    // The process's own stderr: the test runner shows what a test prints only if it fails.
    let _ = io::stderr().write_all(format!("!! SKIPPED: {lack}\n").as_bytes());
    false
}

#[test]
fn without_a_bus_nothing_is_kept() {
    Home::new().run_without_bus("client_keeps_nothing");
}

#[test]
fn without_a_service_nothing_is_kept() {
    if available() {
        Home::new().run("true", "client_keeps_nothing");
    }
}

#[test]
fn without_a_collection_nothing_is_kept() {
    if available() {
        Home::new().run(NOT_UNLOCKED, "client_keeps_nothing");
    }
}

#[test]
fn a_locked_collection_keeps_nothing_new_and_shows_nothing() {
    if available() {
        let home = Home::new();
        home.run(UNLOCKED, "client_saves");
        home.run(NOT_UNLOCKED, "client_keeps_nothing");
        home.run(UNLOCKED, "client_finds_what_was_saved");
    }
}

#[test]
fn an_unlocked_collection_conforms() {
    if available() {
        Home::new().run(UNLOCKED, "client_conforms");
    }
}

#[test]
fn what_is_saved_outlives_the_session_and_is_not_there_in_clear() {
    if available() {
        let home = Home::new();
        home.run(UNLOCKED, "client_saves");
        let files = files_below(&home.0.path().join("data"));
        assert!(!files.is_empty(), "the key store has a file");
        for (path, bytes) in files {
            let shown = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
            assert!(!shown, "{path} holds the secret in clear");
        }
        home.run(UNLOCKED, "client_finds_what_was_saved");
    }
}

#[test]
fn a_collection_that_is_locked_meanwhile_says_so() {
    if available() {
        Home::new().run(UNLOCKED, "client_is_locked_out_meanwhile");
    }
}

fn files_below(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    files
}

#[tokio::test]
#[ignore = "is run by the tests above, in a session of their making"]
async fn client_keeps_nothing() {
    let store = default_store().await;
    assert!(!store.capabilities().persistent);
    assert_eq!(store.load(SLOT).await.unwrap(), None);
    conformance::check(store.as_ref()).await.unwrap();
}

#[tokio::test]
#[ignore = "is run by the tests above, in a session of their making"]
async fn client_conforms() {
    let store = default_store().await;
    assert!(store.capabilities().persistent);
    conformance::check(store.as_ref()).await.unwrap();
}

#[tokio::test]
#[ignore = "is run by the tests above, in a session of their making"]
async fn client_saves() {
    let store = default_store().await;
    assert!(store.capabilities().persistent);
    store.save(SLOT, &Secret::new(SECRET)).await.unwrap();
}

#[tokio::test]
#[ignore = "is run by the tests above, in a session of their making"]
async fn client_finds_what_was_saved() {
    let store = default_store().await;
    assert!(store.capabilities().persistent);
    assert_eq!(store.load(SLOT).await.unwrap(), Some(Secret::new(SECRET)));
}

#[tokio::test]
#[ignore = "is run by the tests above, in a session of their making"]
async fn client_is_locked_out_meanwhile() {
    let store = default_store().await;
    store.save(SLOT, &Secret::new(SECRET)).await.unwrap();
    let locked = Command::new("dbus-send")
        .args(["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"])
        .args(["org.freedesktop.Secret.Service.Lock"])
        .arg("array:objpath:/org/freedesktop/secrets/collection/login")
        .status();
    assert!(locked.unwrap().success());
    assert_eq!(store.save(SLOT, &Secret::new("newer")).await, Err(StorageErrorKind::Locked));
}
