//! `hsync login`, `logout` and `whoami`.

use std::io::{self, Write as _};

use clap::Args;
use hivesync::Secret;
use serde_json::json;

use crate::{
    connection::{Connection, client, secret_store},
    failure::{Failure, Result},
    output::Output,
};

const NO_KEY_STORE: &str = "This machine has no usable key store, and nothing is kept without one. \
                            Set HSYNC_SEALED_FILE to keep the session in a file under a passphrase, or \
                            HSYNC_EMAIL and HSYNC_PASSWORD: every command then signs in by itself.";

#[derive(Args)]
#[command(after_help = "\
Examples:
  hsync login ada@example.org
  hsync login ada@example.org --register --name \"Ada Lovelace\"
  pass show hivesync | hsync login ada@example.org --password-stdin

Output with --json: {\"user_id\",\"session_id\",\"device_id\",\"persistent\"}")]
pub(crate) struct LoginArguments {
    /// The e-mail address of the account; asked for if it is left out
    email: Option<String>,
    /// Create the account first
    #[arg(long)]
    register: bool,
    /// How you are shown to others, with --register
    #[arg(long, requires = "register")]
    name: Option<String>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
}

pub(crate) async fn login(arguments: &LoginArguments, server: &str, output: Output) -> Result<()> {
    let store = secret_store().await?;
    let persistent = store.capabilities().persistent;
    if !persistent && !arguments.register {
        return Err(Failure::Usage(format!("There is nothing to stay signed in by. {NO_KEY_STORE}")));
    }
    let client = client(server, store).await?;
    let (email, password) = tokio::task::block_in_place(|| read_credentials(arguments))?;
    if arguments.register {
        let name = arguments.name.as_deref().unwrap_or(&email);
        client.auth().register(&email, &password, name).await?;
    }
    let account = client.auth().login(&email, &password).await?;
    if !persistent {
        client.auth().logout(false).await?;
    }
    output.result(&account, |account| match account.persistent {
        true => format!("Signed in as {email}."),
        false => format!("The account {email} works. {NO_KEY_STORE}"),
    })
}

/// What to sign in with: prompts go to standard error, so that the result can be piped.
fn read_credentials(arguments: &LoginArguments) -> Result<(String, Secret)> {
    let email = match &arguments.email {
        Some(email) => email.clone(),
        None => {
            write!(io::stderr(), "E-mail: ")?;
            read_line()?
        }
    };
    let password =
        if arguments.password_stdin { read_line()? } else { rpassword::prompt_password("Password: ")? };
    Ok((email, Secret::new(password)))
}

fn read_line() -> Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

pub(crate) async fn logout(connection: &Connection, everywhere: bool, output: Output) -> Result<()> {
    connection.client().auth().logout(everywhere).await?;
    output.result(&json!({"signed_out": true}), |_| "Signed out.".to_owned())
}

pub(crate) async fn whoami(connection: &Connection, output: Output) -> Result<()> {
    let me = connection.client().users().me().await?;
    output.result(&me, |me| {
        format!("{} <{}>\nuser {}\nteam {}", me.display_name, me.email, me.id, me.personal_team_id)
    })
}
