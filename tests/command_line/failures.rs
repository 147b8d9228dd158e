//! Failures: an exit status for each kind, what to do next, and what the operator finds the call by.

use hivesync_tests::{
    backend::Backend,
    repository::Repository,
    world::{World, in_time},
};
use serde_json::Value;

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
        assert!(error["next"].as_str().unwrap().contains("hsync login"), "{error}");

        let mut away = Program::of(&world, &ada);
        away.set("HSYNC_SERVER", "http://127.0.0.1:1");
        assert_eq!(fail(&away, &["whoami"], 8, "offline")["correlation_id"], Value::Null);
        away.set("HSYNC_SERVER", "http://git.example");
        fail(&away, &["whoami"], 5, "invalid_request");
        // What listens there speaks the protocol, and knows nothing of users.
        away.set("HSYNC_SERVER", &format!("http://{}", world.app().addresses.worker));
        fail(&away, &["whoami"], 11, "upgrade_required");

        let program = Program::of(&world, &ada);
        fail(&program, &["project", "show", "absent"], 2, "usage");
        fail(&program, &["preview", "publish", "absent"], 2, "usage");
        for arguments in [&["no-such-command"][..], &["job", "show", "no-uuid"], &["repo", "log"]] {
            assert_eq!(program.run(arguments).status, 2, "{arguments:?}");
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
            std::fs::write(&path, "nothing of the kind").expect("a file");
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
                .expect("a mode");
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

        // The disk is full.
        let mut command = program.command("sh");
        let hsync = hivesync_tests::binary::path("hsync").display().to_string();
        command.args(["-c", "\"$0\" project list > /dev/full", &hsync]);
        let full = Finished::from(tokio::task::block_in_place(|| command.output()).expect("sh runs"));
        assert_eq!(full.status, 1, "{full:?}");
    })
    .await;
}

fn watched(program: &Program, job: &str, status: i32, reason: &str, state: &str) {
    let watched = program.run(&["job", "watch", job, "--json"]);
    assert_eq!(watched.status, status, "{watched:?}");
    assert!(watched.stdout.contains(&format!("\"state\":\"{state}\"")), "{watched:?}");
    assert!(watched.stderr.contains(&format!("\"reason\":\"{reason}\"")), "{watched:?}");
}
