//! Sending what the project has not sent before.

use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt as _, stream};
use hivesync_proto::v1 as pb;
use uuid::Uuid;

use super::{
    BATCH, ROUNDS, TRANSFERS,
    bundle::Bundle,
    pause_after,
    publish::{Progress, PublishPhase, PublishProgress},
    source::BundleSource,
    transfer::Presigned,
};
use crate::{
    api::rpc,
    core::Core,
    error::{Error, Result},
    wire,
};

/// Sends missing contents.
pub(super) struct Upload<'a> {
    core: &'a Core,
    source: &'a dyn BundleSource,
    bundle: &'a Bundle,
    preview_id: Uuid,
    progress: Progress<'a>,
    files_done: AtomicU64,
    bytes_done: AtomicU64,
    files_total: u64,
    bytes_total: u64,
}

impl<'a> Upload<'a> {
    pub(super) fn new(
        core: &'a Core,
        source: &'a dyn BundleSource,
        bundle: &'a Bundle,
        preview_id: Uuid,
        progress: Progress<'a>,
    ) -> Self {
        let (files_done, bytes_done) = (AtomicU64::new(0), AtomicU64::new(0));
        Self {
            core,
            source,
            bundle,
            preview_id,
            progress,
            files_done,
            bytes_done,
            files_total: 0,
            bytes_total: 0,
        }
    }

    /// Sends what is missing; what did not arrive is asked for and sent again. Returns the bytes sent.
    pub(super) async fn run(mut self, mut missing: Vec<[u8; 32]>) -> Result<u64> {
        self.files_total = missing.len() as u64;
        self.bytes_total =
            missing.iter().filter_map(|digest| self.bundle.by_digest.get(digest)).map(|(_, size)| size).sum();
        for round in 1..=ROUNDS {
            let mut failure = None;
            for batch in missing.chunks(BATCH) {
                failure = self.send_batch(batch).await?.or(failure);
            }
            let Some(error) = failure else { break };
            if round == ROUNDS {
                return Err(error);
            }
            pause_after(round).await;
            missing = self.find_missing().await?;
        }
        Ok(self.bytes_done.into_inner())
    }

    /// Sends one batch; a transfer that failed is no reason to stop the others.
    async fn send_batch(&self, batch: &[[u8; 32]]) -> Result<Option<Error>> {
        let request = pb::RequestUploadsRequest {
            preview_id: self.preview_id.to_string(),
            sha256: batch.iter().map(|digest| digest.to_vec()).collect(),
        };
        let response = self.core.unary::<rpc::RequestUploads>(request).await?;
        let is_local = self.core.is_local();
        let uploads = response.uploads.into_iter().map(|request| Presigned::from_wire(request, is_local));
        let uploads: Vec<_> = uploads.collect::<Result<_>>()?;
        let outcomes =
            stream::iter(uploads.into_iter().map(|upload| self.send(upload))).buffer_unordered(TRANSFERS);
        Ok(outcomes
            .filter_map(|outcome| async { outcome.err() })
            .fold(None, |_, error| async { Some(error) })
            .await)
    }

    async fn send(&self, upload: Presigned) -> Result<()> {
        let (path, size) = self.bundle.by_digest.get(&upload.sha256).ok_or_else(wire::broken)?;
        let bytes = self.source.open(path).await?;
        upload.put(self.core.http(), *size, bytes).await?;
        let files_done = self.files_done.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes_done = self.bytes_done.fetch_add(*size, Ordering::Relaxed) + size;
        (self.progress)(&PublishProgress {
            phase: PublishPhase::Uploading,
            files_done,
            files_total: self.files_total,
            bytes_done,
            bytes_total: self.bytes_total,
            preview_id: None,
        });
        Ok(())
    }

    async fn find_missing(&self) -> Result<Vec<[u8; 32]>> {
        let request = pb::FindMissingRequest { preview_id: self.preview_id.to_string() };
        let response = self.core.unary::<rpc::FindMissing>(request).await?;
        response.sha256.iter().map(|digest| wire::digest(digest)).collect()
    }
}
