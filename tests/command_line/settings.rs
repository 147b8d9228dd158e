//! Settings: options, then the environment, then the file, which holds no secret and is its user's alone.

use std::{fs, os::unix::fs::PermissionsExt as _};

use hivesync_tests::{
    backend::Backend,
    caller::PASSWORD,
    certificate::Certificate,
    world::{World, in_time},
};
use serde_json::json;

use crate::program::Program;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_win_over_the_environment_and_that_over_the_file() {
    let mut program = Program::new();
    let server = |program: &Program, arguments: &[&str]| {
        let setting = program.json(&[&["config", "get", "server"], arguments].concat());
        (setting["value"].as_str().unwrap().to_owned(), setting["source"].as_str().unwrap().to_owned())
    };
    let said = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(server(&program, &[]), said("http://127.0.0.1:7440", "default"));
    program.succeed(&["config", "set", "server", "https://file.example"]);
    assert_eq!(server(&program, &[]), said("https://file.example", "file"));
    program.set("HSYNC_SERVER", "https://environment.example");
    assert_eq!(server(&program, &[]), said("https://environment.example", "environment"));
    let option = ["--server", "https://option.example"];
    assert_eq!(server(&program, &option), said("https://option.example", "option"));

    let listed = program.json(&["config", "list"]);
    assert_eq!(listed["file"], json!(program.config_file().display().to_string()));
    assert_eq!(listed["settings"][1], json!({"name": "account", "value": "default", "source": "default"}));
    assert_eq!(listed["settings"][2], json!({"name": "ca_file", "value": null, "source": "default"}));
    program.unset("HSYNC_SERVER").succeed(&["config", "unset", "server"]);
    assert_eq!(server(&program, &[]), said("http://127.0.0.1:7440", "default"));
    let elsewhere = program.home().join("elsewhere.toml");
    program
        .set("HSYNC_CONFIG", &elsewhere.display().to_string())
        .succeed(&["config", "set", "account", "work"]);
    assert_eq!(fs::read_to_string(elsewhere).unwrap(), "account = \"work\"\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_is_its_users_alone_and_written_at_once() {
    let program = Program::new();
    program.succeed(&["config", "set", "server", "https://one.example"]);
    program.succeed(&["config", "set", "account", "work"]);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = program.config_file().parent().unwrap().to_owned();
    assert_eq!((mode(&program.config_file()), mode(&directory)), (0o600, 0o700));
    assert_eq!(fs::read_dir(directory).unwrap().count(), 1, "nothing else is left");

    // What could not be is not written.
    let wrong = [
        ["server", "ftp://one.example"],
        ["server", "http://one.example"],
        ["account", "../../evil"],
        ["ca_file", "no-such-file.pem"],
    ];
    for [name, value] in wrong {
        let refused = program.run(&["config", "set", name, value]);
        assert!(matches!(refused.status, 2 | 5), "{refused:?}");
    }
    assert_eq!(program.run(&["config", "set", "password", "secret"]).status, 2);
    assert_eq!(program.succeed(&["config", "get", "server"]), "https://one.example\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_used_says_how_to_mend_it() {
    let program = Program::new();
    let good = "server = \"https://one.example\"\n";
    let cases = [
        (good.to_owned(), 0o644, "Run `chmod 600 "),
        (good.to_owned(), 0o622, "Run `chmod 600 "),
        ("account = \"work\"\nserver = https://one.example\n".to_owned(), 0o600, "is no TOML in line 2"),
        ("\x1b]0;owned\x07 = \"x\"\n".to_owned(), 0o600, "is no TOML in line 1"),
        (
            "sever = \"https://one.example\"\n".to_owned(),
            0o600,
            "sets `sever`, which is none of server, account",
        ),
        ("server = 7440\n".to_owned(), 0o600, "Put it in quotes."),
        ("#".repeat(70_000), 0o600, "is larger than 64 KiB"),
    ];
    for (text, mode, expected) in cases {
        program.configure(&text, mode);
        let refused = program.run(&["whoami"]);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(refused.stderr.contains(expected), "{expected}: {refused:?}");
        assert!(refused.stderr.contains("hsync.toml"), "{refused:?}");
        assert!(!refused.stderr.contains(['\x1b', '\x07']), "{refused:?}");
        // What needs no settings works.
        assert_eq!(program.run(&["config", "--help"]).status, 0);
    }
    program.configure(good, 0o600);
    assert_eq!(program.succeed(&["config", "get", "server"]), "https://one.example\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_says_which_server_is_meant() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let mut program = Program::of(&world, &ada);
        program.unset("HSYNC_SERVER");
        program.succeed(&["config", "set", "server", world.app().addresses.public_url.as_str()]);
        assert!(program.succeed(&["whoami"]).contains(&ada.email));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_by_its_file() {
    in_time(async {
        let certificate = Certificate::new();
        let world = World::over_tls(&certificate).await;
        let mut program = Program::for_server(&world);
        let register = ["login", "ada@example.com", "--register", "--password-stdin"];
        let refused = program.run_with(&register, PASSWORD.as_bytes());
        assert_eq!(refused.status, 8, "{refused:?}");
        program.set("HSYNC_CA_FILE", &certificate.root().display().to_string());
        let finished = program.run_with(&register, PASSWORD.as_bytes());
        assert_eq!(finished.status, 0, "{finished:?}");
    })
    .await;
}
