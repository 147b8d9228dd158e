//! `hsync preview`.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use clap::{Args, Subcommand, ValueEnum};
use futures::{StreamExt as _, TryStreamExt as _};
use hivesync::{
    auth::Platform,
    previews::{
        DirectorySource, Preview, PreviewState, PreviewToken, PublishOptions, PublishPhase, PublishProgress,
        Published,
    },
    terminal,
};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{
    connection::{Connection, Started},
    failure::{Failure, Result},
    job::word,
    output::Output,
    prompt,
    schema::{PREVIEW, help},
    text::{Cell, Style, Text, moment},
    value,
};

const NO_TERMINAL: &str = "There is no terminal to ask for the token at.";
const NO_TOKEN: &str = "No token was given. Type it, or put it on the first line of standard input: it is what \
                        `hsync preview publish` printed last.";

#[derive(Subcommand)]
pub(crate) enum PreviewCommand {
    /// Publish the files of a directory and show the token that opens them
    ///
    /// Symbolic links, .git, node_modules, .env files, private keys and what .gitignore, .ignore and
    /// .hivesyncignore exclude stay out. On a terminal the token is shown as a QR code, too. Ctrl-C revokes
    /// what is not published yet.
    #[command(after_help = help(
        "  hsync preview publish site ./dist\n  \
         hsync preview publish site ./dist --platform android --lifetime-secs 600",
        "{\"preview\": PREVIEW, \"token\": text, \"expires_at\": time, \"stats\": {\"files\": number,\n    \
         \"bytes\": number, \"new_files\": number, \"uploaded_bytes\": number, \"left_out\": number}}",
        &[PREVIEW],
    ))]
    Publish(PublishArguments),
    /// Open a preview on this device: fetch and verify its files into a new directory
    ///
    /// The token is asked for, or read from the first line of standard input: on the command line, other
    /// users of the machine would see it.
    #[command(after_help = help(
        "  hsync preview open ./received\n  hsync preview open ./received < token.txt",
        "{\"directory\": text, \"entry_point\": text, \"expires_at\": time,\n    \
         \"files\": [{\"path\": text, \"size\": number, \"sha256\": text}],\n    \
         \"stats\": {\"files\": number, \"bytes\": number, \"downloaded_bytes\": number}}",
        &[],
    ))]
    Open {
        /// The directory to make
        directory: PathBuf,
    },
    /// List the previews of a project, newest first
    #[command(after_help = help(
        "  hsync preview list site\n  hsync preview list site --limit 5 --json",
        "{\"previews\": [PREVIEW]}",
        &[PREVIEW],
    ))]
    List {
        /// The project's id or name
        project: String,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// End a preview at once
    #[command(after_help = help(
        "  hsync preview revoke 0192f0c4-5e1a-7b2c-9d3e-4f5061728394",
        "PREVIEW",
        &[PREVIEW],
    ))]
    Revoke {
        /// The preview's id
        #[arg(value_parser = value::id)]
        preview: Uuid,
    },
}

#[derive(Args)]
pub(crate) struct PublishArguments {
    /// The project's id or name
    project: String,
    /// The directory
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// What the bundle is for
    #[arg(long, value_enum, default_value_t = Target::Ios)]
    platform: Target,
    /// The only device to open it, by the id that `hsync whoami` shows there; by default every device of yours
    #[arg(long, value_parser = value::id)]
    device: Option<Uuid>,
    /// The file to start with; by default index.html or what comes closest
    #[arg(long)]
    entry_point: Option<String>,
    /// The version of the runtime that it needs
    #[arg(long, default_value = "")]
    runtime_version: String,
    /// Seconds it can be opened, 600 to 1800; 0 leaves it to the server
    #[arg(long, default_value_t = 0, value_parser = value::lifetime_secs)]
    lifetime_secs: u32,
}

/// What a bundle can be for.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Target {
    Desktop,
    Ios,
    Android,
    Web,
}

impl From<Target> for Platform {
    fn from(target: Target) -> Self {
        match target {
            Target::Desktop => Self::Desktop,
            Target::Ios => Self::Ios,
            Target::Android => Self::Android,
            Target::Web => Self::Web,
        }
    }
}

