//! Who this worker is, and how it proves it.

use hivesync_proto::worker_proof::{self, CHALLENGE_BYTES, CallProof};
use secrecy::{ExposeSecret as _, SecretSlice};
use tonic::{
    Request,
    metadata::{Ascii, MetadataValue},
};

use crate::{clock, entropy};

/// The worker's name, this process's name, and the secret that it shares with the server.
#[derive(Debug)]
pub(crate) struct Identity {
    worker_id: String,
    incarnation_id: String,
    shared_secret: SecretSlice<u8>,
}

impl Identity {
    /// A new incarnation of a worker.
    pub(crate) fn new(worker_id: String, shared_secret: SecretSlice<u8>) -> Self {
        Self { worker_id, incarnation_id: entropy::uuid().to_string(), shared_secret }
    }

    pub(crate) fn worker_id(&self) -> &str {
        &self.worker_id
    }

    pub(crate) fn incarnation_id(&self) -> &str {
        &self.incarnation_id
    }

    /// What `Hello` proves the secret by.
    pub(crate) fn prove_session(&self, challenge: &[u8; CHALLENGE_BYTES]) -> Vec<u8> {
        let secret = self.shared_secret.expose_secret();
        worker_proof::prove_session(secret, challenge, &self.worker_id, &self.incarnation_id).to_vec()
    }

    /// A request that carries a proof of its own, for this method and time.
    pub(crate) fn sign<T>(&self, method_path: &str, message: T) -> Request<T> {
        let proof = CallProof {
            worker_id: self.worker_id.clone(),
            incarnation_id: self.incarnation_id.clone(),
            made_at_unix_secs: clock::unix_secs(),
            nonce: entropy::uuid().into_bytes(),
        };
        let mut request = Request::new(message);
        // A proof is ASCII; one that is not would be refused by the server, as it should.
        if let Ok(value) = proof.sign(self.shared_secret.expose_secret(), method_path).parse() {
            let value: MetadataValue<Ascii> = value;
            request.metadata_mut().insert(worker_proof::METADATA_KEY, value);
        }
        request
    }
}
