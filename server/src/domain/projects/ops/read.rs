//! Reads a mirror.

use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, stream};
use hivesync_proto::path::RepositoryPath;
use tokio::sync::mpsc;

use super::require;
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        page,
    },
    domain::{
        access::Permission,
        projects::{
            mirror::{Cursor, Listing, Mirrors, Passed},
            model::{CommitPage, FileHeader, ListCommits, ListTree, ReadFile, TreePage},
        },
    },
};

/// The largest part of a file that is handed out at once.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Chunks that wait for a client which reads slowly.
const CHUNKS_AHEAD_MAX: usize = 4;
/// How long a client may take over a file. Until then the file is held in memory, which all readers share.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// The entries of a directory.
pub async fn list_tree(ctx: &Ctx, mirrors: &Mirrors, query: ListTree) -> Result<TreePage> {
    let (project, _) = require(ctx, &ctx.read(), query.project, Permission::ReadProject).await?;
    let commit = project.commit_to_read(query.commit)?;
    let directory = query.directory.as_ref().map(RepositoryPath::as_str).unwrap_or_default();
    let scope = format!("tree:{}:{commit}:{}:{directory}", project.id, query.recursive);
    let after = query.page.after(ctx, &scope)?;
    let listing = Listing {
        directory: query.directory.as_ref().map(names).unwrap_or_default(),
        recursive: query.recursive,
        wanted: usize::try_from(query.page.size).unwrap_or(usize::MAX),
        cursor: after.map(|key| Cursor::from_bytes(&key)).transpose()?,
    };
    let entries = mirrors.list(ctx.user()?.id, project.id, commit, listing).await?;
    let next = entries.next.map(|cursor| page::token(ctx, &scope, &cursor.to_bytes())).transpose()?;
    Ok(TreePage {
        entries: entries.listed,
        next: next.unwrap_or_default(),
        commit,
        left_out: entries.left_out,
    })
}

/// A commit and what it descends from, newest first.
pub async fn list_commits(ctx: &Ctx, mirrors: &Mirrors, query: ListCommits) -> Result<CommitPage> {
    let (project, _) = require(ctx, &ctx.read(), query.project, Permission::ReadProject).await?;
    let commit = project.commit_to_read(query.commit)?;
    let scope = format!("commits:{}:{commit}", project.id);
    let passed = query.page.after(ctx, &scope)?.map(|key| Passed::from_bytes(&key)).transpose()?;
    let wanted = usize::try_from(query.page.size).unwrap_or(usize::MAX);
    let commits = mirrors.log(ctx.user()?.id, project.id, commit, wanted, passed).await?;
    let next = commits.next.map(|passed| page::token(ctx, &scope, &passed.to_bytes())).transpose()?;
    Ok(CommitPage {
        commits: commits.listed,
        next: next.unwrap_or_default(),
        commit,
        truncated: commits.truncated,
    })
}

/// A file: what it is, and the bytes that were asked for, in chunks of at most 64 KiB.
pub async fn read_file(
    ctx: &Ctx,
    mirrors: &Mirrors,
    query: ReadFile,
) -> Result<(FileHeader, impl Stream<Item = Result<Bytes>> + Send + use<>)> {
    let (project, _) = require(ctx, &ctx.read(), query.project, Permission::ReadProject).await?;
    let commit = project.commit_to_read(query.commit)?;
    let (content, memory) = mirrors.file(ctx.user()?.id, project.id, commit, names(&query.path)).await?;
    let bytes = content.range(query.offset, query.length);
    let missing = bytes.len();
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD_MAX);
    // A task holds the memory, so that it is free in time however slowly the client reads.
    ctx.tasks.spawn("read-file", async move {
        let _ = tokio::time::timeout(READ_TIMEOUT, send_chunks(sender, bytes)).await;
        drop((content.bytes, memory));
    });
    Ok((content.header, chunks(receiver, missing)))
}

async fn send_chunks(sender: mpsc::Sender<Bytes>, bytes: Bytes) {
    for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
        // A copy: a slice would keep the whole file in memory.
        if sender.send(Bytes::copy_from_slice(chunk)).await.is_err() {
            return;
        }
    }
}

/// The chunks, and an error if they end before the `missing` bytes have come.
fn chunks(
    receiver: mpsc::Receiver<Bytes>,
    missing: usize,
) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
    stream::unfold(Some((receiver, missing)), |state| async {
        let (mut receiver, missing) = state?;
        match receiver.recv().await {
            Some(chunk) => {
                let missing = missing.saturating_sub(chunk.len());
                Some((Ok(chunk), Some((receiver, missing))))
            }
            None if missing == 0 => None,
            None => Some((Err(Error::new(Reason::DeadlineExceeded)), None)),
        }
    })
}

fn names(path: &RepositoryPath) -> Vec<String> {
    path.components().map(str::to_owned).collect()
}
