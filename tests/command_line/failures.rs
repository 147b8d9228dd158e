//! Failures: an exit status for each kind, what to do next, and what the operator finds the call by.

use std::{path::Path, process::Stdio};

use hivesync_proto::v1::{CommitRequest, ErrorReason, FailureClass, JobFailure, commit_request::Outcome};
use hivesync_tests::{
    backend::Backend,
    binary,
    raw_worker::RawWorker,
    repository::Repository,
    world::{WORKER_SECRET, World, in_time},
};
use serde_json::Value;
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::program::{Finished, Program};

/// Runs a command that must fail, as text and as a document; the document's `error`.
#[track_caller]
fn fail(program: &Program, arguments: &[&str], status: i32, code: &str) -> Value {
    let said = program.run(arguments);
    assert_eq!((said.status, said.stdout.as_str()), (status, ""), "hsync {arguments:?}: {said:?}");
    assert!(said.stderr.starts_with("error: "), "{said:?}");
    let document = program.run(&[arguments, &["--json"]].concat());
    assert_eq!((document.status, document.stdout.as_str()), (status, ""), "{document:?}");
    let document: Value = serde_json::from_str(&document.stderr).expect("one document");
    let error = document["error"].clone();
    assert_eq!(error["code"], code, "{error}");
    let fields: Vec<&String> = error.as_object().expect("an object").keys().collect();
    assert_eq!(fields, ["code", "correlation_id", "message", "next", "reason"]);
    for field in ["message", "next"] {
        let text = error[field].as_str().unwrap_or_default();
        assert!(said.stderr.contains(text), "{text:?} is missing: {said:?}");
    }
    assert_eq!(said.stderr.contains("(correlation ID "), error["correlation_id"].is_string(), "{said:?}");
    error
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_server_have_their_status_and_correlation_id() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let program = Program::of(&world, &ada);
        program.succeed(&["project", "create", "site"]);
        let nobody = "01920000-0000-7000-8000-000000000000";
        let cases: [(&[&str], i32, &str, &str); 5] = [
            (&["project", "show", nobody], 4, "forbidden", "NOT_FOUND"),
            (
                &["repo", "link", "site", "https://a:b@git.example/x"],
                5,
                "invalid_request",
                "INVALID_REPOSITORY_URL",
            ),
            (&["repo", "tree", "site", "../etc"], 5, "invalid_request", "INVALID_PATH"),
            (&["project", "create", "site"], 6, "conflict", "ALREADY_EXISTS"),
            (&["repo", "sync", "site"], 6, "conflict", "REPOSITORY_NOT_READY"),
        ];
        for (arguments, status, code, reason) in cases {
            let error = fail(&program, arguments, status, code);
            assert_eq!(error["reason"], reason, "{error}");
            let correlation_id = error["correlation_id"].as_str().expect("the server was asked");
            assert!(correlation_id.len() >= 16, "{correlation_id}");
        }
        let error = fail(&program, &["repo", "log", "site"], 6, "conflict");
        assert!(error["next"].as_str().unwrap().contains("hsync repo sync"), "{error}");

        let mut wrong = Program::of(&world, &ada);
        wrong.set("HSYNC_PASSWORD", "wrong");
        assert_eq!(fail(&wrong, &["whoami"], 4, "forbidden")["reason"], "INVALID_CREDENTIALS");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_never_reached_the_server_has_its_status() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let nobody = Program::for_server(&world);
        let error = fail(&nobody, &["whoami"], 3, "signed_out");
        for way in ["hsync login", "HSYNC_SEALED_FILE", "HSYNC_EMAIL"] {
            assert!(error["next"].as_str().unwrap().contains(way), "{error}");
        }

        let mut away = Program::of(&world, &ada);
        away.set("HSYNC_SERVER", "http://127.0.0.1:1");
        assert_eq!(fail(&away, &["whoami"], 8, "offline")["correlation_id"], Value::Null);
        away.set("HSYNC_SERVER", "http://git.example");
        fail(&away, &["whoami"], 5, "invalid_request");
        // What listens there speaks the protocol, and knows nothing of users.
        away.set("HSYNC_SERVER", &format!("http://{}", world.app().addresses.worker));
        fail(&away, &["whoami"], 11, "upgrade_required");

        let program = Program::of(&world, &ada);
        for (command, list) in [
            (["project", "show"], "hsync project list"),
            (["preview", "publish"], "hsync project list"),
            (["team", "members"], "hsync team list"),
            (["team", "accept"], "hsync team invitations"),
        ] {
            let error = fail(&program, &[command[0], command[1], "absent"], 4, "forbidden");
            assert_eq!(error["reason"], "NOT_FOUND", "{error}");
            assert!(error["next"].as_str().unwrap().contains(list), "{error}");
        }
        let mut half = Program::for_server(&world);
        half.set("HSYNC_EMAIL", &ada.email);
        fail(&half, &["whoami"], 2, "usage");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_jobs_and_limits_have_their_status() {
    in_time(async {
        let world = World::new(Backend::Embedded).await;
        let ada = world.user("ada").await;
        let program = Program::of(&world, &ada);

        // A store of sessions that is none.
        let mut sealed = Program::for_server(&world);
        for (variable, name) in
            [("HSYNC_SEALED_FILE", "sealed"), ("HSYNC_SEALED_PASSPHRASE_FILE", "passphrase")]
        {
            let path = sealed.home().join(name);
            private_file(&path, "nothing of the kind");
            sealed.set(variable, &path.display().to_string());
        }
        fail(&sealed, &["whoami"], 10, "storage");
        // A passphrase that others may read.
        let passphrase = sealed.home().join("passphrase");
        std::fs::set_permissions(&passphrase, std::os::unix::fs::PermissionsExt::from_mode(0o640))
            .expect("a mode");
        fail(&sealed, &["whoami"], 2, "usage");

        // A job that somebody else stops, and one that fails.
        let idle = World::without_worker(Backend::Embedded, &[]).await;
        let bob = idle.user("bob").await;
        let project = bob.project("site", &Repository::sample()).await.id;
        let job = bob.client.projects().sync(project).await.unwrap();
        bob.client.jobs().cancel(job.id).await.unwrap();
        watched(&Program::of(&idle, &bob), &job.id.to_string(), 9, "CANCELLED", "cancelled");
        let broken = Repository::sample();
        broken.commit_entry("100644", ".git", b"[core]");
        let project = ada.project("broken", &broken).await.id;
        let job = ada.sync(project).await;
        watched(&program, &job.id.to_string(), 5, "REPOSITORY_REJECTED", "failed");

        let strict = World::without_worker(Backend::Embedded, &[("RATE_LIMITS", "on")]).await;
        let mut guesser = Program::for_server(&strict);
        guesser.set("HSYNC_EMAIL", "eve@example.com").set("HSYNC_PASSWORD", "Guess-Number-1-of-Many");
        let limited = (0..40).map(|_| guesser.run(&["whoami", "--json"])).find(|guess| guess.status != 4);
        let limited = limited.expect("guessing is limited");
        assert_eq!(limited.status, 7, "{limited:?}");
        assert!(limited.stderr.contains("\"code\":\"rate_limited\""), "{limited:?}");
        assert!(limited.stderr.contains("stays signed in by HSYNC_SEALED_FILE"), "{limited:?}");
        // Whoever signs in to a sealed file is not told to use one.
        guesser.unset("HSYNC_EMAIL").unset("HSYNC_PASSWORD");
        let (sealed, passphrase) = (guesser.home().join("sealed"), guesser.home().join("passphrase"));
        private_file(&passphrase, "correct horse battery staple\n");
        guesser.set("HSYNC_SEALED_FILE", &sealed.display().to_string());
        guesser.set("HSYNC_SEALED_PASSPHRASE_FILE", &passphrase.display().to_string());
        let limited = guesser.run_with(&["login", "eve@example.com", "--password-stdin"], b"Guess-Number-41");
        assert_eq!(limited.status, 7, "{limited:?}");
        assert!(!limited.stderr.contains("HSYNC_"), "{limited:?}");

        // The disk is full.
        let mut command = program.command("sh");
        let hsync = binary::path("hsync").display().to_string();
        command.args(["-c", "\"$0\" project list > /dev/full", &hsync]);
        let full = Finished::from(block_in_place(|| command.output()).expect("sh runs"));
        assert_eq!(full.status, 1, "{full:?}");
    })
    .await;
}

fn private_file(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a mode");
}

/// Whoever asks for documents reads documents, even of a line that cannot be parsed.
#[test]
fn a_wrong_command_line_has_its_document() {
    let mut program = Program::new();
    program.set("HSYNC_SERVER", "https://hivesync.example");
    let cases: [(&[&str], &str); 8] = [
        (&["no-such-command"], "unrecognized subcommand 'no-such-command'"),
        (&["project", "lst"], "a similar subcommand exists: 'list'"),
        (&["project"], "ends before it says what to do. Add --help"),
        (&["repo", "sync"], "<PROJECT>; Usage: hsync repo sync <PROJECT>."),
        (&["job", "show", "no-uuid"], "it is no id"),
        (&["repo", "log", "site", "--commit", "HEAD"], "40 hexadecimal digits"),
        (&["repo", "cat", "site", "a", "--commit", "abc"], "40 hexadecimal digits"),
        (&["preview", "publish", "site", "--lifetime-secs", "5"], "600 to 1800"),
    ];
    for (arguments, says) in cases {
        let error = document(&program.run(&[&["--json"], arguments].concat()), 2);
        assert_eq!(error["code"], "usage", "{error}");
        assert!(error["message"].as_str().unwrap().contains(says), "{arguments:?}: {error}");
        let said = program.run(arguments);
        assert_eq!((said.status, said.stdout.as_str()), (2, ""), "{said:?}");
        assert!(serde_json::from_str::<Value>(&said.stderr).is_err(), "{said:?}");
        assert!(!said.stderr.contains("--server <URL> <"), "the environment sets it: {said:?}");
    }
    for asked in ["--help", "--version"] {
        let said = program.run(&["--json", asked]);
        assert_eq!((said.status, said.stderr.as_str()), (0, ""), "{said:?}");
        assert!(
            said.stdout.starts_with("Sync repositories") || said.stdout.starts_with("hsync "),
            "{said:?}"
        );
    }
    // Behind `--` it is a word like any other.
    assert!(program.run(&["project", "lst", "--", "--json"]).stderr.starts_with("error: "));
}

/// The one document of a failed run; what it says of the error.
#[track_caller]
fn document(said: &Finished, status: i32) -> Value {
    assert_eq!((said.status, said.stdout.as_str()), (status, ""), "{said:?}");
    let document: Value = serde_json::from_str(&said.stderr).expect("one document");
    document["error"].clone()
}

/// Where the server says precisely what is wrong, its words are shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_in_the_words_of_the_server() {
    in_time(async {
        let world = World::new(Backend::Embedded).await;
        let ada = world.user("ada").await;
        let repository = Repository::sample();
        let project = ada.project("site", &repository).await.id;
        ada.sync(project).await.into_result().expect("synced");
        ada.client.teams().create("Engines").await.unwrap();
        let program = Program::of(&world, &ada);
        let absent = "0123456789012345678901234567890123456789";
        let cases: [(&[&str], i32, &[&str]); 11] = [
            (
                &["repo", "link", "site", "https://127.0.0.1/a"],
                5,
                &["repository_url: the host must be a name, not an IP address.", "file:///absolute/path"],
            ),
            (&["repo", "link", "site", "https://localhost/x"], 5, &["the host is not an accepted name."]),
            (
                &["project", "create", "x", "--url", "/path/to/x"],
                5,
                &["https://host/path.", "file:///absolute/path"],
            ),
            (&["project", "create", ""], 5, &["The request is not valid. name: must have"]),
            (&["project", "create", "a\u{1b}b"], 5, &["name: must not contain control characters"]),
            (&["repo", "cat", "site", "../etc/passwd"], 5, &["must not have the components `.` and `..`."]),
            (
                &["repo", "cat", "site", "absent.txt"],
                4,
                &["The mirror has no file absent.txt there.", "hsync repo tree"],
            ),
            (&["repo", "tree", "site", "absent"], 4, &["The mirror has no directory absent there."]),
            (&["repo", "log", "site", "--commit", absent], 4, &["The mirror has no commit there."]),
            (
                &["team", "invite", "Engines", &ada.email],
                6,
                &["is in the team Engines already", "hsync team members"],
            ),
            (&["preview", "open", "received"], 2, &["No token was given."]),
        ];
        for (arguments, status, says) in cases {
            let said = program.run(arguments);
            assert_eq!((said.status, said.stdout.as_str()), (status, ""), "{arguments:?}: {said:?}");
            for text in says {
                assert!(said.stderr.contains(text), "{arguments:?} does not say {text:?}: {said:?}");
            }
        }

        let weak =
            program.run_with(&["login", "eve@example.com", "--register", "--password-stdin"], b"weak\n");
        assert_eq!(weak.status, 5, "{weak:?}");
        assert!(weak.stderr.contains("password: must have 12 to 256 characters; must "), "{weak:?}");

        let bob = world.user("bob").await;
        program.succeed(&["team", "invite", "Engines", &bob.email]);
        let accepted = Program::of(&world, &bob).succeed(&["team", "accept", "Engines"]);
        assert!(accepted.starts_with("You are a member of team "), "{accepted}");
    })
    .await;
}

