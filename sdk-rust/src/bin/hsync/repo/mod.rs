//! `hsync repo`.

mod read;
mod sync;

use clap::Subcommand;
use hivesync::projects::TreeQuery;

use crate::{
    connection::Connection,
    failure::Result,
    output::Output,
    project,
    schema::{COMMIT, ENTRY, FILE, JOB, KIND, PROGRESS, PROJECT, help},
    value,
};

#[derive(Subcommand)]
pub(crate) enum RepoCommand {
    /// Link a repository to a project, or another one
    #[command(after_help = help(
        "  hsync repo link site https://git.example/site.git\n  \
         hsync repo link site file:///path/to/repository",
        "PROJECT",
        &[PROJECT],
    ))]
    Link {
        /// The project's id or name
        project: String,
        /// The repository: https://, with a local server also file://
        url: String,
    },
    /// Bring the mirror up to date and wait for it
    ///
    /// Ctrl-C cancels the sync, unless somebody else had queued it before.
    #[command(after_help = help(
        "  hsync repo sync site\n  hsync repo sync site --no-wait --json",
        "JOB",
        &[JOB, PROGRESS],
    ))]
    Sync {
        /// The project's id or name
        project: String,
        /// Only queue it
        #[arg(long)]
        no_wait: bool,
    },
    /// Show how the mirror stands, and its last sync
    #[command(after_help = help(
        "  hsync repo status site",
        "{\"project\": PROJECT, \"last_sync\": JOB?}",
        &[PROJECT, JOB, PROGRESS],
    ))]
    Status {
        /// The project's id or name
        project: String,
    },
    /// List a directory of the mirror
    #[command(after_help = help(
        "  hsync repo tree site\n  hsync repo tree site src --recursive",
        "{\"commit\": text, \"left_out\": number, \"entries\": [ENTRY]}",
        &[ENTRY, KIND],
    ))]
    Tree {
        /// The project's id or name
        project: String,
        /// The directory
        #[arg(default_value = "")]
        path: String,
        /// At this commit (40 hexadecimal digits) instead of the head
        #[arg(long, value_parser = value::commit)]
        commit: Option<String>,
        /// With everything below it
        #[arg(long, short)]
        recursive: bool,
    },
    /// Print a file of the mirror
    ///
    /// To a terminal only text is printed, without what would drive the terminal; elsewhere the bytes as they
    /// are.
    #[command(after_help = help(
        "  hsync repo cat site README.md\n  hsync repo cat site logo.png > logo.png",
        "{\"header\": FILE, \"content_base64\": text}",
        &[FILE, KIND],
    ))]
    Cat {
        /// The project's id or name
        project: String,
        /// The file
        path: String,
        /// At this commit (40 hexadecimal digits) instead of the head
        #[arg(long, value_parser = value::commit)]
        commit: Option<String>,
    },
    /// List the commits of the mirror, newest first
    #[command(after_help = help(
        "  hsync repo log site\n  hsync repo log site --limit 5 --full",
        "{\"commit\": text, \"more\": bool, \"commits\": [COMMIT]}",
        &[COMMIT],
    ))]
    Log {
        /// The project's id or name
        project: String,
        /// From this commit (40 hexadecimal digits) instead of the head
        #[arg(long, value_parser = value::commit)]
        commit: Option<String>,
        /// How many at most
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
        /// With whole messages
        #[arg(long)]
        full: bool,
    },
}

pub(crate) async fn run(command: RepoCommand, connection: &Connection, output: Output) -> Result<()> {
    match command {
        RepoCommand::Link { project, url } => {
            let project = connection.project(&project).await?;
            let project = connection.client().projects().link(project.id, &url).await?;
            output.result(&project, project::describe)
        }
        RepoCommand::Sync { project, no_wait } => sync::sync(&project, no_wait, connection, output).await,
        RepoCommand::Status { project } => sync::status(&project, connection, output).await,
        RepoCommand::Tree { project, path, commit, recursive } => {
            read::tree(&project, TreeQuery { commit, path, recursive }, connection, output).await
        }
        RepoCommand::Cat { project, path, commit } => {
            read::cat(&project, &path, commit, connection, output).await
        }
        RepoCommand::Log { project, commit, limit, full } => {
            read::log(&project, commit, limit, full, connection, output).await
        }
    }
}
