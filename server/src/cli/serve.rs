//! `hivesync serve`: the server, until SIGTERM or Ctrl-C.

use std::process::ExitCode;

use hivesync_server::{
    app::{self, App},
    base::{
        boot,
        clock::Clock,
        config::{Config, Fault, Source},
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
    match start(config).await {
        Ok(app) => until_told(app).await,
        Err(error) => super::fail(&error),
    }
}

/// Starts a server and says where it listens.
pub(super) async fn start(config: Config) -> hivesync_server::base::error::Result<App> {
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

/// Waits for the signal, then drains.
async fn until_told(app: App) -> ExitCode {
    if let Err(error) = lifecycle::told_to_stop().await {
        return super::fail(&error);
    }
    if app.stop().await { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
