//! The `hivesync` binary.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    // One TLS provider for everything in this process, before anything can ask for one.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        eprintln!("hivesync: another TLS provider is installed already");
        return ExitCode::FAILURE;
    }
    cli::run()
}
