//! A server for tests: in this process, over pipes in memory, and as unreliable as it is told to be.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test plays the server, and fails by panicking"
)]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use hivesync_proto::{
    device_proof::{self, ProofParts},
    v1::{
        self as pb,
        auth_service_server::{AuthService, AuthServiceServer},
        user_service_server::{UserService, UserServiceServer},
    },
};
use hyper_util::rt::TokioIo;
use prost_types::Timestamp;
use tempfile::TempDir;
use tokio::{io::DuplexStream, sync::mpsc};
use tonic::{
    Code, Request, Response, Status,
    metadata::MetadataMap,
    service::RoutesBuilder,
    transport::{Channel, Endpoint, Server},
};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    client::Client,
    core::{Core, DeviceProfile},
    keychain::{BoundedStore, MemoryStore, SecretStore},
    platform::Platform,
    session::Session,
    transport::Transport,
};

/// The authority that clients of a fake server believe in.
const AUTHORITY: &str = "localhost";

/// How a call is answered instead of properly.
#[derive(Clone)]
pub(crate) enum Answer {
    /// As it should be.
    Proper,
    /// Not at all, after the work was done.
    Never,
    /// With a status and a reason.
    Refusal(Code, &'static str),
    /// With a request for another nonce.
    Nonce(&'static str),
}

#[derive(Default)]
pub(crate) struct Calls {
    pub(crate) logins: AtomicU32,
    pub(crate) get_mes: AtomicU32,
    /// The attempt and the token of each refresh, in order.
    pub(crate) refreshes: Mutex<Vec<(String, String)>>,
    /// The nonce of each proof, in order.
    pub(crate) nonces: Mutex<Vec<Option<String>>>,
}

/// What tests see of the server, and what they tell it.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) calls: Calls,
    /// How the next refreshes are answered; properly when there is nothing more here.
    pub(crate) refresh_answers: Mutex<VecDeque<Answer>>,
    pub(crate) login_answers: Mutex<VecDeque<Answer>>,
    pub(crate) get_me_answers: Mutex<VecDeque<Answer>>,
    /// The life of the next access tokens, in seconds.
    pub(crate) token_life_secs: AtomicU32,
    /// Grows with each access token; only the newest is let in.
    generation: AtomicU32,
}

impl Script {
    fn tokens(&self) -> pb::SessionTokens {
        let generation = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        pb::SessionTokens {
            access_token: format!("access-{generation}"),
            access_token_expires_in_secs: self.token_life_secs.load(Ordering::SeqCst),
            refresh_token: format!("refresh-{generation}"),
            session_id: "018f0000-0000-7000-8000-000000000001".to_owned(),
            user_id: "018f0000-0000-7000-8000-000000000002".to_owned(),
            device_id: "018f0000-0000-7000-8000-000000000003".to_owned(),
            session_expires_at: Some(Timestamp::default()),
        }
    }

    /// Makes every access token that was issued so far one that is refused.
    pub(crate) fn revoke_access(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
    }

    fn check_proof(&self, metadata: &MetadataMap, path: &str) -> Result<(), Status> {
        let proof = metadata.get(device_proof::METADATA_KEY).unwrap().to_str().unwrap();
        let parts = ProofParts::parse(proof).unwrap();
        assert_eq!(parts.claims.htu, device_proof::htu(AUTHORITY, path));
        self.calls.nonces.lock().unwrap().push(parts.claims.nonce);
        Ok(())
    }
}

async fn answer<T>(
    answers: &Mutex<VecDeque<Answer>>,
    proper: impl FnOnce() -> T,
) -> Result<Response<T>, Status> {
    let next = answers.lock().unwrap().pop_front().unwrap_or(Answer::Proper);
    match next {
        Answer::Proper => Ok(Response::new(proper())),
        Answer::Never => {
            drop(proper());
            std::future::pending().await
        }
        Answer::Refusal(code, reason) => Err(refusal(code, reason)),
        Answer::Nonce(nonce) => {
            let mut status = refusal(Code::Unauthenticated, "INVALID_DEVICE_PROOF");
            status.metadata_mut().insert(device_proof::NONCE_METADATA_KEY, nonce.parse().unwrap());
            Err(status)
        }
    }
}

pub(crate) fn refusal(code: Code, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "hivesync.dev", []);
    Status::with_error_details(code, "for operators only", details)
}

#[derive(Clone)]
struct Fake(Arc<Script>);

#[tonic::async_trait]
impl UserService for Fake {
    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Result<Response<pb::User>, Status> {
        self.0.calls.get_mes.fetch_add(1, Ordering::SeqCst);
        let newest = format!("Bearer access-{}", self.0.generation.load(Ordering::SeqCst));
        if request.metadata().get("authorization").unwrap().to_str().unwrap() != newest {
            return Err(refusal(Code::Unauthenticated, "UNAUTHENTICATED"));
        }
        answer(&self.0.get_me_answers, || pb::User {
            id: "018f0000-0000-7000-8000-000000000002".to_owned(),
            email: "ada@example.org".to_owned(),
            display_name: "Ada".to_owned(),
            role: pb::PlatformRole::User as i32,
            personal_team_id: "018f0000-0000-7000-8000-000000000004".to_owned(),
            created_at: Some(Timestamp::default()),
        })
        .await
    }

