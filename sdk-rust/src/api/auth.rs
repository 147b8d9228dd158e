//! Accounts, sign-in, sessions and devices.

use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rpc;
pub use crate::platform::Platform;
use crate::{
    core::Core,
    error::Result,
    page::{Page, PageRequest},
    secret::Secret,
    session::Account,
    wire,
};

/// A live session of the user.
#[derive(Clone, Debug, Serialize)]
pub struct Session {
    /// Identifies the session.
    pub id: Uuid,
    /// The device it runs on.
    pub device_id: Uuid,
    /// What that device calls itself.
    pub device_name: String,
    /// When it began.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When its tokens were last renewed.
    #[serde(with = "time::serde::rfc3339")]
    pub refreshed_at: OffsetDateTime,
    /// When it ends even if it is used.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_at: OffsetDateTime,
    /// Whether it is this client's.
    pub current: bool,
}

/// A client that holds a key of its own.
#[derive(Clone, Debug, Serialize)]
pub struct Device {
    /// Identifies the device.
    pub id: Uuid,
    /// What it calls itself.
    pub name: String,
    /// What kind of machine it is.
    pub platform: Platform,
    /// RFC 7638 SHA-256 thumbprint of its public key, base64url.
    pub key_thumbprint: String,
    /// When it first signed in.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it last proved its key.
    #[serde(with = "time::serde::rfc3339")]
    pub seen_at: OffsetDateTime,
    /// Whether it is this one.
    pub current: bool,
}

/// Sign-in and what belongs to it.
#[derive(Clone)]
pub struct Auth(pub(crate) Core);

impl Auth {
    /// Creates an account. The answer does not tell whether the address had one already.
    pub async fn register(&self, email: &str, password: &Secret, display_name: &str) -> Result<()> {
        let request = pb::RegisterRequest {
            email: email.to_owned(),
            password: password.expose().to_owned(),
            display_name: display_name.to_owned(),
        };
        self.0.unary::<rpc::Register>(request).await.map(drop)
    }

    /// Signs in, in place of whoever was signed in with this client.
    ///
    /// # Errors
    ///
    /// `Forbidden` with the reason `InvalidCredentials` if address and password do not open an account.
    pub async fn login(&self, email: &str, password: &Secret) -> Result<Account> {
        let request = pb::LoginRequest {
            email: email.to_owned(),
            password: password.expose().to_owned(),
            device_name: self.0.device_name().to_owned(),
            platform: self.0.platform().to_wire(),
        };
        self.0.session().sign_in(request).await
    }

    /// Signs out; `everywhere` ends the user's sessions on other devices too.
    ///
    /// # Errors
    ///
    /// If the server could not be told. This client has forgotten the session even then.
    pub async fn logout(&self, everywhere: bool) -> Result<()> {
        self.0.session().sign_out(everywhere).await
    }

    /// Who is signed in, as this client knows it: nothing is asked of the server.
    ///
    /// # Errors
    ///
    /// `SignedOut` if nobody is.
    pub async fn account(&self) -> Result<Account> {
        self.0.session().account().await
    }

    /// A page of the user's sessions, newest first; at most 200.
    pub async fn sessions(&self, page: PageRequest) -> Result<Page<Session>> {
        let request = pb::ListSessionsRequest { page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListSessions>(request).await?;
        Page::new(response.sessions, response.next_page_token, Session::from_wire)
    }

    /// Ends a session.
    pub async fn revoke_session(&self, session_id: Uuid) -> Result<()> {
        let request = pb::RevokeSessionRequest { session_id: session_id.to_string() };
        self.0.unary::<rpc::RevokeSession>(request).await.map(drop)
    }

    /// A page of the user's devices, newest first; at most 200.
    pub async fn devices(&self, page: PageRequest) -> Result<Page<Device>> {
        let request = pb::ListDevicesRequest { page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListDevices>(request).await?;
        Page::new(response.devices, response.next_page_token, Device::from_wire)
    }

    /// Revokes a device and every session on it.
    pub async fn revoke_device(&self, device_id: Uuid) -> Result<()> {
        let request = pb::RevokeDeviceRequest { device_id: device_id.to_string() };
        self.0.unary::<rpc::RevokeDevice>(request).await.map(drop)
    }
}

impl Session {
    fn from_wire(session: pb::Session) -> Result<Self> {
        Ok(Self {
            id: wire::id(&session.id)?,
            device_id: wire::id(&session.device_id)?,
            device_name: session.device_name,
            created_at: wire::time(session.created_at)?,
            refreshed_at: wire::time(session.refreshed_at)?,
            expires_at: wire::time(session.expires_at)?,
            current: session.current,
        })
    }
}

impl Device {
    fn from_wire(device: pb::Device) -> Result<Self> {
        Ok(Self {
            id: wire::id(&device.id)?,
            name: device.name,
            platform: Platform::from_wire(device.platform),
            key_thumbprint: device.key_thumbprint,
            created_at: wire::time(device.created_at)?,
            seen_at: wire::time(device.seen_at)?,
            current: device.current,
        })
    }
}
