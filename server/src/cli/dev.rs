//! `hivesync dev`: a server for one's own machine.

use std::{path::PathBuf, pin::pin, process::ExitCode};

use clap::Args;
use hivesync_server::base::{
    boot,
    config::{Config, Source},
    error::Result,
    lifecycle,
};

use super::local::LocalServer;

/// What `hivesync dev` takes.
#[derive(Args)]
#[command(
    after_help = "Then, in another terminal:\n  hsync login --register\n  hsync project create demo --url file:///path/to/repository"
)]
pub(super) struct Dev {
    /// Where everything is kept between runs [default: this user's data directory].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Jobs that the worker runs at a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    slots: u32,
}

impl Dev {
    /// Serves until Ctrl-C.
    pub(super) async fn run(self, source: Source) -> ExitCode {
        let source = match &self.data_dir {
            Some(directory) => source.with("DATA_DIR", directory.to_string_lossy()),
            None => source,
        };
        let config = match boot::configure(&source.with("HIVESYNC_ENV", "local")) {
            Ok(config) => config,
            Err(faults) => return super::refuse(&faults),
        };
        Box::pin(self.serve(config)).await.unwrap_or_else(|error| super::fail(&error))
    }

    async fn serve(&self, config: Config) -> Result<ExitCode> {
        let data_dir = config.data_dir.clone();
        let mut told = pin!(lifecycle::told_to_stop()?);
        let server = tokio::select! {
            server = LocalServer::start(config, self.slots) => server?,
            () = &mut told => return Ok(ExitCode::SUCCESS),
        };
        let addresses = server.addresses();
        println!("HiveSync serves {}", addresses.public_url);
        println!("  admin    http://{}", addresses.admin);
        println!("  metrics  http://{}/metrics", addresses.metrics);
        println!("  data     {}", data_dir.display());
        println!("Ctrl-C stops it.");
        told.await;
        Ok(if server.stop().await { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