    async fn update_me(&self, _: Request<pb::UpdateMeRequest>) -> Result<Response<pb::User>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

#[tonic::async_trait]
impl AuthService for Fake {
    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::SessionTokens>, Status> {
        self.0.calls.logins.fetch_add(1, Ordering::SeqCst);
        self.0.check_proof(request.metadata(), "/hivesync.v1.AuthService/Login")?;
        answer(&self.0.login_answers, || self.0.tokens()).await
    }

    async fn refresh(
        &self,
        request: Request<pb::RefreshRequest>,
    ) -> Result<Response<pb::SessionTokens>, Status> {
        self.0.check_proof(request.metadata(), "/hivesync.v1.AuthService/Refresh")?;
        let request = request.into_inner();
        self.0.calls.refreshes.lock().unwrap().push((request.attempt_id, request.refresh_token));
        answer(&self.0.refresh_answers, || self.0.tokens()).await
    }

    async fn register(
        &self,
        _: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterResponse>, Status> {
        Ok(Response::new(pb::RegisterResponse {}))
    }

    async fn logout(&self, _: Request<pb::LogoutRequest>) -> Result<Response<pb::LogoutResponse>, Status> {
        Ok(Response::new(pb::LogoutResponse {}))
    }

    async fn list_sessions(
        &self,
        _: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn revoke_session(
        &self,
        _: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn list_devices(
        &self,
        _: Request<pb::ListDevicesRequest>,
    ) -> Result<Response<pb::ListDevicesResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }

    async fn revoke_device(
        &self,
        _: Request<pb::RevokeDeviceRequest>,
    ) -> Result<Response<pb::RevokeDeviceResponse>, Status> {
        Err(refusal(Code::Unimplemented, "UNKNOWN_METHOD"))
    }
}

/// A running fake server.
pub(crate) struct FakeServer {
    pub(crate) script: Arc<Script>,
    connections: mpsc::Sender<std::io::Result<DuplexStream>>,
    locks: TempDir,
}

impl FakeServer {
    /// Starts one whose access tokens live for 15 minutes.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts one that serves more than sign-in.
    pub(crate) fn start_with(services: impl FnOnce(&mut RoutesBuilder)) -> Self {
        let script = Arc::new(Script { token_life_secs: AtomicU32::new(900), ..Script::default() });
        let (connections, incoming) = mpsc::channel(16);
        let incoming = futures::stream::unfold(incoming, |mut incoming| async {
            incoming.recv().await.map(|connection| (connection, incoming))
        });
        let fake = Fake(script.clone());
        let mut routes = RoutesBuilder::default();
        routes.add_service(AuthServiceServer::new(fake.clone()));
        routes.add_service(UserServiceServer::new(fake));
        services(&mut routes);
        tokio::spawn(Server::builder().add_routes(routes.routes()).serve_with_incoming(incoming));
        Self { script, connections, locks: tempfile::tempdir().unwrap() }
    }

    fn channel(connections: mpsc::Sender<std::io::Result<DuplexStream>>) -> Channel {
        Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(move |_| {
            let connections = connections.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                connections.send(Ok(far)).await.map_err(std::io::Error::other)?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        }))
    }

    /// A client of this server that keeps its secrets in `store`.
    pub(crate) fn client(&self, store: Arc<dyn SecretStore>) -> Client {
        let connections = self.connections.clone();
        let connect = move || Self::channel(connections.clone());
        let transport = Arc::new(Transport::new(AUTHORITY.to_owned(), connect));
        let locks = Some(self.locks.path());
        let session = Session::new(transport.clone(), BoundedStore::new(store), "default", locks);
        let device = DeviceProfile { name: "test".to_owned(), platform: Platform::Desktop };
        let http = reqwest::Client::builder().build().unwrap();
        Client::new(Core::new(transport, Arc::new(session), http, Arc::new(device)), None)
    }

    /// A client that is signed in.
    pub(crate) async fn signed_in(&self) -> Client {
        let client = self.client(Arc::new(MemoryStore::new()));
        client.auth().login("ada@example.org", &"password".into()).await.unwrap();
        client
    }

    /// A client that is signed in, with an access token that has run out already.
    pub(crate) async fn expired_client(&self, store: Arc<dyn SecretStore>) -> Client {
        let client = self.client(store);
        self.script.token_life_secs.store(0, Ordering::SeqCst);
        client.auth().login("ada@example.org", &"password".into()).await.unwrap();
        self.script.token_life_secs.store(900, Ordering::SeqCst);
        client
    }

    /// How many refreshes there were.
    pub(crate) fn refreshes(&self) -> usize {
        self.script.calls.refreshes.lock().unwrap().len()
    }

    /// Says how the next refreshes are answered.
    pub(crate) fn answer_refreshes(&self, answers: impl IntoIterator<Item = Answer>) {
        self.script.refresh_answers.lock().unwrap().extend(answers);
    }
}

/// Longer than any cool-down.
pub(crate) const AFTER_COOLDOWN: Duration = Duration::from_secs(301);
