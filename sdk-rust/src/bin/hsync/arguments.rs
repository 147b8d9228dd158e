//! What can be said on the command line.

#![allow(rustdoc::bare_urls, reason = "the comments are the text of `--help`")]

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{auth::LoginArguments, notifications::NotificationArguments, preview, project, repo};

/// Sync repositories and show previews with HiveSync
#[derive(Parser)]
#[command(name = "hsync", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Arguments {
    /// The server, such as https://hivesync.example
    #[arg(long, global = true, env = "HSYNC_SERVER", default_value = "http://127.0.0.1:7440")]
    pub(crate) server: String,

    /// Print JSON: one document, or one a line when streaming; errors too, on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say on standard error what goes on
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Sign in, and stay signed in by the key store of this machine
    Login(LoginArguments),
    /// Sign out
    Logout {
        /// On all devices
        #[arg(long)]
        everywhere: bool,
    },
    /// Show who is signed in
    Whoami,
    /// Create and look at projects
    #[command(after_help = project::AFTER_HELP)]
    Project {
        #[command(subcommand)]
        command: project::ProjectCommand,
    },
    /// Sync and read the mirror of a project's repository
    Repo {
        #[command(subcommand)]
        command: repo::RepoCommand,
    },
    /// Publish and open previews
    Preview {
        #[command(subcommand)]
        command: preview::PreviewCommand,
    },
    /// Show notifications
    Notifications(NotificationArguments),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Whether Ctrl-C is how the command is meant to end.
    pub(crate) fn runs_until_interrupted(&self) -> bool {
        matches!(self, Self::Notifications(arguments) if arguments.follow)
    }
}

const AFTER_HELP: &str = "\
Examples:
  hsync login ada@example.org --register --name Ada
  hsync project create site --url https://git.example/site.git
  hsync repo sync site
  hsync repo cat site README.md
  hsync preview publish site ./dist
  hsync preview open TOKEN ./received
  hsync notifications --follow --json

PROJECT is the id of a project or its name.

Without a key store (servers, containers) nothing is written to disk unless you choose it. Set
HSYNC_SEALED_FILE to a path to stay signed in by a file that is sealed under a passphrase, which is
asked for, or read from the file that HSYNC_SEALED_PASSPHRASE_FILE names. Or set HSYNC_EMAIL and
HSYNC_PASSWORD instead of `hsync login`: each run then signs in by itself, as a new device, and
signs out at its end.

Exit status:
  0  done
  1  something else failed
  2  the command line is wrong
  3  nobody is signed in, or the session has ended
  4  refused, or not found
  5  the request breaks a rule
  6  the present state does not allow it
  7  a limit is reached
  8  the server cannot be reached, is busy or did not answer in time
  130  interrupted; a sync that was started is cancelled";
