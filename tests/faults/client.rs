//! A client killed at any step of the path, and started again, as somebody does whose terminal closed: once in each of
//! as many parts of the path as there are rounds.

use std::{fs, os::unix::process::ExitStatusExt as _, process::Output, time::Duration};

use hivesync::page::PageRequest;
use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    caller::PASSWORD,
    command_line::{CommandLine, said},
    leftovers::sweep_far_ahead,
    process::Installation,
    repository::Repository,
    seed::{Seed, rounds},
    tap::Held,
};
use rustix::process::Signal;
use tokio::sync::oneshot;

/// Rounds of each back end, if the environment does not say.
const ROUNDS: u32 = 2;
/// How often a round may find the path at its end before the client has died. It is then gone once more.
const ESCAPES_MAX: u32 = 8;
/// How long after a step a client may die: it hashes, writes and renames files between two of them.
const LEAD_MICROS_MAX: u64 = 50_000;
/// What `hsync` says of what exists already, and of what nobody is signed in for.
const CONFLICT: Option<i32> = Some(6);
const SIGNED_OUT: Option<i32> = Some(3);

/// Somebody at a terminal, and the step at which their next process dies.
struct Person {
    shell: CommandLine,
    doom: Option<oneshot::Receiver<Held>>,
    /// How long after that step it dies; if not while the step is on its way.
    lead: Option<Duration>,
    /// Processes of theirs that were killed.
    kills: u32,
}

impl Person {
    /// Runs `hsync`; if it dies on the way, runs it again. Whether it did comes with what it said.
    async fn run(&mut self, arguments: &[&str], input: &str) -> (Output, bool) {
        let mut process = self.shell.start(arguments, input).await;
        if let Some(doom) = &mut self.doom {
            tokio::select! {
                _ = process.wait() => {}
                held = doom => {
                    let held = held.expect("the tap stands");
                    let held = match self.lead {
                        Some(lead) => {
                            drop(held);
                            tokio::time::sleep(lead).await;
                            None
                        }
                        None => Some(held),
                    };
                    process.start_kill().expect("it can be killed");
                    self.doom = None;
                    drop(held);
                    let status = process.wait().await.expect("it is ours");
                    if status.signal() == Some(Signal::KILL.as_raw()) {
                        self.kills += 1;
                        eprintln!("it died during {}", arguments.join(" "));
                        return (self.shell.run(arguments, input).await, true);
                    }
                }
            }
        }
        (process.wait_with_output().await.expect("it ends"), false)
    }

    async fn succeed(&mut self, arguments: &[&str], input: &str) -> String {
        let (output, _) = self.run(arguments, input).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    async fn document(&mut self, arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&self.succeed(arguments, "").await).expect("JSON")
    }

    /// The whole path, in a new project. Whoever was to die and did not lives on after it.
    async fn go(&mut self, ada: &Actor, repository: &Repository, name: &str) {
        self.succeed(&["login", &ada.email, "--password-stdin"], PASSWORD).await;
        let url = repository.url();
        let (created, died) = self.run(&["project", "create", name, "--url", &url], "").await;
        let exists = died && created.status.code() == CONFLICT;
        assert!(created.status.success() || exists, "{}", said(&created));
        let listed = self.document(&["--json", "project", "list"]).await;
        assert_eq!(listed["projects"].as_array().expect("projects").len(), 1, "created once");

        self.succeed(&["repo", "sync", name], "").await;
        let page = self.succeed(&["repo", "cat", name, "index.html"], "").await;
        assert!(page.starts_with("<!doctype"), "{page}");
        let published = self.document(&["--json", "preview", "publish", name, "bundle"]).await;
        let token = published["token"].as_str().expect("a token");
        let (opened, died) = self.run(&["preview", "open", name], token).await;
        // It may have died when all was done.
        let received = fs::read(self.shell.home().join(name).join("index.html"));
        assert!(opened.status.success() || died, "{}", said(&opened));
        assert_eq!(received.expect("received whole"), b"<!doctype html>");
        self.succeed(&["notifications"], "").await;
        self.run(&["logout"], "").await;
        let (whoami, _) = self.run(&["whoami"], "").await;
        assert_eq!(whoami.status.code(), SIGNED_OUT, "{}", said(&whoami));
        self.doom = None;
    }

    /// Nothing but what was asked for is in the home.
    fn check_home(&self) {
        let known = [".local", ".sealed.lock", "bundle", "passphrase", "sealed"];
        let entries = fs::read_dir(self.shell.home()).expect("readable");
        let names = entries.map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned());
        let others: Vec<_> =
            names.filter(|name| !known.contains(&name.as_str()) && !name.starts_with("round")).collect();
        assert!(others.is_empty(), "left over: {others:?}");
    }
}

async fn forget_projects(ada: &Actor) {
    let projects = ada.client.projects();
    let listed = projects.list(ada.me.personal_team_id, PageRequest::first()).await.expect("listed");
    for project in listed.items {
        projects.delete(project.id).await.expect("deleted");
    }
}

async fn path_survives(backend: Backend) {
    let mut seed = Seed::of_environment();
    let mut installation = Installation::tapped(backend).await;
    let ada = installation.user("ada").await;
    let repository = Repository::sample();
    let mut person =
        Person { shell: CommandLine::new(installation.public()), doom: None, lead: None, kills: 0 };
    let bundle = person.shell.home().join("bundle");
    fs::create_dir(&bundle).expect("a directory");
    fs::write(bundle.join("index.html"), "<!doctype html>").expect("a file");
    let stored = installation.stored();
    let before = installation.clients_tap().passed();
    person.go(&ada, &repository, "round-undisturbed").await;
    let steps = installation.clients_tap().passed() - before;
    forget_projects(&ada).await;

    let rounds = rounds(ROUNDS);
    for round in 0..rounds {
        for escape in 0..=ESCAPES_MAX {
            let step = seed.in_part(steps, round, rounds);
            person.lead = (seed.below(2) == 0).then(|| Duration::from_micros(seed.below(LEAD_MICROS_MAX)));
            let lead = person.lead;
            eprintln!(
                "round {round}, {escape} escapes: the client dies at step {step} of {steps}, {lead:?} after it"
            );
            person.doom = Some(installation.clients_tap().catch(step));
            person.go(&ada, &repository, &format!("round-{round}-{escape}")).await;
            forget_projects(&ada).await;
            stored.check().await;
            person.check_home();
            if person.kills > round {
                break;
            }
        }
    }
    assert_eq!(person.kills, rounds, "the client dies in each part of the path");
    installation.stop().await;
    sweep_far_ahead(&installation).await;
    stored.check_all_gone().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_of_the_client_on_embedded_stores() {
    path_survives(Backend::Embedded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_path_survives_kills_of_the_client_on_production_stores() {
    if Backend::Production.available() {
        path_survives(Backend::Production).await;
    }
}
