//! `hsync`: HiveSync on the command line.

mod arguments;
mod auth;
mod config;
mod config_file;
mod connection;
mod failure;
mod interrupt;
mod job;
mod key_store;
mod notifications;
mod output;
mod preview;
mod project;
mod prompt;
mod repo;
mod schema;
mod settings;
mod team;
mod text;

use std::{io, process::ExitCode, time::Duration};

use clap::{CommandFactory as _, FromArgMatches as _};
use clap_complete::Shell;
use serde_json::json;
use tokio::runtime;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    arguments::{Arguments, Command},
    config_file::ConfigFile,
    connection::Connection,
    failure::{Failure, Result},
    interrupt::Signal,
    output::Output,
    settings::Settings,
};

/// How long the end of the process waits for threads: one may still ask a question that nobody answers.
const SHUTDOWN_MAX: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let matches = Arguments::command().get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if arguments.verbose {
        tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_writer(io::stderr).init();
    }
    let output = Output::new(arguments.json);
    let outcome = runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::from);
    let outcome = outcome.and_then(|runtime| {
        let outcome = runtime.block_on(Box::pin(async {
            match arguments.command {
                Command::Completions { shell } => completions(shell, output),
                command => {
                    let file = ConfigFile::read()?;
                    let settings = Settings::resolve(&arguments.settings, &matches, &file);
                    run(command, &file, &settings, output).await
                }
            }
        }));
        runtime.shutdown_timeout(SHUTDOWN_MAX);
        outcome
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !matches!(failure, Failure::ReaderGone) {
                output.failure(&failure);
            }
            failure.exit_code()
        }
    }
}

fn completions(shell: Shell, output: Output) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "hsync", &mut script);
    if !output.is_json() {
        return output.bytes(&script);
    }
    let result = json!({"shell": shell.to_string(), "script": String::from_utf8_lossy(&script)});
    output.result(&result, |_, _| {})
}

async fn run(command: Command, file: &ConfigFile, settings: &Settings, output: Output) -> Result<()> {
    match command {
        Command::Config { command } => config::run(command, file, settings, output).await,
        Command::Login(login) => until_interrupted(auth::login(&login, settings, output)).await,
        command => {
            let connection = until_interrupted(Connection::open(settings)).await?;
            connected(command, settings, &connection, output).await
        }
    }
}

/// Runs a command, and undoes what it has started if it is interrupted. A second interruption ends at once.
async fn connected(
    command: Command,
    settings: &Settings,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let runs_until_interrupted = command.runs_until_interrupted();
    let outcome = tokio::select! {
        outcome = dispatch(command, settings, connection, output) => outcome,
        signal = interruption(connection) => Err(signal.map_or_else(Failure::from, |signal| {
            Failure::Interrupted { signal, undone: None }
        })),
    };
    let end = async {
        let outcome = match outcome {
            Err(Failure::Interrupted { signal: Signal::Interrupt, .. }) if runs_until_interrupted => Ok(()),
            Err(Failure::Interrupted { signal, .. }) => {
                Err(Failure::Interrupted { signal, undone: connection.undo().await })
            }
            outcome => outcome,
        };
        let closed = connection.close().await;
        outcome.and(closed)
    };
    until_interrupted(end).await
}

async fn interruption(connection: &Connection) -> io::Result<Signal> {
    let signal = Signal::next().await?;
    connection.settle().await;
    Ok(signal)
}

async fn until_interrupted<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        outcome = work => outcome,
        signal = Signal::next() => Err(Failure::Interrupted { signal: signal?, undone: None }),
    }
}

async fn dispatch(
    command: Command,
    settings: &Settings,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    match command {
        Command::Logout { everywhere } => auth::logout(connection, everywhere, output).await,
        Command::Whoami => auth::whoami(connection, settings, output).await,
        Command::Project { command } => project::run(command, connection, output).await,
        Command::Repo { command } => repo::run(command, connection, output).await,
        Command::Preview { command } => Box::pin(preview::run(command, connection, output)).await,
        Command::Job { command } => job::run(command, connection, output).await,
        Command::Notifications(arguments) => notifications::run(arguments, connection, output).await,
        Command::Team { command } => team::run(command, connection, output).await,
        // These need no session and were served before.
        Command::Login(_) | Command::Config { .. } | Command::Completions { .. } => Ok(()),
    }
}
