//! What the clients of the story do.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use futures::{StreamExt as _, TryStreamExt as _};
use hivesync::{
    Account, Client, Error, Result,
    auth::Platform,
    jobs::Job,
    keychain::MemoryStore,
    notifications::{NotificationEvent, NotificationStream, StartAt},
    page::PageRequest,
    previews::{DirectorySource, PreviewToken, PublishOptions, PublishPhase, Published},
    projects::{FileQuery, Project, TreeQuery},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::setting;

/// What the clients of the story share: the account, and what came of earlier steps.
pub(crate) struct Story {
    email: String,
    password: String,
    project: Option<Project>,
    synced: Option<Job>,
    published: Option<Published>,
    downloads: u32,
}

impl Story {
    pub(crate) fn new(secrets: &Value) -> Self {
        let secret = |name: &str| secrets[name].as_str().expect("a secret").to_owned();
        Self {
            email: secret("email"),
            password: secret("password"),
            project: None,
            synced: None,
            published: None,
            downloads: 0,
        }
    }

    fn project(&self) -> &Project {
        self.project.as_ref().expect("an earlier step created it")
    }

    fn synced(&self) -> &Job {
        self.synced.as_ref().expect("an earlier step synced it")
    }

    fn published(&self) -> &Published {
        self.published.as_ref().expect("an earlier step published it")
    }

    /// A directory that is not there yet.
    fn new_download(&mut self) -> PathBuf {
        self.downloads += 1;
        Path::new(&setting("HIVESYNC_DOWNLOADS")).join(self.downloads.to_string())
    }
}

/// One client of the story.
pub(crate) struct Actor {
    client: Client,
    account: Option<Account>,
    stream: Option<NotificationStream>,
}

/// The name of an error's reason.
pub(crate) fn reason(error: &Error) -> Option<&'static str> {
    error.reason().map(|reason| reason.as_str_name().trim_start_matches("ERROR_REASON_"))
}

