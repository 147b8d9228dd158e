//! The files at HEAD of a mirror, as the source of a bundle.

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};
use hivesync_proto::manifest::BundleLimits;
use hivesync_sdk::{
    Client,
    previews::{BundleSource, ByteStream},
    projects::{FileQuery, TreeEntryKind, TreeQuery},
};
use uuid::Uuid;

/// The files of a mirror that fit into a bundle.
pub(super) struct MirrorSource {
    client: Client,
    project_id: Uuid,
    files: BTreeMap<String, u64>,
    /// Files that did not fit.
    pub(super) left_out: u64,
}

impl MirrorSource {
    /// Lists the files at HEAD.
    pub(super) async fn new(client: Client, project_id: Uuid) -> Result<Self> {
        let mut source = Self { client, project_id, files: BTreeMap::new(), left_out: 0 };
        let client = source.client.clone();
        let projects = client.projects();
        let query = TreeQuery { recursive: true, ..TreeQuery::default() };
        let mut entries = std::pin::pin!(projects.all_tree(project_id, query));
        let (limits, mut bytes) = (BundleLimits::default(), 0);
        while let Some(entry) = entries.try_next().await? {
            if !matches!(entry.kind, TreeEntryKind::File | TreeEntryKind::Executable) {
                continue;
            }
            let fits = entry.size <= limits.file_bytes_max && bytes + entry.size <= limits.total_bytes_max;
            if fits && source.files.len() < limits.files_max {
                bytes += entry.size;
                source.files.insert(entry.path, entry.size);
            } else {
                source.left_out += 1;
            }
        }
        Ok(source)
    }
}

#[async_trait]
impl BundleSource for MirrorSource {
    async fn paths(&self) -> hivesync_sdk::Result<Vec<String>> {
        Ok(self.files.keys().cloned().collect())
    }

    async fn open(&self, path: &str) -> hivesync_sdk::Result<ByteStream> {
        let projects = self.client.projects();
        Ok(projects.read_file(self.project_id, path, FileQuery::default()).await?.boxed())
    }
}
