//! `hivesync.v1.AdminService`.

use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::ops;
use crate::{
    base::{page::PageRequest, rpc::serve},
    domain::jobs::{QueueDepth, Worker},
};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::admin_service_server::AdminService for Rpc {
    async fn get_queue_depth(
        &self,
        request: Request<pb::GetQueueDepthRequest>,
    ) -> Result<Response<pb::GetQueueDepthResponse>, Status> {
        serve(request, |ctx, _| async move {
            let queues = ops::queue_depth(&ctx).await?;
            Ok(pb::GetQueueDepthResponse { queues: queues.into_iter().map(Into::into).collect() })
        })
        .await
    }

    async fn list_workers(
        &self,
        request: Request<pb::ListWorkersRequest>,
    ) -> Result<Response<pb::ListWorkersResponse>, Status> {
        serve(request, |ctx, message| async move {
            let page = ops::workers(&ctx, PageRequest::new(message.page_size, message.page_token)).await?;
            Ok(pb::ListWorkersResponse {
                workers: page.items.into_iter().map(Into::into).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }
}

impl From<QueueDepth> for pb::QueueDepth {
    fn from(depth: QueueDepth) -> Self {
        Self {
            kind: pb::JobKind::from(depth.kind).into(),
            ready: depth.ready,
            delayed: depth.delayed,
            running: depth.running,
            dead: depth.dead,
            oldest_age: depth.oldest_age.try_into().ok(),
        }
    }
}

impl From<Worker> for pb::WorkerInfo {
    fn from(worker: Worker) -> Self {
        Self {
            worker_id: worker.worker_id,
            build: worker.build,
            kinds: worker.kinds.into_iter().map(|kind| pb::JobKind::from(kind).into()).collect(),
            slots: worker.slots,
            running: u32::try_from(worker.running).unwrap_or(u32::MAX),
            connected_at: Some(worker.connected_at.into()),
            seen_at: Some(worker.seen_at.into()),
            draining: worker.draining,
        }
    }
}
