//! `hsync preview`.

use std::{
    io::{self, Read as _},
    path::PathBuf,
};

use clap::{Subcommand, ValueEnum};
use hivesync::{
    auth::Platform,
    previews::{DirectorySource, PreviewToken, PublishOptions, Published},
    terminal,
};
use serde_json::json;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::{connection::Connection, failure::Result, output::Output};

/// As in the contract.
const TOKEN_BYTES_MAX: u64 = 1024;

#[derive(Subcommand)]
pub(crate) enum PreviewCommand {
    /// Publish the files of a directory and show the token that opens them
    ///
    /// Symbolic links, .git, node_modules, .env files, private keys and what .gitignore, .ignore and
    /// .hivesyncignore exclude stay out. With --json: {"preview","token","expires_at",
    /// "stats":{"files","bytes","new_files","uploaded_bytes","left_out"}}
    Publish {
        /// The project's id or name
        project: String,
        /// The directory
        #[arg(default_value = ".")]
        directory: PathBuf,
        /// What the bundle is for
        #[arg(long, value_enum, default_value_t = Target::Ios)]
        platform: Target,
        /// The only device to open it; by default every device of yours
        #[arg(long)]
        device: Option<Uuid>,
        /// The file to start with; by default index.html or what comes closest
        #[arg(long)]
        entry_point: Option<String>,
        /// The version of the runtime that it needs
        #[arg(long, default_value = "")]
        runtime_version: String,
        /// Seconds it can be opened, 600 to 1800; 0 leaves it to the server
        #[arg(long, default_value_t = 0)]
        lifetime_secs: u32,
    },
    /// Open a preview on this device: fetch and verify its files into a new directory
    ///
    /// With --json: {"directory","entry_point","expires_at","files":[{"path","size","sha256"}],
    /// "stats":{"files","bytes","downloaded_bytes"}}
    Open {
        /// The token; - reads it from standard input, where other users of the machine do not see it
        token: String,
        /// The directory to make
        directory: PathBuf,
    },
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
    match command {
        PreviewCommand::Publish {
            project,
            directory,
            platform,
            device,
            entry_point,
            runtime_version,
            lifetime_secs,
        } => {
            let options = PublishOptions {
                platform: platform.into(),
                device_id: device,
                entry_point,
                runtime_version,
                lifetime_secs,
            };
            publish(&project, directory, &options, connection, output).await
        }
        PreviewCommand::Open { token, directory } => open(&token, directory, connection, output).await,
    }
}

async fn publish(
    project: &str,
    directory: PathBuf,
    options: &PublishOptions,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let source = DirectorySource::new(directory);
    let progress = output.progress("starts");
    let previews = connection.client().previews();
    let published = previews.publish(project.id, &source, options, &|step| progress.publish(step)).await?;
    drop(progress);
    let result = json!({
        "preview": published.preview,
        "token": published.token.expose(),
        "expires_at": published.expires_at.format(&Rfc3339).ok(),
        "stats": published.stats,
    });
    output.result(&result, |_| describe(&published, output.is_terminal()))
}

fn describe(published: &Published, with_code: bool) -> String {
    let stats = &published.stats;
    let token = published.token.expose();
    let code = if with_code { terminal::qr_code(token) } else { None };
    let minutes = (published.expires_at - published.preview.created_at).whole_minutes();
    format!(
        "Published {} files, {} bytes; {} new, {} bytes uploaded, {} left out.\n{}Token, good for {minutes} minutes:\n{token}",
        stats.files,
        stats.bytes,
        stats.new_files,
        stats.uploaded_bytes,
        stats.left_out,
        code.map(|code| format!("{code}\n")).unwrap_or_default(),
    )
}

async fn open(token: &str, directory: PathBuf, connection: &Connection, output: Output) -> Result<()> {
    let token = match token {
        "-" => tokio::task::block_in_place(|| io::read_to_string(io::stdin().take(TOKEN_BYTES_MAX)))?,
        token => token.to_owned(),
    };
    let preview = connection.client().previews().open(&PreviewToken::new(&token)).await?;
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
    output.result(&result, |_| {
        let start = directory.join(preview.entry_point());
        format!(
            "Fetched and verified {} files, {} bytes. Start with {}.",
            stats.files,
            stats.bytes,
            start.display()
        )
    })
}
