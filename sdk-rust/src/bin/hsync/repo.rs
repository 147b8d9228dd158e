//! `hsync repo`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Subcommand;
use futures::TryStreamExt as _;
use hivesync::{
    jobs::Job,
    page::PageRequest,
    projects::{FileQuery, TreeEntry, TreeEntryKind, TreeQuery},
};
use serde_json::json;

use crate::{connection::Connection, failure::Result, output::Output};

/// Entries asked for at a time.
const TREE_PAGE: u32 = 1_000;
/// The largest file that a server serves.
const FILE_BYTES_MAX: usize = 50 * 1024 * 1024;

#[derive(Subcommand)]
pub(crate) enum RepoCommand {
    /// Bring the mirror up to date and wait for it; Ctrl-C cancels it
    ///
    /// With --json: the job, {"id","kind","state","attempts","failure","progress",…}
    Sync {
        /// The project's id or name
        project: String,
        /// Only queue it
        #[arg(long)]
        no_wait: bool,
    },
    /// List a directory of the mirror
    ///
    /// With --json: {"commit","left_out","entries":[{"path","kind","size","object_id"}]}
    Tree {
        /// The project's id or name
        project: String,
        /// The directory
        #[arg(default_value = "")]
        path: String,
        /// At this commit (40 hexadecimal digits) instead of the head
        #[arg(long)]
        commit: Option<String>,
        /// With everything below it
        #[arg(long, short)]
        recursive: bool,
    },
    /// Print a file of the mirror
    ///
    /// With --json: {"header":{"size","object_id","binary","kind","commit"},"content_base64"}
    Cat {
        /// The project's id or name
        project: String,
        /// The file
        path: String,
        /// At this commit (40 hexadecimal digits) instead of the head
        #[arg(long)]
        commit: Option<String>,
    },
}

pub(crate) async fn run(command: RepoCommand, connection: &Connection, output: Output) -> Result<()> {
    match command {
        RepoCommand::Sync { project, no_wait } => sync(&project, no_wait, connection, output).await,
        RepoCommand::Tree { project, path, commit, recursive } => {
            tree(&project, TreeQuery { commit, path, recursive }, connection, output).await
        }
        RepoCommand::Cat { project, path, commit } => cat(&project, &path, commit, connection, output).await,
    }
}

async fn sync(project: &str, no_wait: bool, connection: &Connection, output: Output) -> Result<()> {
    let project = connection.project(project).await?;
    let mut job = connection.client().projects().sync(project.id).await?;
    if no_wait {
        return output.result(&job, |job| format!("Queued as {}.", job.id));
    }
    connection.started(job.id);
    let progress = output.progress("starts");
    let states = connection.client().jobs().watch(job.id);
    futures::pin_mut!(states);
    while let Some(state) = states.try_next().await? {
        progress.job(&state);
        job = state;
    }
    connection.ended();
    drop(progress);
    let job = job.into_result()?;
    let project = connection.client().projects().get(project.id).await?;
    output.result(&job, |job: &Job| {
        let head = project.head_commit.unwrap_or_default();
        let branch = project.default_branch.unwrap_or_default();
        let took = job.finished_at.zip(job.started_at).map(|(end, start)| end - start);
        let secs = took.map(|took| format!(" in {:.1} s", took.as_seconds_f64())).unwrap_or_default();
        format!("Synced {}{secs}: {branch} is at {head}.", project.name)
    })
}

async fn tree(project: &str, query: TreeQuery, connection: &Connection, output: Output) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let (mut query, mut request) = (query, Some(PageRequest { size: TREE_PAGE, token: None }));
    let (mut entries, mut left_out) = (Vec::new(), 0);
    while let Some(page) = request.take() {
        let tree = projects.tree(project.id, &query, page).await?;
        entries.extend(tree.page.items);
        left_out += tree.left_out;
        query.commit = Some(tree.commit);
        request = tree.page.next.map(|token| PageRequest { size: TREE_PAGE, token: Some(token) });
    }
    let result = json!({"commit": query.commit, "left_out": left_out, "entries": &entries});
    output.result(&result, |_| entries.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// A path, marked like `ls -F` does.
fn line(entry: &TreeEntry) -> String {
    let mark = match entry.kind {
        TreeEntryKind::Directory => "/",
        TreeEntryKind::Executable => "*",
        TreeEntryKind::Symlink => "@",
        TreeEntryKind::Submodule => "=",
        _ => "",
    };
    format!("{}{mark}", entry.path)
}

async fn cat(
    project: &str,
    path: &str,
    commit: Option<String>,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let query = FileQuery { commit, ..FileQuery::default() };
    let mut file = connection.client().projects().read_file(project.id, path, query).await?;
    if output.is_json() {
        let header = file.header().clone();
        let content = BASE64_STANDARD.encode(file.read_all(FILE_BYTES_MAX).await?);
        return output.result(&json!({"header": header, "content_base64": content}), |_| String::new());
    }
    while let Some(chunk) = file.try_next().await? {
        output.bytes(&chunk)?;
    }
    Ok(())
}
