//! `hsync`, with a home of its own.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use hivesync_tests::{actor::Actor, binary, caller::PASSWORD, world::World};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::terminal::Terminal;

/// The program, and the environment that it is run in.
pub struct Program {
    home: TempDir,
    environment: Vec<(String, String)>,
}

impl Program {
    /// The program of somebody who has set nothing, on a machine without a key store.
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a temporary directory");
        let bus = format!("unix:path={}", home.path().join("no-bus").display());
        let mut program = Self { environment: Vec::new(), home };
        let path = std::env::var("PATH").unwrap_or_default();
        program.set("HOME", program.home.path().display().to_string().as_str());
        program.set("PATH", &path).set("TERM", "xterm-256color").set("DBUS_SESSION_BUS_ADDRESS", &bus);
        program
    }

    /// The program of somebody who means the server of `world`.
    pub fn for_server(world: &World) -> Self {
        let mut program = Self::new();
        program.set("HSYNC_SERVER", world.app().addresses.public_url.as_str());
        program
    }

    /// The program of `actor`, who is signed in by the environment.
    pub fn of(world: &World, actor: &Actor) -> Self {
        let mut program = Self::for_server(world);
        program.set("HSYNC_EMAIL", &actor.email).set("HSYNC_PASSWORD", PASSWORD);
        program
    }

    /// Sets a variable of the environment.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.unset(name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a variable from the environment.
    pub fn unset(&mut self, name: &str) -> &mut Self {
        self.environment.retain(|(set, _)| set != name);
        self
    }

    /// The home directory, where the program also runs.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Where the configuration file is.
    pub fn config_file(&self) -> PathBuf {
        self.home().join(".config/hivesync/hsync.toml")
    }

    /// Writes the configuration file.
    pub fn configure(&self, text: &str, mode: u32) {
        let path = self.config_file();
        fs::create_dir_all(path.parent().expect("below the home")).expect("a directory");
        fs::write(&path, text).expect("a file");
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).expect("a mode");
    }

    /// A command in this environment, which is to run the program or what is around it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let environment = self.environment.iter().map(|(name, value)| (name, value));
        command.env_clear().envs(environment).current_dir(self.home());
        command
    }

    /// Runs the program in pipes, with `input` on its standard input.
    pub fn run_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut command = self.command(binary::path("hsync"));
        command.args(arguments);
        Finished::of(command, input)
    }

    /// Runs the program in pipes.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.run_with(arguments, b"")
    }

    /// Runs the program, which must succeed; returns what it printed.
    #[track_caller]
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let finished = self.run(arguments);
        assert_eq!(finished.status, 0, "hsync {arguments:?}: {finished:?}");
        finished.stdout
    }

    /// Runs the program with `--json`, which must succeed; returns the document that it printed.
    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.succeed(&[arguments, &["--json"]].concat());
        serde_json::from_str(&printed).expect("one document")
    }

    /// Starts the program on a terminal.
    pub fn on_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::start(self, &binary::path("hsync"), arguments)
    }
}

/// What a run of the program came to.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Finished {
    /// Runs a command in pipes, with `input` on its standard input.
    pub fn of(mut command: Command, input: &[u8]) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        block_in_place(|| {
            let mut child = command.spawn().expect("the program is there");
            // The program may end without having read it.
            let _ = std::io::Write::write_all(&mut child.stdin.take().expect("piped"), input);
            Self::from(child.wait_with_output().expect("it ends"))
        })
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self {
            status: output.status.code().expect("it was not killed"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
