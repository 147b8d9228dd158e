//! `hivesync serve`: the server, until SIGTERM or Ctrl-C.

use std::{pin::pin, process::ExitCode};

use hivesync_server::{
    app::{self, App},
    base::{
        boot,
        clock::Clock,
        config::{Config, Fault, Source},
        error::Result,
        lifecycle,
    },
};

/// Serves until the process is told to stop, and drains.
pub(super) async fn run(source: &Source) -> ExitCode {
    let config = match boot::configure(source) {
        Ok(config) => config,
        Err(faults) => return super::refuse(&faults),
    };
    if !config.environment.is_local() {
        match app::pending_migrations(&config).await {
            Ok(0) => {}
            Ok(count) => {
                return super::refuse(&[Fault::new(
                    "DATABASE_URL",
                    format!("lacks {count} migrations"),
                    "run `hivesync migrate` first",
                )]);
            }
            Err(error) => return super::fail(&error),
        }
    }
    Box::pin(serve(config)).await.unwrap_or_else(|error| super::fail(&error))
}

/// Starts a server and says where it listens.
pub(super) async fn start(config: Config) -> Result<App> {
    if config.environment.is_local() {
        eprintln!("DEV MODE – NOT SECURE: plaintext on loopback, generated secrets. Never use it for real.");
    }
    let app = App::start(config, Clock::system()).await?;
    let addresses = &app.addresses;
    tracing::info!(
        event = "server.started",
        public = %addresses.public,
        worker = %addresses.worker,
        admin = %addresses.admin,
        metrics = %addresses.metrics,
    );
    Ok(app)
}

/// Serves until the signal, which may come before it does, then drains.
async fn serve(config: Config) -> Result<ExitCode> {
    let mut told = pin!(lifecycle::told_to_stop()?);
    let app = tokio::select! {
        app = start(config) => app?,
        () = &mut told => return Ok(ExitCode::SUCCESS),
    };
    told.await;
    Ok(if app.stop().await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
