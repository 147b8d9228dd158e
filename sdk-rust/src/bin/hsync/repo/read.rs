//! `hsync repo tree`, `cat` and `log`.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use futures::TryStreamExt as _;
use hivesync::{
    page::PageRequest,
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
    mut query: TreeQuery,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let mut request = Some(PageRequest { size: TREE_PAGE, token: None });
    let (mut entries, mut left_out) = (Vec::new(), 0);
    while let Some(page) = request.take() {
        let tree = projects.tree(project.id, &query, page).await?;
        entries.extend(tree.page.items);
        left_out += tree.left_out;
        query.commit = Some(tree.commit);
        request = tree.page.next.map(|token| PageRequest { size: TREE_PAGE, token: Some(token) });
    }
    let result = json!({"commit": query.commit, "left_out": left_out, "entries": &entries});
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
    let mut file = connection.client().projects().read_file(project.id, path, query).await?;
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
    mut commit: Option<String>,
    limit: u32,
    full: bool,
    connection: &Connection,
    output: Output,
) -> Result<()> {
    let project = connection.project(project).await?;
    let projects = connection.client().projects();
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut request = Some(PageRequest { size: limit.min(LOG_PAGE), token: None });
    let (mut commits, mut more) = (Vec::new(), false);
    while let Some(page) = request.take() {
        let log = projects.commits(project.id, commit.as_deref(), page).await?;
        commits.extend(log.page.items);
        commit = Some(log.commit);
        more = log.truncated || log.page.next.is_some() || commits.len() > wanted;
        commits.truncate(wanted);
        let next = log.page.next.filter(|_| commits.len() < wanted);
        request = next.map(|token| PageRequest { size: limit.min(LOG_PAGE), token: Some(token) });
    }
    let result = json!({"commit": commit, "more": more, "commits": &commits});
    output.result(&result, |_, text| match full {
        true => commits.iter().for_each(|commit| describe(commit, text)),
        false => text.table(&commits.iter().map(row).collect::<Vec<_>>()),
    })
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
