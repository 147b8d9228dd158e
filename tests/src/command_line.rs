//! `hsync` as somebody runs it who has no key store: in a home of their own, with a sealed file.

use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
};

use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use crate::binary;

/// A home in which `hsync` is run.
pub struct CommandLine {
    home: TempDir,
    server: String,
}

impl CommandLine {
    /// A new home, whose `hsync` speaks to the server at `server`.
    ///
    /// # Panics
    /// If the home cannot be made.
    #[must_use]
    pub fn new(server: SocketAddr) -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let passphrase = home.path().join("passphrase");
        fs::write(&passphrase, "correct horse battery staple\n").expect("a file");
        fs::set_permissions(&passphrase, PermissionsExt::from_mode(0o600)).expect("a mode");
        Self { home, server: format!("http://{server}") }
    }

    /// Where it is.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The file that holds the session.
    #[must_use]
    pub fn sealed_file(&self) -> PathBuf {
        self.home().join("sealed")
    }

    /// Starts `hsync` with these arguments, and gives it `input` to read. It is killed with what is returned.
    ///
    /// # Panics
    /// If it cannot be started.
    pub async fn start(&self, arguments: &[&str], input: &str) -> Child {
        let mut child = Command::new(binary::path("hsync"))
            .args(arguments)
            .current_dir(self.home())
            .env_clear()
            .env("HOME", self.home())
            .env("HSYNC_SERVER", &self.server)
            .env("HSYNC_SEALED_FILE", self.sealed_file())
            .env("HSYNC_SEALED_PASSPHRASE_FILE", self.home().join("passphrase"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary runs");
        let mut stdin = child.stdin.take().expect("piped");
        // Whoever does not read may be gone by now.
        let _ = stdin.write_all(input.as_bytes()).await;
        child
    }

    /// Runs `hsync` to its end.
    ///
    /// # Panics
    /// If it cannot be run.
    pub async fn run(&self, arguments: &[&str], input: &str) -> Output {
        self.start(arguments, input).await.wait_with_output().await.expect("it ends")
    }
}

/// What an ended `hsync` said, for a failure's message.
#[must_use]
pub fn said(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}