/// The name of a state or kind, as the SDK shows it.
fn name(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("it has a name")
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Actor {
    pub(crate) async fn new(name: &str) -> Self {
        let root = fs::read(setting("HIVESYNC_ROOT_CERTIFICATES")).expect("root certificates");
        let client = Client::builder(setting("HIVESYNC_SERVER_URL"))
            .secret_store(std::sync::Arc::new(MemoryStore::new()))
            .root_certificates(root)
            .device_name(name)
            .platform(if name == "phone" { Platform::Ios } else { Platform::Desktop })
            .build()
            .await
            .expect("a client");
        Self { client, account: None, stream: None }
    }

    /// Does one step.
    pub(crate) async fn act(&mut self, story: &mut Story, step: &Value) -> Result<Value> {
        match step["do"].as_str().expect("a verb") {
            "register" => self.register(story, step).await,
            "sign_in" => self.sign_in(story, step).await,
            "list_teams" => self.list_teams().await,
            "create_project" => self.create_project(story, &step["name"]).await,
            "link_repository" => self.link_repository(&step["name"]).await,
            "sync" => self.sync(story).await,
            "get_job" => self.get_job(story).await,
            "list_jobs" => self.list_jobs(story).await,
            "tree" => self.tree(story).await,
            "read" => self.read(story, &step["path"]).await,
            "follow" => self.follow().await,
            "told" => self.told(&step["kind"]).await,
            "publish" => self.publish(story).await,
            "open" => self.open(story).await,
            "open_altered" => self.open_altered(story).await,
            "get_preview" => self.get_preview(story).await,
            "list_previews" => self.list_previews(story).await,
            "revoke" => self.revoke(story).await,
            "list_projects" => self.list_projects().await,
            "cancel_job" => self.cancel_job(story).await,
            "cancel_publish" => self.cancel_publish(story).await,
            "wake" => self.wake().await,
            "same_session" => self.same_session().await,
            "mark_read" => self.mark_read().await,
            "delete_project" => self.delete_project(story).await,
            "sign_out" => self.sign_out().await,
            verb => panic!("what is {verb}?"),
        }
    }

    async fn register(&self, story: &Story, step: &Value) -> Result<Value> {
        let text = |name: &str| step[name].as_str().expect("a text");
        let password = story.password.as_str().into();
        self.client.auth().register(text("email"), &password, text("name")).await?;
        Ok(json!({ "registered": true }))
    }

    async fn sign_in(&mut self, story: &Story, step: &Value) -> Result<Value> {
        let email = step["email"].as_str().unwrap_or(&story.email);
        let password = step["password"].as_str().unwrap_or(&story.password);
        let account = self.client.auth().login(email, &password.into()).await?;
        self.account = Some(account);
        let known = self.client.auth().account().await?;
        Ok(json!({ "signed_in": known == account, "persistent": known.persistent }))
    }

    async fn list_teams(&self) -> Result<Value> {
        let page = self.client.teams().list(PageRequest::first()).await?;
        let teams: Vec<Value> = page
            .items
            .into_iter()
            .map(|team| json!({ "name": team.name, "personal": team.personal, "role": name(team.role) }))
            .collect();
        Ok(json!({ "teams": teams }))
    }

    async fn create_project(&self, story: &mut Story, called: &Value) -> Result<Value> {
        let me = self.client.users().me().await?;
        let url = setting("HIVESYNC_REPOSITORY_URL");
        let called = called.as_str().expect("a name");
        let project = self.client.projects().create(me.personal_team_id, called, Some(&url)).await?;
        let outcome = json!({ "name": project.name, "mirror": name(project.mirror_state) });
        story.project = Some(project);
        Ok(outcome)
    }

    async fn link_repository(&self, called: &Value) -> Result<Value> {
        let me = self.client.users().me().await?;
        let (projects, called) = (self.client.projects(), called.as_str().expect("a name"));
        let before = projects.create(me.personal_team_id, called, None).await?;
        let after = projects.link(before.id, &setting("HIVESYNC_REPOSITORY_URL")).await?;
        Ok(json!({ "before": name(before.mirror_state), "after": name(after.mirror_state) }))
    }

    /// The states of a job, to its last.
    async fn states_of(&self, job: &Job) -> Result<Vec<Job>> {
        Box::pin(self.client.jobs().watch(job.id).try_collect()).await
    }

    async fn sync(&self, story: &mut Story) -> Result<Value> {
        let projects = self.client.projects();
        let queued = projects.sync(story.project().id).await?;
        let states = self.states_of(&queued).await?;
        let project = projects.get(story.project().id).await?;
        let job = states.last().expect("a job has a state");
        let outcome = json!({
            "kind": name(job.kind),
            "state": name(job.state),
            "progressed": states.iter().any(|state| state.progress.is_some_and(|progress| progress.done > 0)),
            "mirror": name(project.mirror_state),
            "head": project.head_commit,
        });
        story.synced = states.into_iter().last();
        Ok(outcome)
    }

    async fn get_job(&self, story: &Story) -> Result<Value> {
        let job = self.client.jobs().get(story.synced().id).await?;
        Ok(json!({ "same": json!(job) == json!(story.synced()) }))
    }

    async fn list_jobs(&self, story: &Story) -> Result<Value> {
        let project = story.project();
        let page = self.client.jobs().list(project.team_id, Some(project.id), PageRequest::first()).await?;
        let kinds: Vec<Value> = page.items.iter().map(|job| name(job.kind)).collect();
        Ok(json!({ "kinds": kinds }))
    }

    async fn tree(&self, story: &Story) -> Result<Value> {
        let query = TreeQuery { recursive: true, ..TreeQuery::default() };
        let tree = self.client.projects().tree(story.project().id, &query, PageRequest::first()).await?;
        let paths: Vec<String> = tree.page.items.into_iter().map(|entry| entry.path).collect();
        Ok(json!({ "paths": paths }))
    }

    async fn read(&self, story: &Story, path: &Value) -> Result<Value> {
        let path = path.as_str().expect("a path");
        let file = self.client.projects().read_file(story.project().id, path, FileQuery::default()).await?;
        let bytes = file.read_all(1024 * 1024).await?;
        Ok(json!({ "size": bytes.len(), "sha256": sha256(&bytes) }))
    }

    async fn follow(&mut self) -> Result<Value> {
        let stream = self.stream.insert(self.client.notifications().follow(StartAt::Now));
        let first = match stream.next().await.expect("the stream stands")? {
            NotificationEvent::Connected => "connected",
            _ => "another",
        };
        Ok(json!({ "event": first }))
    }

    async fn told(&mut self, kind: &Value) -> Result<Value> {
        let stream = self.stream.as_mut().expect("an earlier step opened it");
        let (mut reconnected, mut gap) = (false, false);
        loop {
            match stream.next().await.expect("the stream goes on")? {
                NotificationEvent::Reconnected => reconnected = true,
                NotificationEvent::Gap { .. } => gap = true,
                NotificationEvent::Notification(told) if name(told.kind) == *kind => {
                    let text_is_empty = told.text.is_empty();
                    return Ok(
                        json!({ "kind": kind, "text_is_empty": text_is_empty, "reconnected": reconnected, "gap": gap }),
                    );
                }
                _ => {}
            }
        }
    }

    async fn publish(&self, story: &mut Story) -> Result<Value> {
        let source = DirectorySource::new(setting("HIVESYNC_BUNDLE"));
        let previews = self.client.previews();
        let publishing = previews.start_publish(story.project().id, source, PublishOptions::default());
        let mut progressed = false;
        while publishing.progress().await.is_some() {
            progressed = true;
        }
        let published = publishing.outcome().await?;
        let outcome = json!({
            "files": published.stats.files,
            "new_files": published.stats.new_files,
            "left_out": published.stats.left_out,
            "state": name(published.preview.state),
            "progressed": progressed,
        });
        story.published = Some(published);
        Ok(outcome)
    }

    async fn open(&self, story: &mut Story) -> Result<Value> {
        let preview = std::sync::Arc::new(self.client.previews().open(&story.published().token).await?);
        let directory = story.new_download();
        let download = preview.clone().start_save_to(&directory);
        while download.progress().await.is_some() {}
        download.outcome().await?;
        Ok(json!({ "entry_point": preview.entry_point(), "files": digests(&directory) }))
    }

    async fn open_altered(&self, story: &Story) -> Result<Value> {
        let token = story.published().token.expose();
        let (start, end) = token.split_at(token.len() - 4);
        let altered = format!("{start}{}", if end == "AAAA" { "BBBB" } else { "AAAA" });
        self.client.previews().open(&PreviewToken::new(&altered)).await?;
        Ok(json!({ "opened": true }))
    }

    async fn get_preview(&self, story: &Story) -> Result<Value> {
        let preview = self.client.previews().get(story.published().preview.id).await?;
        Ok(json!({ "state": name(preview.state), "files": preview.file_count }))
    }

    async fn list_previews(&self, story: &Story) -> Result<Value> {
        let page = self.client.previews().list(story.project().id, PageRequest::first()).await?;
        let states: Vec<Value> = page.items.iter().map(|preview| name(preview.state)).collect();
        Ok(json!({ "states": states }))
    }

    async fn revoke(&self, story: &Story) -> Result<Value> {
        let preview = self.client.previews().revoke(story.published().preview.id).await?;
        Ok(json!({ "state": name(preview.state) }))
    }

    async fn list_projects(&self) -> Result<Value> {
        let me = self.client.users().me().await?;
        let page = self.client.projects().list(me.personal_team_id, PageRequest::first()).await?;
        let names: Vec<String> = page.items.into_iter().map(|project| project.name).collect();
        Ok(json!({ "names": names }))
    }

    async fn cancel_job(&self, story: &Story) -> Result<Value> {
        let job = self.client.projects().sync(story.project().id).await?;
        self.client.jobs().cancel(job.id).await?;
        let states = self.states_of(&job).await?;
        Ok(json!({ "state": name(states.last().expect("a job has a state").state) }))
    }

    async fn cancel_publish(&self, story: &Story) -> Result<Value> {
        let source = DirectorySource::new(setting("HIVESYNC_DRAFT"));
        let previews = self.client.previews();
        let publishing = previews.start_publish(story.project().id, source, PublishOptions::default());
        while publishing.progress().await.is_some_and(|progress| progress.phase != PublishPhase::Verifying) {}
        publishing.cancel();
        let published = publishing.outcome().await?;
        Ok(json!({ "state": name(published.preview.state) }))
    }

    async fn wake(&self) -> Result<Value> {
        self.client.wake().await;
        Ok(json!({ "awake": true }))
    }

    async fn same_session(&self) -> Result<Value> {
        Ok(json!({ "same": Some(self.client.auth().account().await?) == self.account }))
    }

    async fn mark_read(&self) -> Result<Value> {
        let notifications = self.client.notifications();
        let newest = notifications.list(false, PageRequest::first()).await?.page.items.into_iter().next();
        let sequence = newest.map_or(0, |newest| newest.sequence);
        Ok(json!({ "unread": notifications.mark_read(sequence).await? }))
    }

    async fn delete_project(&self, story: &Story) -> Result<Value> {
        self.client.projects().delete(story.project().id).await?;
        Ok(json!({ "deleted": true }))
    }

    async fn sign_out(&self) -> Result<Value> {
        self.client.auth().logout(false).await?;
        Ok(json!({ "signed_out": true }))
    }
}

/// The digest of each file below a directory, by its path from there.
fn digests(root: &Path) -> BTreeMap<String, String> {
    let (mut found, mut waiting) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
                continue;
            }
            let shown = path.strip_prefix(root).expect("below it").to_str().expect("UTF-8").to_owned();
            found.insert(shown, sha256(&fs::read(&path).expect("a file")));
        }
    }
    found
}
