//! `hivesync migrate`: the schema, apart from the server, so that the server's own user need not own it.

use std::process::ExitCode;

use hivesync_server::{
    app,
    base::{boot, config::Source},
};

/// Brings the schema up to date.
pub(super) async fn run(source: &Source) -> ExitCode {
    let config = match boot::configure(source) {
        Ok(config) => config,
        Err(faults) => return super::refuse(&faults),
    };
    match app::migrate(&config).await {
        Ok(0) => {
            println!("The schema is up to date.");
            ExitCode::SUCCESS
        }
        Ok(count) => {
            println!("Applied {count} migrations.");
            ExitCode::SUCCESS
        }
        Err(error) => super::fail(&error),
    }
}
