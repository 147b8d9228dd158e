//! A client: one server, at most one account, every call.

use crate::{
    api::{
        admin::Admin, auth::Auth, jobs::Jobs, notifications::Notifications, previews::Previews,
        projects::Projects, teams::Teams, users::Users,
    },
    builder::ClientBuilder,
    core::Core,
};

/// A client of HiveSync. Cheap to clone; all clones share one connection and one session. A whole program is
/// `examples/quick_start.rs`.
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
        self.core.wake().await;
    }
}
