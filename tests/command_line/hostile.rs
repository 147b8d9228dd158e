//! What strangers write cannot drive the terminal of whoever looks at it, whatever the server lets through.

use hivesync_tests::{
    actor::Actor,
    backend::Backend,
    repository::Repository,
    world::{World, in_time},
};
use sea_orm::ConnectionTrait as _;

use crate::program::Program;

/// Sets the title of a terminal, clears it, moves its cursor, and turns the direction of writing around.
const HOSTILE: &str = "x\x1b]0;owned\x07\x1b[2J\rgood\u{9b}1A\u{202e}evil";

/// What may not come out on any terminal or in any pipe: what begins a sequence, and what turns text around. A
/// terminal ends its lines with a carriage return, so that one is judged by what follows it.
fn drives_a_terminal(shown: &str) -> bool {
    shown.contains(['\x07', '\u{9b}', '\u{202e}'])
        || shown.contains("\x1b]")
        || shown.contains("\x1b[2J")
        || shown.contains("\rgood")
}

async fn scene() -> (World, Actor, Repository, Program) {
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    let repository = Repository::sample();
    repository.write("evil.txt", HOSTILE.as_bytes());
    repository.commit("Begin");
    repository.commit_as(HOSTILE.as_bytes(), format!("{HOSTILE}\n\n{HOSTILE}\n").as_bytes());
    let project = ada.project("site", &repository).await.id;
    ada.sync(project).await;
    let program = Program::of(&world, &ada);
    (world, ada, repository, program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_a_repository_drives_no_terminal() {
    in_time(async {
        let (_world, _ada, _repository, program) = scene().await;
        for command in [
            &["repo", "log", "site"][..],
            &["repo", "log", "site", "--full"],
            &["repo", "log", "site", "--json"],
            &["repo", "cat", "site", "evil.txt"],
            &["repo", "tree", "site"],
        ] {
            let (shown, status) = program.on_terminal(command).end();
            assert_eq!(status, 0, "{shown}");
            assert!(!drives_a_terminal(&shown), "{command:?}: {shown:?}");
        }
        let (shown, _) = program.on_terminal(&["repo", "cat", "site", "evil.txt"]).end();
        assert!(shown.contains("x\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\rgood\\u{9b}1A\\u{202e}evil"), "{shown:?}");
        let (shown, status) = program.on_terminal(&["repo", "cat", "site", "app/logo.bin"]).end();
        assert_eq!(status, 2, "{shown}");
        assert!(shown.contains("Write it to a file with >."), "{shown}");
        // In a pipe, a file is what it is.
        assert_eq!(program.succeed(&["repo", "cat", "site", "evil.txt"]), HOSTILE);
    })
    .await;
}

/// A server that was broken into, or one with other rules, sends anything for any text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_says_drives_no_terminal() {
    in_time(async {
        let (world, ada, _repository, program) = scene().await;
        ada.client.teams().create("Engines").await.unwrap();
        let base = world.app().base();
        let database = base.db.begin(base.signals.clone()).await.expect("the database");
        for (table, column) in
            [("projects", "name"), ("teams", "name"), ("users", "display_name"), ("notifications", "text")]
        {
            let hostile = format!("UPDATE {table} SET {column} = '{HOSTILE}'");
            database.sql().execute_unprepared(&hostile).await.expect(table);
        }
        database.commit().await.expect("committed");
        for command in [
            &["whoami"][..],
            &["project", "list"],
            &["team", "list"],
            &["notifications"],
            &["project", "show", HOSTILE],
            &["repo", "sync", HOSTILE],
            &["project", "show", "absent\x1b]0;owned\x07"],
        ] {
            for command in [command.to_vec(), [command, &["--json"]].concat()] {
                let (shown, _) = program.on_terminal(&command).end();
                assert!(!drives_a_terminal(&shown.replace("\x1b[2K", "")), "{command:?}: {shown:?}");
                let piped = program.run(&command);
                assert!(!drives_a_terminal(&(piped.stdout + &piped.stderr)), "{command:?}");
            }
        }
        let listed = program.succeed(&["project", "list"]);
        assert!(listed.contains("x\\u{1b}]0;owned\\u{7}"), "{listed:?}");
    })
    .await;
}
