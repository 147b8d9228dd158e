//! `hivesync check`: the boot guard, without a server.

use std::process::ExitCode;

use hivesync_server::{
    app,
    base::{
        boot,
        config::{Fault, Source},
    },
};

/// Runs every check of `serve`, and looks whether migrations are pending.
pub(super) async fn run(source: &Source) -> ExitCode {
    let config = match boot::configure(source) {
        Ok(config) => config,
        Err(faults) => return super::refuse(&faults),
    };
    match app::pending_migrations(&config).await {
        Err(error) => super::fail(&error),
        Ok(0) => {
            println!("Nothing is wrong with the {} configuration.", config.environment.as_str());
            ExitCode::SUCCESS
        }
        Ok(_) if config.environment.is_local() => {
            println!("Nothing is wrong; the schema will be brought up to date at the next start.");
            ExitCode::SUCCESS
        }
        Ok(count) => super::refuse(&[Fault::new(
            "DATABASE_URL",
            format!("lacks {count} migrations"),
            "run `hivesync migrate` with a user that may change the schema",
        )]),
    }
}
