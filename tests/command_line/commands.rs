//! Every command, as a person at a terminal meets it.

use std::collections::BTreeSet;

use hivesync_tests::{
    backend::Backend,
    repository::Repository,
    world::{World, in_time},
};

use crate::{documents::leaves, program::Program};

/// Those that ask their person something, as other tests show.
const ASKING: [&str; 2] = ["login", "preview open"];

struct Person<'a> {
    program: &'a Program,
    met: BTreeSet<String>,
}

impl Person<'_> {
    /// Runs `command` with `arguments` on a terminal, where it must show `text` and succeed.
    #[track_caller]
    fn sees(&mut self, command: &str, arguments: &[&str], text: &str) {
        let words: Vec<&str> = command.split(' ').collect();
        let (shown, status) = self.program.on_terminal(&[&words[..], arguments].concat()).end();
        assert_eq!(status, 0, "hsync {command}: {shown}");
        assert!(shown.contains(text), "hsync {command} without {text:?}: {shown}");
        self.met.insert(command.to_owned());
    }

    /// The `field` of the first of the documents that `command` lists.
    #[track_caller]
    fn first(&self, command: &[&str], field: &str) -> String {
        let listed = self.program.json(command);
        let mut lists = listed.as_object().expect("a document").values().filter_map(|list| list.get(0));
        lists.next().expect("one")[field].as_str().expect("text").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_tells_its_person_what_it_did() {
    in_time(async {
        let world = World::new(Backend::Embedded).await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let program = Program::of(&world, &ada);
        let mut person = Person { program: &program, met: BTreeSet::new() };
        person.sees("whoami", &[], &ada.email);
        projects(&mut person);
        previews(&mut person);
        jobs(&mut person);
        person.sees("notifications", &[], "site");
        person.sees("project delete", &["site", "--yes"], "Deleted site.");
        settings(&mut person);

        person.sees("team create", &["Engines"], "Created Engines (");
        person.sees("team list", &[], "Engines");
        person.sees("team invite", &["Engines", &bob.email, "--role", "guest"], &bob.email);
        person.sees("team members", &["Engines"], "owner");
        let guest = Program::of(&world, &bob);
        let mut person = Person { program: &guest, met: person.met };
        person.sees("team invitations", &[], "Engines");
        let invitation = person.first(&["team", "invitations"], "id");
        person.sees("team accept", &[&invitation], "You are a guest of team ");
        person.sees("logout", &[], "Signed out.");

        let all: BTreeSet<String> = leaves(&program, &[]).iter().map(|command| command.join(" ")).collect();
        let met = person.met.into_iter().chain(ASKING.map(str::to_owned)).collect();
        assert_eq!(all, met, "every command is met");
    })
    .await;
}

fn projects(person: &mut Person<'_>) {
    let repository = Repository::sample();
    repository.commit("Change");
    person.sees("project create", &["site"], "Created site (");
    person.sees("repo link", &["site", &repository.url()], &repository.url());
    person.sees("repo sync", &["site"], "Synced site in ");
    person.sees("repo status", &["site"], "succeeded");
    person.sees("project show", &["site"], &repository.url());
    person.sees("project list", &[], "site");
    person.sees("repo tree", &["site"], "index.html");
    person.sees("repo cat", &["site", "index.html"], "<!doctype");
    person.sees("repo log", &["site"], "Change");
}

fn previews(person: &mut Person<'_>) {
    let directory = person.program.home().join("bundle");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("index.html"), "<!doctype html>").expect("a file");
    person.sees("preview publish", &["site", &directory.display().to_string()], "Token, good for ");
    person.sees("preview list", &["site"], "ready");
    let preview = person.first(&["preview", "list", "site"], "id");
    person.sees("preview revoke", &[&preview], "Revoked.");
    person.sees("preview list", &["site"], "revoked");
}

fn jobs(person: &mut Person<'_>) {
    let job = person.first(&["job", "list", "--project", "site"], "id");
    person.sees("job list", &[], &job);
    person.sees("job show", &[&job], "succeeded");
    person.sees("job watch", &[&job], "succeeded");
    person.sees("job cancel", &[&job], "It had ended already.");
}

fn settings(person: &mut Person<'_>) {
    person.sees("config set", &["account", "ada@example.com"], "");
    person.sees("config get", &["server"], "http://127.0.0.1:");
    person.sees("config list", &[], "ca_file");
    person.sees("config unset", &["account"], "");
    person.sees("completions", &["bash"], "complete");
}