/// A person waits behind a bar, a script at standard error; both learn that it does not work, why, and where to look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_says_so_and_where_to_look() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        ada.project("site", &Repository::sample()).await;
        let program = Program::of(&world, &ada);
        let wire = world.wire_to(world.app().addresses.worker).await;
        let mut worker = RawWorker::connect(wire, "w", WORKER_SECRET).await.expect("a worker");

        let mut terminal = program.on_terminal(&["repo", "sync", "site"]);
        refuse_next(&mut worker, FailureClass::AppError).await;
        terminal.expect("failed once and is tried again");
        let job = refuse_next(&mut worker, FailureClass::NonRetryable).await;
        let (shown, status) = terminal.end();
        assert_eq!(status, 6, "{shown}");
        assert!(shown.contains(&format!("The job is {job}.")), "{shown}");
        assert!(shown.contains(&format!("Run `hsync job show {job}`.")), "{shown}");

        let mut command = program.command(binary::path("hsync"));
        command
            .args(["repo", "sync", "site"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().expect("the program is there");
        refuse_next(&mut worker, FailureClass::AppError).await;
        refuse_next(&mut worker, FailureClass::NonRetryable).await;
        let piped = Finished::from(block_in_place(|| child.wait_with_output()).expect("it ends"));
        assert_eq!((piped.status, piped.stdout.as_str()), (6, ""), "{piped:?}");
        assert!(piped.stderr.starts_with("The job failed once and is tried again.\nerror: "), "{piped:?}");
        assert_eq!(piped.stderr.lines().count(), 3, "{piped:?}");
    })
    .await;
}

/// Takes the next job and cannot fetch its repository; the job's id.
async fn refuse_next(worker: &mut RawWorker, class: FailureClass) -> String {
    let lease = worker.take().await;
    let failure = JobFailure {
        class: class.into(),
        reason: ErrorReason::RepositoryUnreachable.into(),
        ..Default::default()
    };
    let commit = CommitRequest {
        job_id: lease.job_id.clone(),
        lease_token: lease.lease_token,
        commit_id: Uuid::new_v4().to_string(),
        outcome: Some(Outcome::Failure(failure)),
    };
    worker.commit(commit).await.expect("the failure is taken");
    lease.job_id
}

fn watched(program: &Program, job: &str, status: i32, reason: &str, state: &str) {
    let watched = program.run(&["job", "watch", job, "--json"]);
    assert_eq!(watched.status, status, "{watched:?}");
    assert!(watched.stdout.contains(&format!("\"state\":\"{state}\"")), "{watched:?}");
    assert!(watched.stderr.contains(&format!("\"reason\":\"{reason}\"")), "{watched:?}");
}
