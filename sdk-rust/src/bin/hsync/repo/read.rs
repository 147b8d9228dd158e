//! `hsync repo tree`, `cat` and `log`.

use std::cell;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::{StreamExt as _, TryStreamExt as _};
use hivesync::{
    Error, ErrorReason,
    page::{self, PageRequest},
    projects::{Commit, FileQuery, TreeEntry, TreeEntryKind, TreeQuery},
};
use serde_json::json;

use crate::{
    connection::Connection,
    failure::{Failure, Result},
    output::Output,
    text::{Cell, Style, Text, moment},
};

/// Entries asked for at a time.
const TREE_PAGE: u32 = 1_000;
/// Commits asked for at a time.
const LOG_PAGE: u32 = 200;
/// The largest file that a server serves.
const FILE_BYTES_MAX: usize = 50 * 1024 * 1024;
/// Digits of a commit that tell it from others to a person.
const SHORT_DIGITS: usize = 12;

pub(super) async fn tree(
    project: &str,
    query: TreeQuery,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let (commit, left_out) = (cell::RefCell::new(query.commit.clone()), cell::Cell::new(0));
    let entries = page::stream(|page| async {
        let query = TreeQuery { commit: commit.borrow().clone(), ..query.clone() };
        let page = PageRequest { size: TREE_PAGE, ..page };
        let tree = projects.tree(project.id, &query, page).await?;
        left_out.set(tree.left_out.saturating_add(left_out.get()));
        commit.replace(Some(tree.commit));
        Ok(tree.page)
    });
    let entries: Vec<TreeEntry> =
        entries.try_collect().await.map_err(|error| not_in_mirror(error, "directory", &query.path))?;
    let (commit, left_out) = (commit.into_inner(), left_out.get());
    let result = json!({"commit": commit, "left_out": left_out, "entries": &entries});
    output.result(&result, |_, text| {
        for entry in &entries {
            entry_line(entry, text);
        }
        if left_out > 0 {
            let why = "whose paths are not usable everywhere";
            text.line(Cell::styled(Style::Notice, format!("and {left_out} {why}")));
        }
    })
}

/// A path, marked like `ls -F` does.
fn entry_line(entry: &TreeEntry, text: &mut Text) {
    let mark = match entry.kind {
        TreeEntryKind::Directory => "/",
        TreeEntryKind::Executable => "*",
        TreeEntryKind::Symlink => "@",
        TreeEntryKind::Submodule => "=",
        _ => "",
    };
    let path = match entry.kind {
        TreeEntryKind::Directory => Cell::styled(Style::Strong, &entry.path),
        _ => Cell::from(&entry.path),
    };
    text.parts([path, mark.into()]);
}

pub(super) async fn cat(
    project: &str,
    path: &str,
    commit: Option<String>,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let query = FileQuery { commit, ..FileQuery::default() };
    let file = connection.client().projects().read_file(project.id, path, query).await;
    let mut file = file.map_err(|error| not_in_mirror(error, "file", path))?;
    if output.is_json() {
        let header = file.header().clone();
        let content = BASE64_STANDARD.encode(file.read_all(FILE_BYTES_MAX).await?);
        return output.result(&json!({"header": header, "content_base64": content}), |_, _| {});
    }
    if output.is_terminal() {
        if file.header().binary {
            let say = "The file is no text, and would disturb the terminal. Write it to a file with >.";
            return Err(Failure::Usage(say.to_owned()));
        }
        let bytes = file.read_all(FILE_BYTES_MAX).await?;
        return output.result(&(), |(), text| text.block("", &String::from_utf8_lossy(&bytes)));
    }
    while let Some(chunk) = file.try_next().await? {
        output.bytes(&chunk)?;
    }
    Ok(())
}

pub(super) async fn log(
    project: &str,
    commit: Option<String>,
    limit: u32,
    full: bool,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let (commit, sent, goes_on) =
        (cell::RefCell::new(commit), cell::Cell::new(0_usize), cell::Cell::new(false));
    let commits = page::stream(|page| async {
        let from = commit.borrow().clone();
        let page = PageRequest { size: limit.min(LOG_PAGE), ..page };
        let log = projects.commits(project.id, from.as_deref(), page).await?;
        sent.set(sent.get().saturating_add(log.page.items.len()));
        goes_on.set(log.truncated || log.page.next.is_some());
        commit.replace(Some(log.commit));
        Ok(log.page)
    });
    let commits: Vec<Commit> =
        commits.take(wanted).try_collect().await.map_err(|error| not_in_mirror(error, "commit", ""))?;
    let (commit, more) = (commit.into_inner(), goes_on.get() || sent.get() > wanted);
    let result = json!({"commit": commit, "more": more, "commits": &commits});
    output.result(&result, |_, text| match full {
        true => commits.iter().for_each(|commit| describe(commit, text)),
        false => text.table(&commits.iter().map(row).collect::<Vec<_>>()),
    })
}

/// What the server says of a project that was found: what is missing is in its mirror.
fn not_in_mirror(error: Error, noun: &str, path: &str) -> Failure {
    let message = format!("The mirror has no {} there.", format!("{noun} {path}").trim_end());
    let next = "Run `hsync repo tree PROJECT --recursive` to see what it has, and `hsync repo sync PROJECT` to bring \
                it up to date.";
    Failure::from(error).told(ErrorReason::NotFound, message, next)
}

fn row(commit: &Commit) -> [Cell; 4] {
    let id = commit.id.get(..SHORT_DIGITS).unwrap_or(&commit.id);
    let day = commit.authored_at.map(moment).and_then(|at| at.get(..10).map(str::to_owned));
    [
        Cell::styled(Style::Notice, id),
        day.unwrap_or_else(|| "-".to_owned()).into(),
        Cell::styled(Style::Faint, &commit.author_name),
        (&commit.subject).into(),
    ]
}

fn describe(commit: &Commit, text: &mut Text) {
    text.line(Cell::styled(Style::Notice, format!("commit {}", commit.id)));
    if commit.parent_ids.len() > 1 {
        text.line(format!("merge  {}", commit.parent_ids.join(" ")));
    }
    text.line(format!("author {}", commit.author_name));
    text.line(format!("date   {}", commit.authored_at.map_or_else(|| "-".to_owned(), moment)));
    text.line("");
    text.block("    ", &commit.subject);
    if !commit.body.is_empty() {
        text.line("");
        text.block("    ", &commit.body);
    }
    if commit.shortened {
        text.line(Cell::styled(Style::Faint, "    (shortened)"));
    }
    text.line("");
}
