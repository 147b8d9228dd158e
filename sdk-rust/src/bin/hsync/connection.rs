//! The client of one run of `hsync`, and what the run has started.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::TryStreamExt as _;
use hivesync::{
    Client, Secret,
    jobs::JobState,
    keychain::MemoryStore,
    page,
    projects::Project,
    teams::{Invitation, Team},
};
use tokio::sync::MutexGuard;
use uuid::Uuid;

use crate::{
    failure::{Failure, Result},
    key_store,
    settings::Settings,
};

/// How long an interrupted run waits for the answer that says what it has just started.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// A client, and what is to be undone if its run is interrupted.
pub(crate) struct Connection {
    client: Client,
    /// What to sign in with for this run only.
    credentials: Option<(String, Secret)>,
    /// Signed in for this run only.
    one_shot: AtomicBool,
    started: Mutex<Option<Started>>,
    /// Held while it is not known what the run has started.
    unsettled: tokio::sync::Mutex<()>,
}

/// Work of the server that this run has started, and nobody else.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Started {
    /// A job, by its id.
    Job(Uuid),
    /// A preview, by its id.
    Preview(Uuid),
}

impl Connection {
    /// Uses the session of the key store, or the credentials of the environment. Asks no server.
    pub(crate) async fn open(settings: &Settings) -> Result<Self> {
        let credentials = environment_credentials()?;
        let client = match credentials {
            None => settings.client(key_store::open_existing().await?).await?,
            Some(_) => settings.client(Arc::new(MemoryStore::new())).await?,
        };
        Ok(Self {
            client,
            credentials,
            one_shot: AtomicBool::new(false),
            started: Mutex::new(None),
            unsettled: tokio::sync::Mutex::new(()),
        })
    }

    /// Signs in for this run, if the environment says by what.
    pub(crate) async fn sign_in(&self) -> Result<()> {
        let Some((email, password)) = &self.credentials else { return Ok(()) };
        let login = async {
            self.client.auth().login(email, password).await?;
            self.one_shot.store(true, Ordering::Relaxed);
            Ok(())
        };
        self.starting(login).await
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes a call that starts something. An interruption waits until its answer is known.
    pub(crate) async fn starting<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        let _unsettled = self.unsettled.lock().await;
        call.await
    }

