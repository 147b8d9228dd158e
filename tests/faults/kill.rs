//! SIGKILL at any step of the path, and a start on what is left.
//!
//! Whatever passes between two processes is a step; the process is killed while the step is on its way, or a moment
//! after it, when it is at something that nobody sees. The path is cut into as many parts as there are rounds, and each
//! victim dies once in each part; at which step, and when, is chosen by a seed.

use std::{cell::Cell, pin::pin, time::Duration};

use hivesync::{
    ErrorReason,
    auth::Platform,
    jobs::JobState,
    notifications::NotificationKind,
    page::PageRequest,
    projects::{FileQuery, MirrorState},
};
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    leftovers::sweep_far_ahead,
    process::Installation,
    repository::Repository,
    seed::{Seed, rounds},
    tap::{Held, Tap},
};
use uuid::Uuid;

const FILES: [(&str, &[u8]); 3] = [("a/b.js", b"let b;"), ("index.html", b"<!doctype html>"), ("zero", b"")];

/// Rounds of each victim on each back end, if the environment does not say.
const ROUNDS: u32 = 3;
/// How often a round may find the path at its end before anybody has died. It is then gone once more.
const ESCAPES_MAX: u32 = 8;
/// How long after a step a process may die: as long as a sync takes between two of its steps.
const LEAD_MICROS_MAX: u64 = 150_000;
/// How often a person tries again, each time for as long as the client does.
const TRIES_MAX: u32 = 60;

/// Who dies.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Server,
    Worker,
}

const VICTIMS: [Victim; 2] = [Victim::Server, Victim::Worker];

/// The end of a victim.
#[derive(Clone, Copy, Debug)]
struct Death {
    victim: Victim,
    /// How many of its steps pass before.
    step: u64,
    /// How long after the step it is killed; if not while the step is on its way.
    lead: Option<Duration>,
}

/// A user with two devices and a repository, whose ways lead through everything.
struct Traveller {
    desktop: Actor,
    phone: Actor,
    repository: Repository,
}

impl Traveller {
    async fn new(installation: &Installation) -> Self {
        let desktop = installation.user("ada").await;
        let phone = Actor::sign_in(installation.client("phone", Platform::Ios).await, "ada").await;
        Self { desktop, phone, repository: Repository::sample() }
    }

    /// The whole path, from a new project to its end.
    async fn go(&self, name: &str) {
        let project = self.create(name).await;
        self.sync(project).await;
        let preview = self.publish(project).await;
        self.told_once(project, preview).await;
        let projects = self.desktop.client.projects();
        persist(async || projects.delete(project).await).await.expect("it can be deleted");
    }

    async fn create(&self, name: &str) -> Uuid {
        let (projects, team) = (self.desktop.client.projects(), self.desktop.me.personal_team_id);
        let url = self.repository.url();
        match persist(async || projects.create(team, name, Some(&url)).await).await {
            Ok(_) => {}
            // An earlier try took effect, although its answer was lost.
            Err(error) => assert_eq!(error.reason(), Some(ErrorReason::AlreadyExists)),
        }
        let listed = persist(async || projects.list(team, PageRequest::first()).await).await.expect("listed");
        let [project] = &listed.items[..] else {
            panic!("created once, however often asked for: {listed:?}")
        };
        assert_eq!(project.name, name);
        project.id
    }

    async fn sync(&self, project: Uuid) {
        let projects = self.desktop.client.projects();
        let job = persist(async || projects.sync(project).await).await.expect("it is queued");
        let job = self.desktop.end_of(job.id).await;
        assert_eq!(job.state, JobState::Succeeded, "{job:?}");
        let synced = persist(async || projects.get(project).await).await.expect("it is there");
        assert_eq!(synced.mirror_state, MirrorState::Ready);
        assert_eq!(synced.head_commit.as_deref(), Some(self.repository.head().as_str()));
        let page = persist(async || {
            let file = projects.read_file(project, "index.html", FileQuery::default()).await?;
            file.read_all(1024).await
        });
        assert!(page.await.expect("it can be read").starts_with(b"<!doctype"));
    }

    async fn publish(&self, project: Uuid) -> Uuid {
        let published =
            persist(async || self.desktop.publish(project, &FILES).await).await.expect("published");
        persist(async || {
            let opened = self.phone.client.previews().open(&published.token).await?;
            for (path, bytes) in FILES {
                assert_eq!(opened.read(path).await?.as_ref(), bytes, "{path}");
            }
            Ok(())
        })
        .await
        .expect("it can be opened");
        published.preview.id
    }

