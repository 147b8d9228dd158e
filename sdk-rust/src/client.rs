//! A client: one server, at most one account, every call.

use std::{sync::Arc, time::Duration};

use tonic::Streaming;

use crate::{
    api::{
        admin::Admin,
        auth::{Auth, Platform},
        jobs::Jobs,
        notifications::Notifications,
        previews::Previews,
        projects::Projects,
        rpc::Rpc,
        teams::Teams,
        users::Users,
    },
    builder::ClientBuilder,
    error::Result,
    session::Session,
    transport::{Credentials, Transport, retry},
};

/// A client of HiveSync. Cheap to clone; all clones share one connection and one session.
///
/// ```no_run
/// # async fn example() -> hivesync::Result<()> {
/// let client = hivesync::Client::builder("https://hivesync.example").build().await?;
/// client.auth().login("ada@example.org", &"correct horse Battery 7!".into()).await?;
/// let me = client.users().me().await?;
/// let project = client.projects().create(me.personal_team_id, "site", Some("https://git.example/site")).await?;
/// let job = client.projects().sync(project.id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    core: Core,
    admin: Option<Core>,
}

impl Client {
    /// Starts to configure a client of the server at `url`, such as `https://hivesync.example`.
    pub fn builder(url: impl Into<String>) -> ClientBuilder {
        ClientBuilder::new(url.into())
    }

    pub(crate) fn new(core: Core, admin: Option<Core>) -> Self {
        Self { core, admin }
    }

    /// Sign-in, sessions, devices.
    pub fn auth(&self) -> Auth {
        Auth(self.core.clone())
    }

    /// The user's own account.
    pub fn users(&self) -> Users {
        Users(self.core.clone())
    }

    /// Teams, members, invitations.
    pub fn teams(&self) -> Teams {
        Teams(self.core.clone())
    }

    /// Projects and what is in their mirrors.
    pub fn projects(&self) -> Projects {
        Projects(self.core.clone())
    }

    /// Jobs.
    pub fn jobs(&self) -> Jobs {
        Jobs(self.core.clone())
    }

    /// Previews: to publish and to open.
    pub fn previews(&self) -> Previews {
        Previews(self.core.clone())
    }

    /// Notifications.
    pub fn notifications(&self) -> Notifications {
        Notifications(self.core.clone())
    }

    /// The calls of operators; `None` without an [`admin_url`](ClientBuilder::admin_url).
    pub fn admin(&self) -> Option<Admin> {
        self.admin.clone().map(Admin)
    }

    /// To be called when the machine woke up, came to the foreground, unlocked its key store or changed
    /// its network: makes the connection anew and tries again at once what had failed.
    pub async fn wake(&self) {
        self.core.transport.reconnect();
        self.core.session.wake().await;
    }
}

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

    pub(crate) fn device_name(&self) -> &str {
        &self.device.name
    }

    pub(crate) fn platform(&self) -> Platform {
        self.device.platform
    }

    /// Makes one call with whatever it needs to be let in. A refused access token is replaced once.
    pub(crate) async fn unary<R: Rpc>(&self, request: R::Request) -> Result<R::Response> {
        let key = if R::ACCESS.needs_proof() { Some(self.session.device_key().await?) } else { None };
        let credentials = |access_token| Credentials { access_token, device_key: key.as_deref() };
        if !R::ACCESS.needs_token() {
            return self.transport.unary::<R>(request, credentials(None)).await;
        }
        let token = self.session.access_token().await?;
        match self.transport.unary::<R>(request.clone(), credentials(Some(token.expose()))).await {
            Err(error) if retry::refuses_token(&error) => {
                let token = self.session.replace(&token).await?;
                self.transport.unary::<R>(request, credentials(Some(token.expose()))).await
            }
            outcome => outcome,
        }
    }

    /// Opens a stream that may stay open for `life`; otherwise as [`unary`](Self::unary).
    pub(crate) async fn server_streaming<R: Rpc>(
        &self,
        request: R::Request,
        life: Duration,
    ) -> Result<Streaming<R::Response>> {
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
