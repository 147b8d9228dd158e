//! The quick start of a package, as its README shows it, against the real server over TLS.

use std::{fs, path::Path, process::Stdio, time::Duration};

use hivesync_tests::{actor::Actor, backend::Backend, binary, caller::PASSWORD, process::Installation};
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

/// What a quick start may take.
const QUICK_START_MAX: Duration = Duration::from_secs(60);
/// The files of the preview that it opens.
const FILES: [(&str, &[u8]); 2] = [("index.html", b"<!doctype html>"), ("app/main.js", b"let a;")];

/// The code in a README, with what a reader would put in place of some of its words.
///
/// # Panics
/// If there is no code in this language, or not each of these words in it.
pub fn code(readme: &str, language: &str, in_place_of: &[(&str, &str)]) -> String {
    let readme = fs::read_to_string(readme).expect("a README");
    let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("code begins");
    let (code, _) = rest.split_once("```\n").expect("code ends");
    in_place_of.iter().fold(code.to_owned(), |code, (words, ours)| {
        assert!(code.contains(words), "the quick start does not say {words}");
        code.replace(words, ours)
    })
}

/// Writes a file, unless it is what it should be: that needs no compiling.
pub fn write_if_new(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).unwrap();
    }
}

/// Runs a quick start, which finds the server by `HIVESYNC_SERVER_URL`, `HIVESYNC_ROOT_CERTIFICATES` and
/// `HIVESYNC_EMAIL`, and demands that it opens a preview.
pub async fn hold(mut quick_start: Command) {
    let installation = Installation::start_over_tls(Backend::Embedded).await;
    let ada =
        Actor::join(installation.client("desktop", hivesync::auth::Platform::Desktop).await, "ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let published = ada.publish(project.id, &FILES).await.unwrap();
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("root.pem");
    fs::write(&root, installation.root_certificates().expect("TLS")).unwrap();

    let mut running = quick_start
        .current_dir(work.path())
        .env("HIVESYNC_SERVER_URL", installation.url())
        .env("HIVESYNC_ROOT_CERTIFICATES", root)
        .env("HIVESYNC_EMAIL", &ada.email)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .expect("the quick start runs");
    let mut keyboard = running.stdin.take().expect("piped");
    let typed = format!("{PASSWORD}\n{}\n", published.token.expose());
    keyboard.write_all(typed.as_bytes()).await.expect("it reads what is typed");
    let output =
        timeout(QUICK_START_MAX, running.wait_with_output()).await.expect("it ends in time").unwrap();

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("21 of 21 bytes"), "{said}");
    assert!(said.ends_with("2 files; start with index.html\n"), "{said}");
    for (path, bytes) in FILES {
        assert_eq!(fs::read(work.path().join("preview").join(path)).unwrap(), bytes, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_of_rust_opens_a_preview() {
    hold(Command::new(binary::path("examples/quick_start"))).await;
}
