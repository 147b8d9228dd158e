//! `hivesync check`: the boot guard, without a server.

use std::{io, process::ExitCode};

use hivesync_server::{
    app,
    base::{
        boot,
        config::{Fault, Source},
        error::Error,
    },
};
use tempfile::TempDir;

/// Runs every check of `serve`, and looks whether migrations are pending. Leaves nothing behind.
pub(super) async fn run(source: Source) -> ExitCode {
    let first_start = boot::first_local_start(&source);
    let (source, _throw_away) = match aside(source, first_start.is_some()) {
        Ok(aside) => aside,
        Err(error) => return super::fail(&Error::internal(error)),
    };
    let mut faults = first_start.unwrap_or_default();
    let config = match boot::configure(&source) {
        Ok(config) if faults.is_empty() => config,
        checked => {
            faults.extend(checked.err().unwrap_or_default());
            return super::refuse(&faults);
        }
    };
    match app::pending_migrations(&config).await {
        Err(error) => super::fail(&error),
        Ok(_) if config.environment.is_local() => {
            println!(
                "Nothing is wrong with the local configuration, which makes its own secrets and schema.\n\
                 HIVESYNC_ENV=production hivesync check says what production lacks."
            );
            ExitCode::SUCCESS
        }
        Ok(0) => {
            println!("Nothing is wrong with the {} configuration.", config.environment.as_str());
            ExitCode::SUCCESS
        }
        Ok(count) => super::refuse(&[Fault::new(
            "DATABASE_URL",
            format!("lacks {count} migrations"),
            "run `hivesync migrate` with a user that may change the schema",
        )]),
    }
}

/// Where a local server has never started, its directory is made elsewhere for the length of the check: it would
/// belong to the local environment ever after.
fn aside(source: Source, is_first_start: bool) -> io::Result<(Source, Option<TempDir>)> {
    if !is_first_start {
        return Ok((source, None));
    }
    let throw_away = tempfile::tempdir()?;
    let data_dir = throw_away.path().join("data");
    Ok((source.with("DATA_DIR", data_dir.to_string_lossy()), Some(throw_away)))
}
