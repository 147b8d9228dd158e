//! Signing in and out.

use hivesync::page::PageRequest;
use hivesync_tests::{
    backend::Backend,
    binary,
    caller::PASSWORD,
    tool,
    world::{World, in_time},
};

use crate::{
    program::{Finished, Program},
    terminal::{CTRL_C, Terminal},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_asked_for_and_never_shown() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let program = Program::for_server(&world);
        let mut terminal = program.on_terminal(&["login", "--register", "--name", "Ada"]);
        terminal.expect("E-mail: ");
        terminal.type_in("ada@example.com\r");
        for question in ["Password: ", "The password again: "] {
            terminal.expect_secret(question).await;
            terminal.type_in(&format!("{PASSWORD}\r"));
        }
        let (shown, status) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains("The account ada@example.com works."), "{shown}");
        assert!(shown.contains("ada@example.com\r\n") && !shown.contains(&PASSWORD[..8]), "{shown}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_that_was_mistyped_makes_no_account() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let mut program = Program::for_server(&world);
        let mut terminal = program.on_terminal(&["login", "ada@example.com", "--register"]);
        terminal.expect_secret("Password: ").await;
        terminal.type_in(&format!("{PASSWORD}\r"));
        terminal.expect_secret("The password again: ").await;
        terminal.type_in("Another-Pass-Word-1\r");
        let (shown, status) = terminal.end();
        assert_eq!(status, 2, "{shown}");
        assert!(shown.contains("The two are not the same."), "{shown}");
        program.set("HSYNC_EMAIL", "ada@example.com").set("HSYNC_PASSWORD", PASSWORD);
        assert_eq!(program.run(&["whoami"]).status, 4, "there is no such account");
    })
    .await;
}

/// A typo in what nothing can be opened without would lock the session away for ever; a refused sign-in makes no file
/// that only a forgotten passphrase opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_sealed_file_is_made_by_a_sign_in_and_its_passphrase_asked_for_twice() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let mut program = Program::for_server(&world);
        let sealed = program.home().join("sealed");
        program.set("HSYNC_SEALED_FILE", &sealed.display().to_string());
        let signed_out = program.run(&["whoami"]);
        assert_eq!(signed_out.status, 3, "nothing to ask a passphrase for: {signed_out:?}");

        let login = async |questions: &[(&str, &str)]| {
            let mut terminal = program.on_terminal(&["login", &ada.email]);
            for (question, answer) in questions {
                terminal.expect_secret(question).await;
                terminal.type_in(&format!("{answer}\r"));
            }
            terminal.end()
        };
        let (new, again) = ("Passphrase of the new sealed file: ", "The passphrase again: ");
        let (shown, status) = login(&[(new, "one phrase"), (again, "another phrase")]).await;
        assert_eq!(status, 2, "{shown}");
        let wrong = [(new, "one phrase"), (again, "one phrase"), ("Password: ", "Not-The-Password-1")];
        let (shown, status) = login(&wrong).await;
        assert_eq!(status, 4, "{shown}");
        assert!(!sealed.exists());
        let right = [(new, "a phrase"), (again, "a phrase"), ("Password: ", PASSWORD)];
        let (shown, status) = login(&right).await;
        assert_eq!(status, 0, "{shown}");
        assert!(sealed.exists());

        let mut terminal = program.on_terminal(&["whoami"]);
        terminal.expect_secret("Passphrase of the sealed file: ").await;
        terminal.type_in("a phrase\r");
        let (shown, status) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert!(shown.contains(&format!("<{}>", ada.email)) && shown.contains("\ndevice "), "{shown}");
    })
    .await;
}

/// Each time: what reads the keyboard and what hears of the signal race each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_question_leaves_the_terminal_as_it_was() {
    const TIMES: usize = 6;
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let asked_for_password = Program::for_server(&world);
        let mut asked_for_passphrase = Program::for_server(&world);
        let sealed = asked_for_passphrase.home().join("sealed").display().to_string();
        asked_for_passphrase.set("HSYNC_SEALED_FILE", &sealed);
        let register = ["login", "ada@example.com", "--register"];
        for _ in 0..TIMES {
            interrupt(&asked_for_password, &register, "Password: ").await;
            interrupt(&asked_for_passphrase, &register, "Passphrase of the new sealed file: ").await;
        }
        std::fs::write(&sealed, "of no use before the question is answered").unwrap();
        for _ in 0..TIMES {
            interrupt(&asked_for_passphrase, &["whoami"], "Passphrase of the sealed file: ").await;
        }
    })
    .await;
}

