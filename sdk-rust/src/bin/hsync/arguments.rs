//! What can be said on the command line.

#![allow(rustdoc::bare_urls, reason = "the comments are the text of `--help`")]

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    auth::LoginArguments,
    config::ConfigCommand,
    job::JobCommand,
    notifications::NotificationArguments,
    preview::PreviewCommand,
    project::ProjectCommand,
    repo::RepoCommand,
    schema::{ACCOUNT, ME, help},
    settings::{EVERYWHERE, SettingArguments},
    team::TeamCommand,
};

/// Sync repositories and show previews with HiveSync
#[derive(Parser)]
#[command(name = "hsync", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) settings: SettingArguments,

    /// Print JSON: one document, or one a line when streaming; errors too, on standard error
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub(crate) json: bool,

    /// Say on standard error what goes on
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Sign in, and stay signed in by the key store of this machine
    Login(LoginArguments),
    /// Sign out
    #[command(after_help = help(
        "  hsync logout\n  hsync logout --everywhere",
        "{\"signed_out\": bool}",
        &[],
    ))]
    Logout {
        /// On all devices
        #[arg(long)]
        everywhere: bool,
    },
    /// Show who is signed in
    #[command(after_help = help("  hsync whoami", "ME", &[ME, ACCOUNT]))]
    Whoami,
    /// Create, look at and delete projects
    #[command(
        after_help = "Examples:\n  hsync project create site --url https://git.example/site.git\n  hsync project list"
    )]
    Project {
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// Link a project's repository, and sync and read its mirror
    #[command(
        after_help = "Examples:\n  hsync repo sync site\n  hsync repo log site\n  hsync repo cat site README.md"
    )]
    Repo {
        #[command(subcommand)]
        command: RepoCommand,
    },
    /// Publish and open previews
    #[command(after_help = "Examples:\n  hsync preview publish site ./dist\n  hsync preview open ./received")]
    Preview {
        #[command(subcommand)]
        command: PreviewCommand,
    },
    /// Look at what the workers do, and stop it
    #[command(after_help = "Examples:\n  hsync job list --project site")]
    Job {
        #[command(subcommand)]
        command: JobCommand,
    },
    /// Show notifications
    Notifications(NotificationArguments),
    /// Work in teams
    #[command(
        after_help = "Examples:\n  hsync team create Engines\n  hsync team invite Engines bob@example.org"
    )]
    Team {
        #[command(subcommand)]
        command: TeamCommand,
    },
    /// Keep settings, such as which server is meant
    #[command(after_help = "Examples:\n  hsync config set server https://hivesync.example")]
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print a completion script for a shell
    #[command(after_help = help(
        "  hsync completions bash > ~/.local/share/bash-completion/completions/hsync\n  \
         hsync completions zsh > ~/.zfunc/_hsync\n  \
         hsync completions fish > ~/.config/fish/completions/hsync.fish",
        "{\"shell\": text, \"script\": text}",
        &[],
    ))]
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
  hsync config set server https://hivesync.example
  hsync login ada@example.org --register --name Ada
  hsync project create site --url https://git.example/site.git
  hsync repo sync site
  hsync repo cat site README.md
  hsync preview publish site ./dist
  hsync preview open ./received
  hsync notifications --follow --json

PROJECT and TEAM are an id or a name.

Settings come from options, else from the environment (HSYNC_SERVER, HSYNC_ACCOUNT,
HSYNC_CA_FILE), else from the configuration file: HSYNC_CONFIG names it, `hsync config list` shows it.

Without a key store (servers, containers) nothing is written to disk unless you choose it. Set
HSYNC_SEALED_FILE to a path to stay signed in by a file that is sealed under a passphrase, which is
asked for, or read from the file that HSYNC_SEALED_PASSPHRASE_FILE names. Or set HSYNC_EMAIL and
HSYNC_PASSWORD instead of `hsync login`: each run then signs in by itself, as a new device, and
signs out at its end. Sign-ins are limited: what runs hsync often is better off with the file.

What --json prints, each command says in its --help: uuid, time (RFC 3339), text, number and bool
are what they say, `x?` may be null, `[x]` is any number of them, and a name in capitals stands for
what follows it. Fields may be added; none goes away. A failure is one document on standard error:
  {\"error\": {\"code\": text, \"reason\": text?, \"message\": text, \"next\": text?,
    \"correlation_id\": text?}}

Colours are shown on a terminal only, and never if NO_COLOR is set.

Exit status:
  0  done
  1  something else failed (internal, io)
  2  the command line or the configuration is wrong (usage)
  3  nobody is signed in, or the session has ended (signed_out)
  4  refused, or not found (forbidden)
  5  the request breaks a rule (invalid_request)
  6  the present state does not allow it, or the repository cannot be fetched (conflict)
  7  a limit is reached (limit_reached, rate_limited)
  8  the server cannot be reached, is busy or did not answer in time (offline, unavailable, timeout)
  9  the job was cancelled (cancelled)
  10  the key store or a file cannot be used (storage)
  11  this client and the server do not understand each other (upgrade_required)
  130, 143  interrupted by Ctrl-C or a signal (interrupted); what this run had started on the
     server is cancelled, and nothing that others have. Ctrl-C is how `hsync notifications
     --follow` is meant to end: that is 0";
