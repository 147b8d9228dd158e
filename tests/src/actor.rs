//! A person with a client: what an honest user of the product has.

use futures::StreamExt as _;
use hivesync::{
    Client,
    jobs::Job,
    notifications::{Notification, NotificationEvent, NotificationKind, StartAt},
    previews::{MemorySource, PublishOptions, Published},
    projects::Project,
    users::User,
};
use uuid::Uuid;

use crate::{
    caller::{PASSWORD, address_of},
    repository::Repository,
};

/// A user, signed in on one device.
pub struct Actor {
    /// The user's name.
    pub name: String,
    /// The address of the account.
    pub email: String,
    /// The client.
    pub client: Client,
    /// The account.
    pub me: User,
}

impl Actor {
    /// Creates an account and signs in to it.
    pub async fn join(client: Client, name: &str) -> Self {
        client
            .auth()
            .register(&address_of(name), &PASSWORD.into(), name)
            .await
            .expect("the account is created");
        Self::sign_in(client, name).await
    }

    /// Signs in to an account that exists.
    pub async fn sign_in(client: Client, name: &str) -> Self {
        let email = address_of(name);
        client.auth().login(&email, &PASSWORD.into()).await.expect("the password is right");
        let me = client.users().me().await.expect("signed in");
        Self { name: name.to_owned(), email, client, me }
    }

    /// Creates a project in the user's own team, linked to this repository.
    pub async fn project(&self, name: &str, repository: &Repository) -> Project {
        let url = repository.url();
        let created = self.client.projects().create(self.me.personal_team_id, name, Some(&url)).await;
        created.expect("the project is created")
    }

    /// Syncs a project and waits for the end of the job.
    pub async fn sync(&self, project_id: Uuid) -> Job {
        let job = self.client.projects().sync(project_id).await.expect("a sync is queued");
        self.end_of(job.id).await
    }

    /// Waits for the end of a job.
    pub async fn end_of(&self, job_id: Uuid) -> Job {
        let mut states = Box::pin(self.client.jobs().watch(job_id));
        while let Some(job) = states.next().await {
            let job = job.expect("the stream goes on to the job's end");
            if job.state.is_ended() {
                return job;
            }
        }
        panic!("the stream ended before the job");
    }

    /// Waits until the user has been told of `kind`, about `subject` if one is named.
    pub async fn told(&self, kind: NotificationKind, subject: Option<Uuid>) -> Notification {
        let mut stream = self.client.notifications().follow(StartAt::After(0));
        while let Some(event) = stream.next().await {
            if let NotificationEvent::Notification(told) = event.expect("the stream goes on")
                && told.kind == kind
                && (subject.is_none() || told.subject_id == subject)
            {
                return told;
            }
        }
        panic!("the stream ended before the user was told of {kind:?}");
    }

    /// Publishes these files and waits until they can be opened.
    ///
    /// # Errors
    /// The client's.
    pub async fn publish(&self, project_id: Uuid, files: &[(&str, &[u8])]) -> hivesync::Result<Published> {
        let source =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), bytes.to_vec())).collect::<MemorySource>();
        self.client.previews().publish(project_id, &source, &PublishOptions::default(), &|_| {}).await
    }
}
