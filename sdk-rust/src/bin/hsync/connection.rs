//! The client of one run of `hsync`.

use std::sync::{Arc, Mutex, PoisonError};
#[cfg(unix)]
use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
};

use futures::TryStreamExt as _;
use hivesync::{
    Client, Secret,
    keychain::{self, MemoryStore, SecretStore},
    projects::Project,
};
use uuid::Uuid;

use crate::failure::{Failure, Result};

/// The longest first line of a file that holds a passphrase.
#[cfg(unix)]
const PASSPHRASE_BYTES_MAX: u64 = 4096;

/// A client, and what is to be undone at the end.
pub(crate) struct Connection {
    client: Client,
    /// Signed in for this run only.
    one_shot: bool,
    /// To be cancelled if the run is interrupted.
    started_job: Mutex<Option<Uuid>>,
}

impl Connection {
    /// Uses the session of the key store, or the credentials of the environment for this run alone.
    pub(crate) async fn open(server: &str) -> Result<Self> {
        let credentials = environment_credentials();
        let one_shot = credentials.is_some();
        let client = match credentials {
            None => client(server, secret_store().await?).await?,
            Some((email, password)) => {
                let client = client(server, Arc::new(MemoryStore::new())).await?;
                client.auth().login(&email, &password).await?;
                client
            }
        };
        Ok(Self { client, one_shot, started_job: Mutex::new(None) })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Has a job cancelled if the run fails or is interrupted before [`ended`](Self::ended).
    pub(crate) fn started(&self, job_id: Uuid) {
        *self.job() = Some(job_id);
    }

    /// The job has ended by itself.
    pub(crate) fn ended(&self) {
        *self.job() = None;
    }

    /// Undoes what this run must not leave behind.
    pub(crate) async fn close(&self, failed: bool) -> Result<()> {
        let job = self.job().take().filter(|_| failed);
        if let Some(job_id) = job {
            self.client.jobs().cancel(job_id).await?;
        }
        if self.one_shot {
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
        let teams: Vec<_> = self.client.teams().all().try_collect().await?;
        for team in teams {
            let all: Vec<Project> = projects.all(team.id).try_collect().await?;
            found.extend(all.into_iter().filter(|project| project.name == id_or_name));
        }
        match (found.pop(), found.is_empty()) {
            (Some(project), true) => Ok(project),
            (Some(_), false) => {
                Err(Failure::Usage(format!("Several projects are called {id_or_name}. Use the id.")))
            }
            (None, _) => {
                Err(Failure::Usage(format!("No project is called {id_or_name}. See `hsync project list`.")))
            }
        }
    }

    fn job(&self) -> std::sync::MutexGuard<'_, Option<Uuid>> {
        self.started_job.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client of `server` that keeps its session in `store`.
pub(crate) async fn client(server: &str, store: Arc<dyn SecretStore>) -> Result<Client> {
    let builder = Client::builder(server)
        .secret_store(store)
        .device_name(format!("hsync on {}", std::env::consts::OS))
        .user_agent(concat!("hsync/", env!("CARGO_PKG_VERSION")));
    Ok(builder.build().await?)
}

/// Where sessions are kept between runs: in the sealed file that HSYNC_SEALED_FILE names, else in the key
/// store of this machine.
pub(crate) async fn secret_store() -> Result<Arc<dyn SecretStore>> {
    #[cfg(unix)]
    if let Some(file) = setting("HSYNC_SEALED_FILE") {
        return Ok(Arc::new(keychain::SealedFile::new(file, passphrase()?)?));
    }
    Ok(keychain::default_store().await)
}

/// The passphrase of the sealed file: the first line of the file that HSYNC_SEALED_PASSPHRASE_FILE names, else
/// asked for on the terminal.
#[cfg(unix)]
fn passphrase() -> Result<Secret> {
    let Some(file) = setting("HSYNC_SEALED_PASSPHRASE_FILE") else {
        return Ok(Secret::new(rpassword::prompt_password("Passphrase of the sealed file: ")?));
    };
    let mut line = String::new();
    BufReader::new(File::open(file)?.take(PASSPHRASE_BYTES_MAX)).read_line(&mut line)?;
    Ok(Secret::new(line.trim_end_matches(['\r', '\n'])))
}

/// Credentials that a machine without a key store gives to each run. Not arguments: those are shown to
/// every user of the machine.
pub(crate) fn environment_credentials() -> Option<(String, Secret)> {
    Some((setting("HSYNC_EMAIL")?, Secret::new(setting("HSYNC_PASSWORD")?)))
}

#[allow(clippy::disallowed_methods, reason = "this is where hsync reads its environment")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
