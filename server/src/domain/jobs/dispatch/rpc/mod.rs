//! `hivesync.v1.WorkerService`.

mod wire;

use std::pin::pin;

use futures::{StreamExt as _, future};
use hivesync_proto::{WORKER_PROTOCOL, v1 as pb};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use super::{Dispatch, message::FromWorker, stream};
use crate::{
    base::{
        actor::Actor,
        ctx::Ctx,
        error::{Error, Reason, Result},
        ids::JobId,
        rpc::{self, Responses, serve},
    },
    domain::jobs::{
        model::{Ending, LeaseId, LeaseToken},
        ops,
    },
};

/// Batches that wait in either direction of a stream.
const BATCHES_MAX: usize = 64;

/// The service.
#[derive(Clone)]
pub struct Rpc {
    dispatch: Dispatch,
}

impl Rpc {
    /// The service, for the workers that `dispatch` serves.
    #[must_use]
    pub const fn new(dispatch: Dispatch) -> Self {
        Self { dispatch }
    }
}

#[tonic::async_trait]
impl pb::worker_service_server::WorkerService for Rpc {
    type SessionStream = Responses<pb::SessionResponse>;

    async fn session(
        &self,
        request: Request<Streaming<pb::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let ctx = rpc::context(&request)?;
        require_worker(&ctx).map_err(|error| rpc::refuse(&ctx, &error))?;
        let (heard, inbound) = mpsc::channel(BATCHES_MAX);
        let (outbound, said) = mpsc::channel(BATCHES_MAX);
        let (roster, served) = (self.dispatch.roster.clone(), ctx.clone());
        ctx.tasks.spawn("worker-stream", async move {
            let listen = pin!(listen(request.into_inner(), heard));
            let serve = pin!(stream::serve(served, roster, inbound, outbound));
            // When the connection is gone, the stream is still to be wound up.
            if let future::Either::Left(((), serve)) = future::select(listen, serve).await {
                serve.await;
            }
        });
        let said = ReceiverStream::new(said).map(move |batch| match batch {
            Ok(messages) => Ok(wire::response(messages)),
            Err(error) => Err(rpc::refuse(&ctx, &error)),
        });
        Ok(Response::new(said.boxed()))
    }

    async fn commit(
        &self,
        request: Request<pb::CommitRequest>,
    ) -> Result<Response<pb::CommitResponse>, Status> {
        serve(request, |ctx, message| async move {
            require_worker(&ctx)?;
            let lease = lease_id(&message.job_id, &message.lease_token)?;
            let commit: Uuid =
                message.commit_id.parse().map_err(|_| Error::invalid("commit_id", "must be a UUID"))?;
            let outcome = message.outcome.ok_or_else(|| Error::invalid("outcome", "is required"))?;
            let state = ops::commit(&ctx, lease, commit, Ending::try_from(outcome)?).await?;
            Ok(pb::CommitResponse { state: pb::JobState::from(state).into() })
        })
        .await
    }

    async fn release(
        &self,
        request: Request<pb::ReleaseRequest>,
    ) -> Result<Response<pb::ReleaseResponse>, Status> {
        serve(request, |ctx, message| async move {
            require_worker(&ctx)?;
            ops::release(&ctx, lease_id(&message.job_id, &message.lease_token)?).await?;
            Ok(pb::ReleaseResponse {})
        })
        .await
    }

    async fn get_server_info(
        &self,
        request: Request<pb::GetServerInfoRequest>,
    ) -> Result<Response<pb::GetServerInfoResponse>, Status> {
        serve(request, |ctx, _| async move {
            require_worker(&ctx)?;
            Ok(pb::GetServerInfoResponse {
                protocols: vec![WORKER_PROTOCOL],
                build: concat!("hivesync/", env!("CARGO_PKG_VERSION")).to_owned(),
                message_bytes_max: ctx.config.limits.message_bytes_max as u64,
            })
        })
        .await
    }
}

/// The edge lets nobody else this far; that it does is checked again where it matters.
fn require_worker(ctx: &Ctx) -> Result<()> {
    match ctx.actor {
        Actor::Worker => Ok(()),
        _ => Err(Error::new(Reason::InvalidWorkerProof)),
    }
}

fn lease_id(job: &str, token: &[u8]) -> Result<LeaseId> {
    let token = LeaseToken::read(token).ok_or_else(|| Error::invalid("lease_token", "must be 16 bytes"))?;
    Ok(LeaseId { job: JobId::parse("job_id", job)?, token })
}

/// Reads the stream as fast as it comes, so that no small frame waits in the connection's buffers; a worker
/// that says more than the server can act on is cut off.
async fn listen(mut inbound: Streaming<pb::SessionRequest>, heard: mpsc::Sender<Result<Vec<FromWorker>>>) {
    while let Ok(Some(request)) = inbound.message().await {
        let batch = rpc::validate(&request).and_then(|()| wire::messages(request));
        let is_valid = batch.is_ok();
        if heard.try_send(batch).is_err() || !is_valid {
            return;
        }
    }
}
