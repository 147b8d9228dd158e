//! `hsync login`, `logout` and `whoami`.

use clap::Args;
use hivesync::{Account, Secret, users::User};
use serde::Serialize;
use serde_json::json;

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    key_store,
    output::Output,
    prompt,
    schema::{ACCOUNT, help},
    settings::{SettingName, Settings},
    text::{Cell, Style},
};

const NO_KEY_STORE: &str = "This machine has no usable key store, and nothing is kept without one. \
                            Set HSYNC_SEALED_FILE to keep the session in a file under a passphrase, or \
                            HSYNC_EMAIL and HSYNC_PASSWORD: every command then signs in by itself.";
const NO_TERMINAL: &str = "There is no terminal to ask for the password at. Give it by --password-stdin.";

#[derive(Args)]
#[command(after_help = help(
    "  hsync login ada@example.org\n  hsync login ada@example.org --register --name \"Ada Lovelace\"\n  \
     pass show hivesync | hsync login ada@example.org --password-stdin",
    "ACCOUNT",
    &[ACCOUNT],
))]
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
    #[arg(long, requires = "email")]
    password_stdin: bool,
}

pub(crate) async fn login(arguments: &LoginArguments, settings: &Settings, output: Output) -> Result<()> {
    let store = key_store::open().await?;
    let persistent = store.capabilities().persistent;
    if !persistent && !arguments.register {
        return Err(Failure::Usage(format!("There is nothing to stay signed in by. {NO_KEY_STORE}")));
    }
    let client = settings.client(store).await?;
    let (email, password) = credentials(arguments).await?;
    if arguments.register {
        let name = arguments.name.as_deref().unwrap_or(&email);
        client.auth().register(&email, &password, name).await?;
    }
    let account = client.auth().login(&email, &password).await?;
    if !persistent {
        client.auth().logout(false).await?;
    }
    output.result(&account, |account, text| match account.persistent {
        true => text.line(format!("Signed in as {email}.")),
        false => text.line(format!("The account {email} works. {NO_KEY_STORE}")),
    })
}

async fn credentials(arguments: &LoginArguments) -> Result<(String, Secret)> {
    let email = match &arguments.email {
        Some(email) => email.clone(),
        None => prompt::line("E-mail: ").await?,
    };
    let password = match arguments.password_stdin {
        true => prompt::first_line().await?,
        // There is no way to set another if this one is not what was meant.
        false if arguments.register => {
            prompt::new_secret("Password: ", "The password again: ", NO_TERMINAL).await?
        }
        false => prompt::secret("Password: ", NO_TERMINAL).await?,
    };
    Ok((email, password))
}

pub(crate) async fn logout(connection: &Connection, everywhere: bool, output: Output) -> Result<()> {
    connection.client().auth().logout(everywhere).await?;
    output.result(&json!({"signed_out": true}), |_, text| text.line("Signed out."))
}

/// Who is signed in, and by what.
#[derive(Serialize)]
struct Me {
    #[serde(flatten)]
    user: User,
    session: Account,
}

pub(crate) async fn whoami(connection: &Connection, settings: &Settings, output: Output) -> Result<()> {
    let client = connection.client();
    let me = Me { user: client.users().me().await?, session: client.auth().account().await? };
    output.result(&me, |Me { user, session }, text| {
        text.parts([Cell::styled(Style::Strong, &user.display_name), format!(" <{}>", user.email).into()]);
        text.line(format!("user {}", user.id));
        text.line(format!("team {}", user.personal_team_id));
        text.line(format!("device {}", session.device_id));
        text.line(format!("on {}", settings.get(SettingName::Server).value.unwrap_or_default()));
        if !session.persistent {
            text.line("the session ends with this run: nothing is kept");
        }
    })
}
