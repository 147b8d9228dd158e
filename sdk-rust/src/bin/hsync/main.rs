//! `hsync`: HiveSync on the command line.

mod arguments;
mod auth;
mod connection;
mod failure;
mod notifications;
mod output;
mod preview;
mod project;
mod repo;

use std::{io, process::ExitCode};

use clap::{CommandFactory as _, Parser as _};
use tracing_subscriber::filter::LevelFilter;

use crate::{
    arguments::{Arguments, Command},
    connection::Connection,
    failure::{Failure, Result},
    output::Output,
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.verbose {
        tracing_subscriber::fmt().with_max_level(LevelFilter::DEBUG).with_writer(io::stderr).init();
    }
    let output = Output::new(arguments.json);
    match Box::pin(run(arguments, output)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            failure.exit_code()
        }
    }
}

async fn run(arguments: Arguments, output: Output) -> Result<()> {
    if let Command::Completions { shell } = arguments.command {
        clap_complete::generate(shell, &mut Arguments::command(), "hsync", &mut io::stdout());
        return Ok(());
    }
    if let Command::Login(login) = &arguments.command {
        return auth::login(login, &arguments.server, output).await;
    }
    let connection = Connection::open(&arguments.server).await?;
    let runs_until_interrupted = arguments.command.runs_until_interrupted();
    let outcome = tokio::select! {
        outcome = dispatch(arguments.command, &connection, output) => outcome,
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Failure::from, |()| Failure::Interrupted)),
    };
    let closed = connection.close(outcome.is_err()).await;
    match outcome {
        Err(Failure::Interrupted) if runs_until_interrupted => closed,
        outcome => outcome.and(closed),
    }
}

async fn dispatch(command: Command, connection: &Connection, output: Output) -> Result<()> {
    match command {
        Command::Logout { everywhere } => auth::logout(connection, everywhere, output).await,
        Command::Whoami => auth::whoami(connection, output).await,
        Command::Project { command } => project::run(command, connection, output).await,
        Command::Repo { command } => repo::run(command, connection, output).await,
        Command::Preview { command } => Box::pin(preview::run(command, connection, output)).await,
        Command::Notifications(arguments) => notifications::run(arguments, connection, output).await,
        // Both need no session and were served before.
        Command::Login(_) | Command::Completions { .. } => Ok(()),
    }
}
