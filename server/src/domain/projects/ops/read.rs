//! Reads a mirror.

use bytes::Bytes;
use hivesync_proto::path::RepositoryPath;

use super::require;
use crate::{
    base::{ctx::Ctx, error::Result, page},
    domain::{
        access::Permission,
        projects::{
            mirror::{Cursor, Listing, Memory, Mirrors},
            model::{FileHeader, ListTree, ReadFile, TreePage},
        },
    },
};

/// A part of a file.
pub struct FilePart {
    /// What the file is.
    pub header: FileHeader,
    /// The bytes that were asked for.
    pub bytes: Bytes,
    /// What the bytes take of the memory for reading; to be dropped with them.
    pub memory: Memory,
}

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
    let entries = mirrors.list(project.id, commit, listing).await?;
    let next = entries.next.map(|cursor| page::token(ctx, &scope, &cursor.to_bytes())).transpose()?;
    Ok(TreePage {
        entries: entries.listed,
        next: next.unwrap_or_default(),
        commit,
        left_out: entries.left_out,
    })
}

/// A file.
pub async fn read_file(ctx: &Ctx, mirrors: &Mirrors, query: ReadFile) -> Result<FilePart> {
    let (project, _) = require(ctx, &ctx.read(), query.project, Permission::ReadProject).await?;
    let commit = project.commit_to_read(query.commit)?;
    let (content, memory) = mirrors.file(project.id, commit, names(&query.path)).await?;
    let bytes = content.range(query.offset, query.length);
    Ok(FilePart { header: content.header, bytes, memory })
}

fn names(path: &RepositoryPath) -> Vec<String> {
    path.components().map(str::to_owned).collect()
}
