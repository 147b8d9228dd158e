//! `hivesync operator`: who may see and run the platform.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use hivesync_server::{
    app,
    base::{
        actor::PlatformRole,
        boot,
        clock::Clock,
        config::Source,
        error::{Reason, Result},
    },
};

/// What `hivesync operator` takes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  hivesync operator grant ada@example.org\n  hivesync operator suspend mallory@example.org"
)]
pub(super) struct Operator {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make an account that exists an operator's, from its next token on.
    Grant {
        /// The e-mail address of the account.
        email: String,
    },
    /// Make it a service account, for automation: it syncs, reads and publishes, and has no say in teams, projects
    /// and accounts.
    Automate {
        /// The e-mail address of the account.
        email: String,
    },
    /// Make it an ordinary account again; tokens that are out keep the role for 15 minutes at most.
    Withdraw {
        /// The e-mail address of the account.
        email: String,
    },
    /// Shut an account: its sessions end within a second, and nobody signs in to it.
    Suspend {
        /// The e-mail address of the account.
        email: String,
    },
    /// Open an account that was shut.
    Reinstate {
        /// The e-mail address of the account.
        email: String,
    },
}

impl Operator {
    /// Changes the account, with the server's own configuration; the server may be running.
    pub(super) async fn run(self, source: &Source) -> ExitCode {
        let config = match boot::configure(source) {
            Ok(config) => config,
            Err(faults) => return super::refuse(&faults),
        };
        let outcome: Result<()> = async {
            let base = app::beside(config, Clock::system()).await?;
            match &self.action {
                Action::Grant { email } => app::set_role(base, email, PlatformRole::Admin).await,
                Action::Automate { email } => app::set_role(base, email, PlatformRole::Service).await,
                Action::Withdraw { email } => app::set_role(base, email, PlatformRole::User).await,
                Action::Suspend { email } => app::suspend(base, email).await,
                Action::Reinstate { email } => app::reinstate(base, email).await,
            }
        }
        .await;
        match outcome {
            Ok(()) => {
                println!("Done, and recorded in the audit log.");
                ExitCode::SUCCESS
            }
            Err(error) if error.reason() == Reason::NotFound => {
                eprintln!("hivesync: there is no account with this address; have it registered first");
                ExitCode::FAILURE
            }
            Err(error) => super::fail(&error),
        }
    }
}