async fn interrupt(program: &Program, arguments: &[&str], question: &str) {
    let mut terminal = program.on_terminal(arguments);
    terminal.expect_secret(question).await;
    terminal.type_in("half a pass");
    terminal.type_in(CTRL_C);
    terminal.expect("Interrupted.");
    assert!(terminal.echoes());
    let (shown, status) = terminal.end();
    assert_eq!(status, 130, "{shown}");
    assert!(!shown.contains("half"), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_can_come_from_a_pipe() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let program = Program::for_server(&world);
        let login = ["login", "ada@example.com", "--register"];
        let refused = program.run(&login);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(refused.stderr.contains("--password-stdin"), "{refused:?}");
        let input = format!("{PASSWORD}\n");
        let login = [&login[..], &["--password-stdin", "--json"]].concat();
        let finished = program.run_with(&login, input.as_bytes());
        assert_eq!(finished.status, 0, "{finished:?}");
        assert!(finished.stdout.contains("\"persistent\":false"), "{finished:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_kept_without_a_key_store() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let refused = Program::for_server(&world).run(&["login", &ada.email]);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(refused.stderr.contains("HSYNC_EMAIL and HSYNC_PASSWORD"), "{refused:?}");

        let program = Program::of(&world, &ada);
        let me = program.json(&["whoami"]);
        assert_eq!(me["email"], ada.email.as_str());
        assert_eq!(me["session"]["persistent"], false);
        let sessions = ada.client.auth().sessions(PageRequest::first()).await.unwrap().items;
        assert_eq!(sessions.len(), 1, "a run by the environment signs out at its end: {sessions:?}");
        let left: Vec<_> = std::fs::read_dir(program.home()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    })
    .await;
}

/// What `--verbose` says helps to find a failure, and holds no secret.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_on_is_told_without_secrets() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let program = Program::of(&world, &ada);
        let (shown, _) = program.on_terminal(&["whoami", "--verbose"]).end();
        let piped = program.run(&["whoami", "--verbose"]);
        for shown in [shown.as_str(), &piped.stderr] {
            assert!(shown.contains("/hivesync.v1.UserService/GetMe"), "{shown}");
            assert!(
                !shown.contains(PASSWORD) && !shown.contains("Bearer") && !shown.contains("eyJ"),
                "{shown}"
            );
        }
        assert!(shown.contains('\x1b') && !piped.stderr.contains('\x1b'), "{piped:?}");
    })
    .await;
}

/// On the key store of a desktop, in one go: the key store lives as long as its bus.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_store_keeps_the_session_between_runs() {
    if !(is_installed("gnome-keyring-daemon") && is_installed("dbus-run-session")) {
        tool::do_without("a session in the key store, because gnome-keyring or dbus is not installed");
        return;
    }
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let script = "
            printf keys | gnome-keyring-daemon --unlock --components=secrets >/dev/null 2>&1
            printf '%s\\n' \"$PASSWORD\" | \"$HSYNC\" login \"$1\" --password-stdin &&
            \"$HSYNC\" whoami --json && \"$HSYNC\" logout &&
            ! \"$HSYNC\" whoami";
        let mut program = Program::for_server(&world);
        let binary = binary::path("hsync").display().to_string();
        program.set("HSYNC", &binary).set("PASSWORD", PASSWORD).unset("DBUS_SESSION_BUS_ADDRESS");
        let mut command = program.command("dbus-run-session");
        command.args(["--", "sh", "-c", script, "sh", &ada.email]);
        let output = tokio::task::block_in_place(|| command.output()).expect("it runs");
        let finished = Finished::from(output);
        assert_eq!(finished.status, 0, "{finished:?}");
        assert!(finished.stdout.contains("Signed in as ada@example.com."), "{finished:?}");
        assert!(finished.stdout.contains(&ada.me.id.to_string()), "{finished:?}");
        assert!(finished.stderr.contains("Run `hsync login`"), "{finished:?}");
    })
    .await;
}

/// Whoever chooses a sealed file stays signed in by it, under as many names as they like.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_are_kept_apart() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let (ada, bob) = (world.user("ada").await, world.user("bob").await);
        let mut program = Program::for_server(&world);
        let (sealed, passphrase) = (program.home().join("sealed"), program.home().join("passphrase"));
        std::fs::write(&passphrase, "correct horse battery staple\n").unwrap();
        std::fs::set_permissions(&passphrase, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        program.set("HSYNC_SEALED_FILE", &sealed.display().to_string());
        program.set("HSYNC_SEALED_PASSPHRASE_FILE", &passphrase.display().to_string());
        for (account, user) in [("default", &ada), ("work", &bob)] {
            let login = ["login", &user.email, "--password-stdin", "--account", account];
            let finished = program.run_with(&login, PASSWORD.as_bytes());
            assert_eq!(finished.status, 0, "{finished:?}");
        }
        let email = |program: &Program, arguments: &[&str]| {
            program.json(&[&["whoami"], arguments].concat())["email"].as_str().unwrap().to_owned()
        };
        assert_eq!(email(&program, &[]), ada.email);
        assert_eq!(email(&program, &["--account", "work"]), bob.email);
        program.set("HSYNC_ACCOUNT", "work").succeed(&["logout"]);
        assert_eq!(program.run(&["whoami"]).status, 3);
        assert_eq!(email(program.unset("HSYNC_ACCOUNT"), &[]), ada.email);
        let kept = std::fs::read(sealed).unwrap();
        assert!(!kept.windows(ada.email.len()).any(|bytes| bytes == ada.email.as_bytes()));
    })
    .await;
}

fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

/// A person may be asked before what cannot be undone; a script says so beforehand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_is_confirmed_by_the_name() {
    in_time(async {
        let world = World::without_worker(Backend::Embedded, &[]).await;
        let ada = world.user("ada").await;
        let program = Program::of(&world, &ada);
        program.succeed(&["project", "create", "site"]);
        let ask = |answer: &str| {
            let mut terminal: Terminal = program.on_terminal(&["project", "delete", "site"]);
            terminal.expect("Type its name: ");
            terminal.type_in(answer);
            terminal.end()
        };
        assert_eq!(ask("no\r").1, 2);
        assert_eq!(program.run(&["project", "delete", "site"]).status, 2);
        assert!(program.succeed(&["project", "list"]).contains("site"));
        let (shown, status) = ask("site\r");
        assert_eq!(status, 0, "{shown}");
        assert_eq!(program.succeed(&["project", "list"]), "");
    })
    .await;
}