pub(crate) async fn run(command: PreviewCommand, connection: &Connection, output: Output) -> Result<()> {
    let previews = connection.client().previews();
    match command {
        PreviewCommand::Publish(arguments) => publish(arguments, connection, output).await,
        PreviewCommand::Open { directory } => open(directory, connection, output).await,
        PreviewCommand::List { project, limit } => {
            let project = connection.project(&project).await?;
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let listed: Vec<Preview> = previews.all(project.id).take(limit).try_collect().await?;
            output.result(&json!({"previews": &listed}), |_, text| {
                text.table(&listed.iter().map(row).collect::<Vec<_>>());
            })
        }
        PreviewCommand::Revoke { preview } => {
            output.result(&previews.revoke(preview).await?, |_, text| text.line("Revoked."))
        }
    }
}

async fn publish(arguments: PublishArguments, connection: &Connection, output: Output) -> Result<()> {
    let project = connection.project(&arguments.project).await?;
    let source = DirectorySource::new(arguments.directory);
    let options = PublishOptions {
        platform: arguments.platform.into(),
        device_id: arguments.device,
        entry_point: arguments.entry_point,
        runtime_version: arguments.runtime_version,
        lifetime_secs: arguments.lifetime_secs,
    };
    let progress = output.progress("starts");
    let previews = connection.client().previews();
    let unsettled = Mutex::new(None);
    let note = |step: &PublishProgress| {
        let mut unsettled = unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = step.preview_id {
            connection.started(Started::Preview(id));
            *unsettled = None;
        } else if step.phase == PublishPhase::Hashing && step.files_done == step.files_total {
            // What follows makes the preview, and an interruption before its answer could not revoke it.
            *unsettled = connection.unsettled();
        }
        progress.publish(step);
    };
    let published = previews.publish(project.id, &source, &options, &note).await?;
    connection.ended();
    drop(progress);
    let result = json!({
        "preview": published.preview,
        "token": published.token.expose(),
        "expires_at": published.expires_at.format(&Rfc3339).ok(),
        "stats": published.stats,
    });
    output.result(&result, |_, text| describe(&published, output.is_terminal(), text))
}

fn describe(published: &Published, with_code: bool, text: &mut Text) {
    let (stats, token) = (&published.stats, published.token.expose());
    text.line(format!(
        "Published {} files, {} bytes; {} new, {} bytes uploaded, {} left out.",
        stats.files, stats.bytes, stats.new_files, stats.uploaded_bytes, stats.left_out,
    ));
    if let Some(code) = with_code.then(|| terminal::qr_code(token)).flatten() {
        text.block("", &code);
    }
    let minutes = (published.expires_at - published.preview.created_at).whole_minutes();
    text.line(format!("Token, good for {minutes} minutes:"));
    text.line(token);
}

async fn open(directory: PathBuf, connection: &Connection, output: Output) -> Result<()> {
    let token = match io::stdin().is_terminal() {
        true => prompt::secret("Token: ", NO_TERMINAL).await?,
        false => prompt::first_line().await?,
    };
    if token.expose().trim().is_empty() {
        return Err(Failure::Usage(NO_TOKEN.to_owned()));
    }
    let preview = connection.client().previews().open(&PreviewToken::new(token.expose())).await?;
    let progress = output.progress("starts");
    let stats = preview.save_to(&directory, &|step| progress.open(step)).await?;
    drop(progress);
    let result = json!({
        "directory": directory,
        "entry_point": preview.entry_point(),
        "expires_at": preview.expires_at().format(&Rfc3339).ok(),
        "files": preview.files(),
        "stats": stats,
    });
    output.result(&result, |_, text| {
        let start = directory.join(preview.entry_point());
        let (files, bytes) = (stats.files, stats.bytes);
        text.line(format!(
            "Fetched and verified {files} files, {bytes} bytes. Start with {}.",
            start.display()
        ));
    })
}

fn row(preview: &Preview) -> [Cell; 4] {
    let style = match preview.state {
        PreviewState::Ready => Style::Good,
        PreviewState::Failed => Style::Bad,
        PreviewState::Uploading | PreviewState::Verifying => Style::Notice,
        _ => Style::Faint,
    };
    [
        preview.id.into(),
        Cell::styled(style, word(&preview.state)),
        format!("{} files, {} bytes", preview.file_count, preview.total_bytes).into(),
        format!("until {}", moment(preview.expires_at)).into(),
    ]
}