    /// As [`starting`](Self::starting), for a call within a longer one: holds an interruption back until what is
    /// returned is dropped. `None` if one is held back already.
    pub(crate) fn unsettled(&self) -> Option<MutexGuard<'_, ()>> {
        self.unsettled.try_lock().ok()
    }

    /// Has this undone if the run is interrupted before [`ended`](Self::ended).
    pub(crate) fn started(&self, started: Started) {
        *self.lock() = Some(started);
    }

    /// What was started is not the run's any more.
    pub(crate) fn ended(&self) {
        *self.lock() = None;
    }

    /// Waits, but not for ever, until it is known what the run has started.
    pub(crate) async fn settle(&self) {
        // What is not known by then cannot be undone.
        let _ = tokio::time::timeout(SETTLE_MAX, self.unsettled.lock()).await;
    }

    /// Undoes what an interrupted run has started, and says what became of it.
    pub(crate) async fn undo(&self) -> Option<String> {
        let started = self.lock().take()?;
        Some(match started {
            Started::Job(id) => match self.client.jobs().cancel(id).await {
                Ok(job) if job.state == JobState::Cancelled => "The job was cancelled.".to_owned(),
                Ok(job) if job.state == JobState::Cancelling => "The job is being cancelled.".to_owned(),
                Ok(_) => "The job had ended already.".to_owned(),
                Err(error) => {
                    format!("The job {id} could not be cancelled: {error} Try `hsync job cancel {id}`.")
                }
            },
            Started::Preview(id) => match self.revoke(id).await {
                Ok(()) => "The preview was revoked.".to_owned(),
                Err(error) => {
                    format!("The preview {id} could not be revoked: {error} Try `hsync preview revoke {id}`.")
                }
            },
        })
    }

    /// Ends a preview, and the work of making sure of its files.
    async fn revoke(&self, id: Uuid) -> hivesync::Result<()> {
        let preview = self.client.previews().revoke(id).await?;
        match preview.verify_job_id {
            Some(job) => self.client.jobs().cancel(job).await.map(drop),
            None => Ok(()),
        }
    }

    /// Signs out, if the session was for this run alone.
    pub(crate) async fn close(&self) -> Result<()> {
        if self.one_shot.load(Ordering::Relaxed) {
            self.client.auth().logout(false).await?;
        }
        Ok(())
    }

    /// The project with this id or name.
    pub(crate) async fn project(&self, id_or_name: &str) -> Result<Project> {
        let projects = self.client.projects();
        if let Ok(id) = Uuid::try_parse(id_or_name) {
            return Ok(projects.get(id).await?);
        }
        let mut found = Vec::new();
        let teams: Vec<Team> = self.client.teams().all().try_collect().await?;
        for team in teams {
            let all: Vec<Project> = projects.all(team.id).try_collect().await?;
            found.extend(all.into_iter().filter(|project| project.name == id_or_name));
        }
        only("project", id_or_name, "hsync project list", found)
    }

    /// The team with this id or name.
    pub(crate) async fn team(&self, id_or_name: &str) -> Result<Team> {
        let teams = self.client.teams();
        if let Ok(id) = Uuid::try_parse(id_or_name) {
            return Ok(teams.get(id).await?);
        }
        let all: Vec<Team> = teams.all().try_collect().await?;
        let found = all.into_iter().filter(|team| team.name == id_or_name).collect();
        only("team", id_or_name, "hsync team list", found)
    }

    /// The id of the invitation with this id, or to the team with this name.
    pub(crate) async fn invitation(&self, id_or_team: &str) -> Result<Uuid> {
        if let Ok(id) = Uuid::try_parse(id_or_team) {
            return Ok(id);
        }
        let teams = self.client.teams();
        let all: Vec<Invitation> = page::stream(|page| teams.my_invitations(page)).try_collect().await?;
        let found = all.into_iter().filter(|invitation| invitation.team_name == id_or_team).collect();
        only("invitation to", id_or_team, "hsync team invitations", found).map(|found: Invitation| found.id)
    }

    /// The id of the team with this id or name; the user's own if none is named.
    pub(crate) async fn team_or_own(&self, id_or_name: Option<&str>) -> Result<Uuid> {
        match id_or_name {
            Some(id_or_name) => Ok(self.team(id_or_name).await?.id),
            None => Ok(self.client.users().me().await?.personal_team_id),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Started>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a name means, if it means one thing; `list` is the command that shows all of them.
fn only<T>(noun: &'static str, name: &str, list: &'static str, mut found: Vec<T>) -> Result<T> {
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => {
            Err(Failure::Usage(format!("There are several: {noun} {name}. Use the id, see `{list}`.")))
        }
        (None, _) => Err(Failure::Missing { noun, name: name.to_owned(), list }),
    }
}

/// Whether the environment has each run sign in by itself.
pub(crate) fn signs_in_each_run() -> bool {
    matches!(environment_credentials(), Ok(Some(_)))
}

/// Credentials that a machine without a key store gives to each run. Not arguments: those are shown to
/// every user of the machine.
///
/// # Errors
///
/// `Usage` if only one of them is set.
#[allow(clippy::disallowed_methods, reason = "a password on the command line would be readable by everybody")]
fn environment_credentials() -> Result<Option<(String, Secret)>> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    match (set("HSYNC_EMAIL"), set("HSYNC_PASSWORD")) {
        (Some(email), Some(password)) => Ok(Some((email, Secret::new(password)))),
        (None, None) => Ok(None),
        _ => Err(Failure::Usage("Set both HSYNC_EMAIL and HSYNC_PASSWORD, or neither.".to_owned())),
    }
}