    /// Nothing was told twice and nothing was lost between.
    async fn told_once(&self, project: Uuid, preview: Uuid) {
        self.desktop.told(NotificationKind::PreviewReady, Some(preview)).await;
        let notifications = self.desktop.client.notifications();
        let listed = persist(async || notifications.list(false, PageRequest::first()).await).await;
        let told = listed.expect("they can be listed").page.items;
        assert!(told.windows(2).all(|pair| pair[0].sequence == pair[1].sequence + 1), "{told:?}");
        for subject in [project, preview] {
            let about = told.iter().filter(|told| told.subject_id == Some(subject));
            assert!(about.count() <= 1, "{told:?}");
        }
    }
}

/// Does again what failed because the server was not there, as a person would.
async fn persist<T>(mut attempt: impl AsyncFnMut() -> hivesync::Result<T>) -> hivesync::Result<T> {
    let mut outcome = attempt().await;
    for _ in 0..TRIES_MAX {
        match outcome {
            Err(error) if error.is_transient() => outcome = attempt().await,
            outcome => return outcome,
        }
    }
    outcome
}

/// Goes the path again and again, and kills the one and the other on the way.
async fn path_survives(backend: Backend) {
    let mut seed = Seed::of_environment();
    let mut installation = Installation::tapped(backend).await;
    let traveller = Traveller::new(&installation).await;
    let stored = installation.stored();
    let before = VICTIMS.map(|victim| victim.tap(&installation).passed());
    traveller.go("undisturbed").await;
    let mut steps = VICTIMS.map(|victim| victim.tap(&installation).passed());
    steps.iter_mut().zip(before).for_each(|(steps, before)| *steps -= before);
    stored.check().await;

    let (rounds, mut kills) = (rounds(ROUNDS), [0; VICTIMS.len()]);
    for (round, victim) in (0..rounds).flat_map(|round| VICTIMS.map(|victim| (round, victim))) {
        for escape in 0..=ESCAPES_MAX {
            let step = seed.in_part(steps[victim as usize], round, rounds);
            let lead = (seed.below(2) == 0).then(|| Duration::from_micros(seed.below(LEAD_MICROS_MAX)));
            let death = Death { victim, step, lead };
            eprintln!("round {round}, {escape} escapes, of {steps:?} steps: {death:?}");
            let name = format!("round-{round}-{victim:?}-{escape}");
            let died = death.befalls(&mut installation, traveller.go(&name)).await;
            stored.check().await;
            if died {
                kills[victim as usize] += 1;
                break;
            }
        }
    }
    assert_eq!(kills, [rounds; VICTIMS.len()], "each of {VICTIMS:?} dies in each part of the path");
    installation.stop().await;
    sweep_far_ahead(&installation).await;
    stored.check_all_gone().await;
}

impl Death {
    /// Goes a path on which the victim dies and is started again; whether it died before the path's end.
    async fn befalls(self, installation: &mut Installation, path: impl Future<Output = ()>) -> bool {
        let caught = self.victim.tap(installation).catch(self.step);
        let has_ended = Cell::new(false);
        let mut path = pin!(async {
            path.await;
            has_ended.set(true);
        });
        tokio::select! {
            // It was shorter this time.
            () = &mut path => false,
            held = caught => {
                let kill = async {
                    self.strike(installation, held.expect("the tap stands")).await;
                    let died_on_the_way = !has_ended.get();
                    self.victim.start(installation).await;
                    died_on_the_way
                };
                tokio::join!(path, kill).1
            }
        }
    }

    async fn strike(self, installation: &mut Installation, step: Held) {
        if let Some(lead) = self.lead {
            drop(step);
            tokio::time::sleep(lead).await;
            self.victim.kill(installation).await;
        } else {
            self.victim.kill(installation).await;
            drop(step);
        }
    }
}

impl Victim {
    /// Where its steps are counted.
    fn tap(self, installation: &Installation) -> &Tap {
        match self {
            Self::Server => installation.clients_tap(),
            Self::Worker => installation.worker_tap(),
        }
    }

    async fn kill(self, installation: &mut Installation) {
        match self {
            Self::Server => installation.kill_server().await,
            Self::Worker => installation.kill_worker().await,
        }
    }

    async fn start(self, installation: &mut Installation) {
        match self {
            Self::Server => installation.start_server().await,
            Self::Worker => installation.start_worker().await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_on_embedded_stores() {
    Box::pin(path_survives(Backend::Embedded)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_on_production_stores() {
    if Backend::Production.available() {
        Box::pin(path_survives(Backend::Production)).await;
    }
}
