//! How a client is configured.

use std::{path::PathBuf, sync::Arc};

use crate::{
    client::Client,
    core::{Core, DeviceProfile},
    error::{Error, Result},
    keychain::{BoundedStore, SecretStore, default_store},
    platform::Platform,
    session::{Session, lock},
    transport::{Transport, connect},
};

/// Characters of a device name, as in the contract.
const DEVICE_NAME_CHARS_MAX: usize = 100;

/// Configures a [`Client`].
#[must_use]
pub struct ClientBuilder {
    url: String,
    admin_url: Option<String>,
    account: String,
    secret_store: Option<Arc<dyn SecretStore>>,
    root_certificates: Option<Vec<u8>>,
    device_name: String,
    platform: Platform,
    lock_directory: Option<PathBuf>,
    user_agent: String,
}

impl ClientBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            admin_url: None,
            account: "default".to_owned(),
            secret_store: None,
            root_certificates: None,
            device_name: format!("{} client", std::env::consts::OS),
            platform: Platform::Desktop,
            lock_directory: lock::default_directory(),
            user_agent: concat!("hivesync-rust/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }

    /// Where the session and the device's key are kept. By default the operating system's key store if it
    /// proves to work, else memory; a file under a passphrase only if it is chosen here.
    pub fn secret_store(mut self, store: Arc<dyn SecretStore>) -> Self {
        self.secret_store = Some(store);
        self
    }

    /// PEM certificates to trust beside those that this build trusts anyway.
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// What the device calls itself in the user's list of devices: 1 to 100 characters.
    pub fn device_name(mut self, name: impl Into<String>) -> Self {
        self.device_name = name.into();
        self
    }

    /// What kind of machine this is; a desktop by default.
    pub fn platform(mut self, platform: Platform) -> Self {
        self.platform = platform;
        self
    }

    /// Tells apart several accounts that are kept in the same store for the same server.
    pub fn account(mut self, name: impl Into<String>) -> Self {
        self.account = name.into();
        self
    }

    /// Where the files are by which processes that share the secret store wait for each other. By default
    /// a directory of the user; used only with a store that is shared.
    pub fn lock_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.lock_directory = Some(directory.into());
        self
    }

    /// Where the operators' listener is, for [`Client::admin`].
    pub fn admin_url(mut self, url: impl Into<String>) -> Self {
        self.admin_url = Some(url.into());
        self
    }

    /// The name and version of the program, put before the SDK's own in what the server is told.
    pub fn user_agent(mut self, program: &str) -> Self {
        self.user_agent = format!("{program} {}", self.user_agent);
        self
    }

    /// Makes the client. Nothing is sent before its first call. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` if something is configured that cannot be, such as a server on another machine
    /// without TLS.
    pub async fn build(self) -> Result<Client> {
        self.check()?;
        let transport = self.transport(&self.url)?;
        let admin = self.admin_url.as_deref().map(|url| self.transport(url)).transpose()?;
        let certificates = self.root_certificates.as_deref();
        let http = connect::http_client(certificates, &self.user_agent, transport.is_local())?;
        let store = match self.secret_store {
            Some(store) => store,
            None => default_store().await,
        };
        let store = BoundedStore::new(store);
        let session = Session::new(transport.clone(), store, &self.account, self.lock_directory.as_deref());
        let session = Arc::new(session);
        let device = Arc::new(DeviceProfile { name: self.device_name, platform: self.platform });
        let core = |transport| Core::new(transport, session.clone(), http.clone(), device.clone());
        Ok(Client::new(core(transport), admin.map(core)))
    }

    fn check(&self) -> Result<()> {
        if self.device_name.is_empty() || self.device_name.chars().count() > DEVICE_NAME_CHARS_MAX {
            return Err(Error::invalid(
                "device_name",
                "The name of the device must have 1 to 100 characters.",
            ));
        }
        let plain = |character: char| character.is_ascii_alphanumeric() || "-_.@".contains(character);
        if self.account.is_empty() || self.account.len() > 100 || !self.account.chars().all(plain) {
            return Err(Error::invalid(
                "account",
                "The name of the account must have 1 to 100 of a-z, 0-9, -_.@",
            ));
        }
        if self.platform == Platform::Unknown {
            return Err(Error::invalid("platform", "The platform must be a known one."));
        }
        Ok(())
    }

    fn transport(&self, url: &str) -> Result<Arc<Transport>> {
        let url = connect::server_url(url)?;
        let connector = connect::connector(&url, self.root_certificates.as_deref(), &self.user_agent)?;
        Ok(Arc::new(Transport::new(connect::authority(&url), connector)))
    }
}
