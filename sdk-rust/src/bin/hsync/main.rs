//! `hsync`: HiveSync on the command line.

mod arguments;
mod auth;
mod command_line;
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
mod value;

use std::{process::ExitCode, time::Duration};

use clap::CommandFactory as _;
use clap_complete::Shell;
use serde_json::json;
use tokio::runtime;

use crate::{
    arguments::{Arguments, Command},
    config_file::ConfigFile,
    connection::Connection,
    failure::{Failure, Result},
    interrupt::{Interruptions, Signal},
    output::Output,
    settings::Settings,
};

/// How long the end of the process waits for threads: one may still ask a question that nobody answers.
const SHUTDOWN_MAX: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    let (matches, arguments) = match command_line::parse() {
        Ok(parsed) => parsed,
        Err(error) => return command_line::refuse(&error),
    };
    if arguments.verbose {
        output::show_log();
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
    let mut interruptions = Interruptions::listen()?;
    match command {
        Command::Config { command } => config::run(command, file, settings, output).await,
        Command::Login(login) => interruptions.or(auth::login(&login, settings, output)).await,
        command => {
            let connection = interruptions.or(Connection::open(settings)).await?;
            let ends_well = command.runs_until_interrupted();
            let work = async {
                connection.sign_in().await?;
                dispatch(command, settings, &connection, output).await
            };
            let outcome = tokio::select! {
                outcome = work => outcome,
                signal = interruption(&mut interruptions, &connection) => {
                    Err(Failure::Interrupted { signal, undone: None })
                }
            };
            interruptions.or(finish(outcome, ends_well, &connection)).await
        }
    }
}

async fn interruption(interruptions: &mut Interruptions, connection: &Connection) -> Signal {
    let signal = interruptions.next().await;
    connection.settle().await;
    signal
}

/// Undoes what an interrupted run has started, and ends a session that was for this run alone. Another
/// interruption ends this, too.
async fn finish(outcome: Result<()>, ends_well: bool, connection: &Connection) -> Result<()> {
    let outcome = match outcome {
        Err(Failure::Interrupted { signal: Signal::Interrupt, .. }) if ends_well => Ok(()),
        Err(Failure::Interrupted { signal, .. }) => {
            Err(Failure::Interrupted { signal, undone: connection.undo().await })
        }
        outcome => outcome,
    };
    let closed = connection.close().await;
    outcome.and(closed)
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
