//! A worker that does what its test says, and not what a worker should.

use std::collections::VecDeque;

use hivesync_proto::{
    v1::{
        self as pb, server_message::Kind as FromServer, worker_message::Kind as FromWorker,
        worker_service_client::WorkerServiceClient,
    },
    worker_proof::{self, CallProof},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming, transport::Channel};
use uuid::Uuid;

use crate::wire::{Wire, set};

/// Its stream stands, and it has introduced itself.
pub struct RawWorker {
    wire: Wire,
    secret: Vec<u8>,
    worker_id: String,
    incarnation_id: String,
    outgoing: mpsc::Sender<pb::SessionRequest>,
    incoming: Streaming<pb::SessionResponse>,
    waiting: VecDeque<FromServer>,
}

impl RawWorker {
    /// Opens a stream to the worker listener and introduces itself as `worker_id`, which does everything.
    ///
    /// # Errors
    /// The server's status.
    pub async fn connect(wire: Wire, worker_id: &str, secret: &str) -> Result<Self, Status> {
        let incarnation_id = Uuid::new_v4().to_string();
        let (outgoing, messages) = mpsc::channel(16);
        let mut request = Request::new(ReceiverStream::new(messages));
        let proof = call_proof(&wire, worker_id, &incarnation_id);
        set(
            &mut request,
            worker_proof::METADATA_KEY,
            &proof.sign(secret.as_bytes(), "/hivesync.v1.WorkerService/Session"),
        );
        let incoming = WorkerServiceClient::new(wire.channel.clone()).session(request).await?.into_inner();
        let mut worker = Self {
            wire,
            secret: secret.as_bytes().to_vec(),
            worker_id: worker_id.to_owned(),
            incarnation_id,
            outgoing,
            incoming,
            waiting: VecDeque::new(),
        };
        let challenge = loop {
            if let FromServer::Challenge(challenge) = worker.next().await? {
                break challenge;
            }
        };
        let nonce = challenge.nonce.as_slice().try_into().expect("32 bytes");
        let proof = worker_proof::prove_session(&worker.secret, &nonce, worker_id, &worker.incarnation_id);
        worker
            .say(FromWorker::Hello(pb::Hello {
                protocol: 1,
                worker_id: worker_id.to_owned(),
                incarnation_id: worker.incarnation_id.clone(),
                build: "tests".to_owned(),
                kinds: vec![
                    pb::JobKind::RepoSync.into(),
                    pb::JobKind::PreviewVerify.into(),
                    pb::JobKind::Cleanup.into(),
                ],
                slots: 4,
                sandbox_tier: 3,
                held_leases: Vec::new(),
                proof: proof.to_vec(),
            }))
            .await;
        while !matches!(worker.next().await?, FromServer::Welcome(_)) {}
        Ok(worker)
    }

    /// Says one thing.
    pub async fn say(&self, kind: FromWorker) {
        let messages = vec![pb::WorkerMessage { kind: Some(kind) }];
        // A stream that the server has closed shows in what is read from it.
        let _ = self.outgoing.send(pb::SessionRequest { messages }).await;
    }

    /// What the server says next.
    ///
    /// # Errors
    /// The status that ended the stream.
    pub async fn next(&mut self) -> Result<FromServer, Status> {
        loop {
            if let Some(kind) = self.waiting.pop_front() {
                return Ok(kind);
            }
            let response =
                self.incoming.message().await?.expect("the server does not end the stream silently");
            self.waiting.extend(response.messages.into_iter().filter_map(|message| message.kind));
        }
    }

    /// Takes the next job.
    pub async fn take(&mut self) -> pb::Lease {
        self.say(FromWorker::Credits(pb::Credits { free_slots: 1 })).await;
        loop {
            if let FromServer::Lease(lease) = self.next().await.expect("the stream stands") {
                let ack = pb::LeaseAck { lease_token: lease.lease_token.clone(), accepted: true };
                self.say(FromWorker::LeaseAck(ack)).await;
                return lease;
            }
        }
    }

    /// Hands in a result.
    ///
    /// # Errors
    /// The server's status.
    pub async fn commit(&self, commit: pb::CommitRequest) -> Result<pb::CommitResponse, Status> {
        let mut request = Request::new(commit);
        let proof = call_proof(&self.wire, &self.worker_id, &self.incarnation_id);
        set(
            &mut request,
            worker_proof::METADATA_KEY,
            &proof.sign(&self.secret, "/hivesync.v1.WorkerService/Commit"),
        );
        self.client().commit(request).await.map(tonic::Response::into_inner)
    }

    fn client(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.wire.channel.clone())
    }
}

/// The proof of one call, made now.
#[must_use]
pub fn call_proof(wire: &Wire, worker_id: &str, incarnation_id: &str) -> CallProof {
    CallProof {
        worker_id: worker_id.to_owned(),
        incarnation_id: incarnation_id.to_owned(),
        made_at_unix_secs: u64::try_from(wire.clock.now().as_secs()).expect("after the epoch"),
        nonce: *Uuid::new_v4().as_bytes(),
    }
}
