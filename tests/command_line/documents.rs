//! `--help` teaches, and `--json` prints what it says: reviewed as a file, and held against real documents.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use hivesync_tests::{
    backend::Backend,
    caller::PASSWORD,
    repository::Repository,
    world::{World, in_time},
};
use prost_reflect::DescriptorPool;
use serde_json::Value;

use crate::{program::Program, shape::Documented};

/// The commands below `command`, with itself if it has none; as `--help` lists them.
pub fn leaves(program: &Program, command: &[&str]) -> Vec<Vec<String>> {
    let help = program.succeed(&[command, &["--help"]].concat());
    assert!(help.contains("Examples:\n  hsync "), "hsync {command:?} --help has no example");
    let Some((_, listed)) = help.split_once("\nCommands:\n") else {
        return vec![command.iter().map(|&word| word.to_owned()).collect()];
    };
    let names = listed.lines().take_while(|line| !line.is_empty()).filter_map(|line| {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with(' '))?.split(' ').next()?;
        (name != "help").then_some(name)
    });
    names.flat_map(|name| leaves(program, &[command, &[name]].concat())).collect()
}

fn documented(program: &Program, command: &[&str]) -> Documented {
    Documented::read(&program.succeed(&[command, &["--help"]].concat()))
}

/// What programs depend on changes only by a reviewed change of this file. `HIVESYNC_TEST_BLESS=1` writes it anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documents_are_the_reviewed_ones() {
    let program = Program::new();
    let help = program.succeed(&["--help"]);
    let (_, of_all) = help.split_once("What --json prints").expect("the notation is explained");
    let mut all = format!("What --json prints{of_all}\n");
    for command in leaves(&program, &[]) {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let help = program.succeed(&[&words[..], &["--help"]].concat());
        Documented::read(&help);
        let (_, notation) = help.split_once("With --json:\n").expect("read before");
        writeln!(all, "hsync {}\n{}\n", words.join(" "), notation.trim_end()).expect("memory");
    }
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("command_line/documents.golden");
    if std::env::var_os("HIVESYNC_TEST_BLESS").is_some() {
        fs::write(&path, &all).expect("the reviewed file is written");
    }
    let reviewed = fs::read_to_string(&path).unwrap_or_default();
    assert!(all == reviewed, "documents.golden is another; HIVESYNC_TEST_BLESS=1 writes it anew:\n{all}");
}

/// Where the choices of the contract are shown.
const CHOICES: [(&str, &str); 10] = [
    ("whoami", "PlatformRole"),
    ("team list", "TeamRole"),
    ("project show", "MirrorState"),
    ("job show", "JobKind"),
    ("job show", "JobState"),
    ("job show", "JobPhase"),
    ("repo tree", "TreeEntryKind"),
    ("preview list", "PreviewState"),
    ("preview list", "Platform"),
    ("notifications", "NotificationKind"),
];

/// A choice that the contract gets is one that programs may meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_choice_of_the_contract_is_documented() {
    let program = Program::new();
    let contract = DescriptorPool::decode(hivesync_proto::DESCRIPTORS).expect("descriptors");
    for (command, name) in CHOICES {
        let words: Vec<&str> = command.split(' ').collect();
        let help = program.succeed(&[&words[..], &["--help"]].concat());
        let choices = contract.get_enum_by_name(&format!("hivesync.v1.{name}")).expect(name);
        let default = choices.default_value().name().to_owned();
        let prefix = default.strip_suffix("UNSPECIFIED").expect("the house's naming");
        for choice in choices.values().filter(|choice| choice.number() != 0) {
            let word = choice.name().strip_prefix(prefix).expect("the house's naming").to_lowercase();
            assert!(help.contains(&format!("\"{word}\"")), "hsync {command} --help lacks {word}");
        }
    }
}

/// Runs commands with `--json`, and holds what they print against their help.
struct Checker<'a> {
    program: &'a Program,
    checked: BTreeSet<String>,
}

impl Checker<'_> {
    /// Runs `command` with `arguments`; returns its document.
    #[track_caller]
    fn check(&mut self, command: &str, arguments: &[&str]) -> Value {
        let words: Vec<&str> = command.split(' ').collect();
        let document = self.program.json(&[&words[..], arguments].concat());
        self.is_documented(command, &document);
        document
    }

    #[track_caller]
    fn is_documented(&mut self, command: &str, document: &Value) {
        let words: Vec<&str> = command.split(' ').collect();
        if let Err(difference) = documented(self.program, &words).check(document) {
            panic!("hsync {command}: {difference}");
        }
        self.checked.insert(command.to_owned());
    }
}

