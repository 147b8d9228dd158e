//! The command line of the server.

mod check;
mod demo;
mod dev;
mod local;
mod migrate;
mod operator;
mod serve;

use std::{io, path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};
use hivesync_server::base::{
    config::{Fault, Source},
    telemetry,
};

/// HiveSync keeps a hardened mirror of your repository, runs jobs on it, and sends live previews to phones.
#[derive(Parser)]
#[command(
    name = "hivesync",
    version,
    after_help = "Start here:
  hivesync demo            the whole path once, on a throw-away server
  hivesync dev             a server with a worker for your own machine
  HIVESYNC_ENV=production hivesync check
                           what a production configuration still lacks

Exit status: 0 if all went well, 1 if something failed, 2 if the command line or the configuration is wrong."
)]
struct Cli {
    /// A TOML file of settings; the environment wins over it.
    #[arg(long, global = true, value_name = "FILE", env = "HIVESYNC_CONFIG")]
    config: Option<PathBuf>,
    /// What to log, in the syntax of RUST_LOG.
    #[arg(long, global = true, value_name = "FILTER", env = "HIVESYNC_LOG")]
    log: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, as configured by the environment.
    Serve,
    /// Serve with a worker in the same process, on embedded stores in a stable data directory.
    Dev(dev::Dev),
    /// Run the whole path once: sign up, link, sync, publish, open on a second device.
    Demo(demo::Demo),
    /// Bring the database's schema up to date.
    Migrate,
    /// Check the configuration as `serve` does, and say everything that is wrong with it.
    Check,
    /// Say who may see and run the platform.
    Operator(operator::Operator),
    /// Print a completion script for a shell.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the arguments name.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    if let Command::Completions { shell } = cli.command {
        clap_complete::generate(shell, &mut Cli::command(), "hivesync", &mut io::stdout());
        return ExitCode::SUCCESS;
    }
    let quiet = matches!(cli.command, Command::Demo(_));
    let filter = cli
        .log
        .unwrap_or_else(|| if quiet { "error".to_owned() } else { "info,sea_orm_migration=warn".to_owned() });
    telemetry::init(&filter, io::stderr);
    let source = match cli.config {
        None => Ok(Source::environment()),
        Some(path) => Source::environment().with_file(&path),
    };
    let source = match source {
        Ok(source) => source,
        Err(fault) => return refuse(&[fault]),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("hivesync: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        match cli.command {
            Command::Serve => serve::run(&source).await,
            Command::Dev(dev) => dev.run(source).await,
            Command::Demo(demo) => demo.run().await,
            Command::Operator(operator) => operator.run(&source).await,
            Command::Migrate => migrate::run(&source).await,
            Command::Check => check::run(source).await,
            Command::Completions { .. } => ExitCode::SUCCESS,
        }
    })
}

/// Says everything that is wrong, each with its mend.
fn refuse(faults: &[Fault]) -> ExitCode {
    eprintln!("hivesync: refusing to start:");
    for Fault { name, problem, mend } in faults {
        eprintln!("  {name} {problem}\n      -> {mend}");
    }
    ExitCode::from(2)
}

/// Says what went wrong while starting or running.
fn fail(error: &hivesync_server::base::error::Error) -> ExitCode {
    let cause = error.cause().map_or_else(|| error.to_string(), ToString::to_string);
    eprintln!("hivesync: {}", telemetry::redact(&cause));
    ExitCode::FAILURE
}
