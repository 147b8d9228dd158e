//! What every call of a client goes through.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tonic::Response;

use crate::{
    api::rpc::{Access, Rpc},
    error::Result,
    platform::Platform,
    session::Session,
    transport::{Credentials, Transport, answers::Answers, payload, retry},
};

/// What every call needs.
#[derive(Clone)]
pub(crate) struct Core {
    transport: Arc<Transport>,
    session: Arc<Session>,
    http: reqwest::Client,
    device: Arc<DeviceProfile>,
}

/// How this client introduces itself.
pub(crate) struct DeviceProfile {
    pub(crate) name: String,
    pub(crate) platform: Platform,
}

impl Core {
    pub(crate) fn new(
        transport: Arc<Transport>,
        session: Arc<Session>,
        http: reqwest::Client,
        device: Arc<DeviceProfile>,
    ) -> Self {
        Self { transport, session, http, device }
    }

    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Whether the server is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.transport.is_local()
    }

    /// Makes the connection anew, and tries again at once what had failed.
    pub(crate) async fn wake(&self) {
        self.transport.reconnect();
        self.session.wake().await;
    }

    pub(crate) fn device_name(&self) -> &str {
        &self.device.name
    }

    pub(crate) fn platform(&self) -> Platform {
        self.device.platform
    }

    /// Makes one call with whatever it needs to be let in. A refused access token is replaced once.
    pub(crate) async fn unary<R: Rpc>(&self, request: R::Request) -> Result<R::Response> {
        let answer = self.call(R::PATH, R::ACCESS, payload::encode::<R>(&request)).await?;
        payload::decode::<R>(answer)
    }

    async fn call(&self, path: &'static str, access: Access, message: Bytes) -> Result<Response<Bytes>> {
        let key = if access.needs_proof() { Some(self.session.device_key().await?) } else { None };
        let credentials = |access_token| Credentials { access_token, device_key: key.as_deref() };
        if !access.needs_token() {
            return self.transport.call(path, message, credentials(None)).await;
        }
        let token = self.session.access_token().await?;
        match self.transport.call(path, message.clone(), credentials(Some(token.expose()))).await {
            Err(error) if retry::refuses_token(&error) => {
                let token = self.session.replace(&token).await?;
                self.transport.call(path, message, credentials(Some(token.expose()))).await
            }
            outcome => outcome,
        }
    }

    /// Opens a stream that may stay open for `life`; otherwise as [`unary`](Self::unary).
    pub(crate) async fn server_streaming<R: Rpc>(
        &self,
        request: R::Request,
        life: Duration,
    ) -> Result<Answers<R::Response>> {
        let credentials = |access_token| Credentials { access_token, device_key: None };
        let token = self.session.access_token().await?;
        match self
            .transport
            .server_streaming::<R>(request.clone(), credentials(Some(token.expose())), life)
            .await
        {
            Err(error) if retry::refuses_token(&error) => {
                let token = self.session.replace(&token).await?;
                self.transport.server_streaming::<R>(request, credentials(Some(token.expose())), life).await
            }
            outcome => outcome,
        }
    }
}