fn id(document: &Value) -> String {
    document["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_document_is_as_documented() {
    in_time(async {
        let world = World::new(Backend::Embedded).await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let program = Program::of(&world, &ada);
        let mut check = Checker { program: &program, checked: BTreeSet::new() };
        projects(&mut check);
        previews_and_jobs(&mut check);
        let invitation = teams(&mut check, &bob.email);
        told(&mut check);
        settings(&mut check);

        let guest = Program::of(&world, &bob);
        let mut guest = Checker { program: &guest, checked: check.checked };
        let waiting = guest.check("team invitations", &[]);
        assert_eq!(waiting["invitations"][0]["id"], invitation.as_str());
        guest.check("team accept", &[&invitation]);
        guest.check("logout", &[]);
        let login = ["login", "eve@example.com", "--register", "--password-stdin", "--json"];
        let login = guest.program.run_with(&login, PASSWORD.as_bytes());
        guest.is_documented("login", &serde_json::from_str(&login.stdout).expect("one document"));

        let all: BTreeSet<String> = leaves(&program, &[]).iter().map(|command| command.join(" ")).collect();
        let missed: Vec<_> = all.difference(&guest.checked).collect();
        assert!(missed.is_empty(), "nobody has looked at what these print: {missed:?}");
    })
    .await;
}

fn projects(check: &mut Checker<'_>) {
    let repository = Repository::sample();
    repository.commit("Change\n\nBecause.");
    check.check("whoami", &[]);
    check.check("project create", &["site"]);
    check.check("repo status", &["site"]);
    check.check("repo link", &["site", &repository.url()]);
    let synced = check.check("repo sync", &["site"]);
    assert_eq!(synced["state"], "succeeded");
    check.check("repo status", &["site"]);
    check.check("project show", &["site"]);
    assert_eq!(check.check("project list", &[])["projects"][0]["name"], "site");
    let tree = check.check("repo tree", &["site", "--recursive"]);
    assert_eq!(tree["entries"][2]["path"], "index.html");
    check.check("repo cat", &["site", "index.html"]);
    let log = check.check("repo log", &["site", "--limit", "1"]);
    assert_eq!((&log["commits"][0]["subject"], &log["more"]), (&"Change".into(), &true.into()));
    check.check("project create", &["other"]);
    check.check("project delete", &["other", "--yes"]);
}

fn previews_and_jobs(check: &mut Checker<'_>) {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("index.html"), "<!doctype html>").expect("a file");
    let published = check.check("preview publish", &["site", &directory.path().display().to_string()]);
    let token = published["token"].as_str().expect("a token").to_owned();
    let received = directory.path().join("received").display().to_string();
    let opened = check.program.run_with(&["preview", "open", &received, "--json"], token.as_bytes());
    let opened = serde_json::from_str(&opened.stdout).expect("one document");
    check.is_documented("preview open", &opened);
    check.check("preview list", &["site"]);
    let revoked = check.check("preview revoke", &[&id(&published["preview"])]);
    assert_eq!(revoked["state"], "revoked");

    let jobs = check.check("job list", &["--project", "site", "--limit", "2"]);
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(2));
    let job = id(&jobs["jobs"][0]);
    check.check("job show", &[&job]);
    check.check("job watch", &[&job]);
    assert_eq!(check.check("job cancel", &[&job])["state"], "succeeded");
}

/// The invitation that was made.
fn teams(check: &mut Checker<'_>, newcomer: &str) -> String {
    check.check("team create", &["Engines"]);
    check.check("team list", &[]);
    check.check("team members", &["Engines"]);
    id(&check.check("team invite", &["Engines", newcomer, "--role", "guest"]))
}

/// What is told, as a list and live.
fn told(check: &mut Checker<'_>) {
    let listed = check.check("notifications", &[]);
    assert!(listed["unread_count"].as_u64() > Some(0), "{listed}");
    let mut terminal = check.program.on_terminal(&["notifications", "--follow", "--after", "0", "--json"]);
    terminal.expect("preview_ready");
    terminal.expect("}}\r\n");
    let documented = documented(check.program, &["notifications"]);
    let whole = terminal.shown().rsplit_once('\n').expect("a line").0.to_owned();
    for line in whole.lines() {
        let event = serde_json::from_str(line).expect("a document on each line");
        documented.check_named(&event, "EVENT").unwrap_or_else(|difference| panic!("{difference}"));
    }
}

fn settings(check: &mut Checker<'_>) {
    check.check("config set", &["account", "work"]);
    check.check("config get", &["account"]);
    check.check("config list", &[]);
    check.check("config unset", &["account"]);
    check.check("completions", &["bash"]);
}
