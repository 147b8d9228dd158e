//! Telling the server how a job ended: over any connection, until it has heard it.

use std::{sync::Arc, time::Duration};

use hivesync_proto::v1::{CommitRequest, ReleaseRequest};
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};

use crate::{
    backoff::Backoff,
    connection::{Client, Connection},
    entropy,
    identity::Identity,
    kinds::Outcome,
    lease::LeaseToken,
};

const COMMIT_PATH: &str = "/hivesync.v1.WorkerService/Commit";
const RELEASE_PATH: &str = "/hivesync.v1.WorkerService/Release";

/// How long one call may take.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// How long a result is offered. After that the job's next claim makes it worthless anyway.
const REPORT_LIMIT: Duration = Duration::from_secs(600);

/// Reports results.
#[derive(Clone, Debug)]
pub(crate) struct Reporter {
    connection: Arc<Connection>,
    identity: Arc<Identity>,
}

impl Reporter {
    pub(crate) fn new(connection: Arc<Connection>, identity: Arc<Identity>) -> Self {
        Self { connection, identity }
    }

    /// Ends a job with its outcome. Every repeat carries the same commit id, so that one whose answer was
    /// lost counts once.
    pub(crate) async fn commit(&self, job_id: &str, token: LeaseToken, outcome: Outcome) {
        let request = CommitRequest {
            job_id: job_id.to_owned(),
            lease_token: token.to_wire(),
            commit_id: entropy::uuid().to_string(),
            outcome: Some(outcome),
        };
        self.persist("commit", |mut client| {
            let request = self.identity.sign(COMMIT_PATH, request.clone());
            async move { client.commit(request).await.map(|_| ()) }
        })
        .await;
    }

    /// Gives a job back.
    pub(crate) async fn release(&self, job_id: &str, token: LeaseToken) {
        let request = ReleaseRequest { job_id: job_id.to_owned(), lease_token: token.to_wire() };
        self.persist("release", |mut client| {
            let request = self.identity.sign(RELEASE_PATH, request.clone());
            async move { client.release(request).await.map(|_| ()) }
        })
        .await;
    }

    async fn persist<F>(&self, event: &str, call: impl Fn(Client) -> F)
    where
        F: Future<Output = Result<(), Status>>,
    {
        let give_up_at = Instant::now() + REPORT_LIMIT;
        let mut backoff = Backoff::new();
        loop {
            let attempt = async { call(self.connection.newest().await).await };
            let code = match timeout(CALL_LIMIT, attempt).await {
                Ok(Ok(())) => return tracing::info!(event, "the server has taken note"),
                Ok(Err(status)) => status.code(),
                Err(_) => Code::DeadlineExceeded,
            };
            if is_final(code) {
                return tracing::warn!(event, ?code, "the server refused; the work is dropped");
            }
            if Instant::now() >= give_up_at {
                return tracing::error!(event, ?code, "the server was not reached; the work is dropped");
            }
            tracing::debug!(event, ?code, "trying again");
            sleep(backoff.next_pause()).await;
        }
    }
}

/// Whether the same request would be refused again: the lease is superseded, or the request is wrong.
fn is_final(code: Code) -> bool {
    matches!(
        code,
        Code::Aborted
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::NotFound
            | Code::OutOfRange
            | Code::PermissionDenied
            | Code::Unimplemented
    )
}
