//! The client.

use std::sync::Arc;

use hivesync::keychain::MemoryStore;

use crate::{
    cancel::CancelHandle,
    credentials::Credentials,
    error::HiveSyncError,
    platform::Platform,
    runtime::run,
    secret_store::{ForeignStore, SecretStore, StoreCapabilities},
};

/// How a client is configured.
#[derive(Clone, Debug, uniffi::Record)]
pub struct ClientOptions {
    /// The server, such as `https://hivesync.example`. Without TLS only on this machine.
    pub server_url: String,
    /// What the device calls itself in the user's list of devices: 1 to 100 characters.
    pub device_name: String,
    /// What kind of machine this is.
    pub platform: Platform,
    /// Tells apart several accounts that are kept in the same store for the same server: 1 to 100 of
    /// `a-z 0-9 - _ . @`.
    #[uniffi(default = "default")]
    pub account: String,
    /// PEM certificates to trust beside those of the web.
    #[uniffi(default = None)]
    pub root_certificates: Option<String>,
}

/// Who is signed in.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Account {
    /// The user.
    pub user_id: String,
    /// The session.
    pub session_id: String,
    /// The device that the session is bound to.
    pub device_id: String,
    /// Whether the session outlives this process.
    pub persistent: bool,
}

/// A client of HiveSync: one server, at most one account.
#[derive(uniffi::Object)]
pub struct HiveSync(hivesync::Client);

#[uniffi::export]
impl HiveSync {
    /// Makes a client that forgets its session when the process ends. Nothing is sent before its first call.
    #[uniffi::constructor]
    pub async fn in_memory(options: ClientOptions) -> Result<Arc<Self>, HiveSyncError> {
        let builder = options.builder().secret_store(Arc::new(MemoryStore::new()));
        run(None, async move { builder.build().await.map(Self).map(Arc::new) }).await
    }

    /// Makes a client that keeps its session and the device's key in `store`. Nothing is sent before its
    /// first call.
    #[uniffi::constructor]
    pub async fn with_store(
        options: ClientOptions,
        store: Arc<dyn SecretStore>,
        capabilities: StoreCapabilities,
    ) -> Result<Arc<Self>, HiveSyncError> {
        let builder = options.builder().secret_store(Arc::new(ForeignStore { store, capabilities }));
        run(None, async move { builder.build().await.map(Self).map(Arc::new) }).await
    }

    /// Creates an account. The answer does not tell whether the address had one already.
    #[uniffi::method(default(cancel = None))]
    pub async fn register(
        &self,
        credentials: Arc<Credentials>,
        display_name: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<(), HiveSyncError> {
        let (auth, (email, password)) = (self.0.auth(), credentials.take()?);
        run(cancel, async move { auth.register(&email, &password, &display_name).await }).await
    }

    /// Signs in, in place of whoever was signed in with this client.
    #[uniffi::method(default(cancel = None))]
    pub async fn sign_in(
        &self,
        credentials: Arc<Credentials>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Account, HiveSyncError> {
        let (auth, (email, password)) = (self.0.auth(), credentials.take()?);
        run(cancel, async move { auth.login(&email, &password).await.map(Account::from) }).await
    }

    /// Who is signed in, as this client knows it: nothing is asked of the server. Fails with `SignedOut`
    /// if nobody is.
    pub async fn account(&self) -> Result<Account, HiveSyncError> {
        let auth = self.0.auth();
        run(None, async move { auth.account().await.map(Account::from) }).await
    }

    /// Signs out; `everywhere` ends the user's sessions on other devices too. This client forgets the
    /// session even if the server cannot be told.
    #[uniffi::method(default(everywhere = false, cancel = None))]
    pub async fn sign_out(
        &self,
        everywhere: bool,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<(), HiveSyncError> {
        let auth = self.0.auth();
        run(cancel, async move { auth.logout(everywhere).await }).await
    }

    /// To be called when the machine woke up, came to the foreground, unlocked its key store or changed
    /// its network.
    pub async fn wake(&self) -> Result<(), HiveSyncError> {
        let client = self.0.clone();
        run(None, async move {
            client.wake().await;
            Ok(())
        })
        .await
    }
}

impl HiveSync {
    /// What the calls are made with.
    pub(crate) fn client(&self) -> &hivesync::Client {
        &self.0
    }
}

impl ClientOptions {
    fn builder(self) -> hivesync::ClientBuilder {
        let builder = hivesync::Client::builder(self.server_url)
            .device_name(self.device_name)
            .platform(self.platform.into())
            .account(self.account);
        match self.root_certificates {
            Some(pem) => builder.root_certificates(pem),
            None => builder,
        }
    }
}

impl From<hivesync::Account> for Account {
    fn from(account: hivesync::Account) -> Self {
        Self {
            user_id: account.user_id.to_string(),
            session_id: account.session_id.to_string(),
            device_id: account.device_id.to_string(),
            persistent: account.persistent,
        }
    }
}
