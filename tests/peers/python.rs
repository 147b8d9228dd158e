//! The Python package, as pip installs it, against the real server.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hivesync_tests::{
    backend::Backend, binary, caller::PASSWORD, process::Installation, repository::Repository, tool,
    world::World,
};
use tokio::sync::OnceCell;

use crate::scenario;

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/python");
const LIBRARY: &str = if cfg!(target_os = "macos") { "libhivesync_ffi.dylib" } else { "libhivesync_ffi.so" };
/// What builds the wheel.
const SETUPTOOLS: &str = "setuptools==80.9.0";

/// The interpreter of a fresh virtual environment into which pip has installed the package; `None` where it cannot be
/// had, which is said.
async fn python() -> Option<&'static Path> {
    static INSTALLED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let install = || async { tokio::task::spawn_blocking(install).await.expect("the package is installed") };
    INSTALLED.get_or_init(install).await.as_deref()
}

fn install() -> Option<PathBuf> {
    if tool::is_too_slow("the Python package") {
        return None;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let _ = fs::remove_dir_all(&directory);
    let (package, environment, wheels) =
        (directory.join("package"), directory.join("venv"), directory.join("wheels"));
    copy(Path::new(PACKAGE), &package);
    fs::copy(binary::path(LIBRARY), package.join("hivesync").join(LIBRARY)).unwrap();

    let run =
        |program: &Path, arguments: &[&str]| Command::new(program).args(arguments).output().expect("it runs");
    let made = run(Path::new("python3"), &["-m", "venv", environment.to_str().unwrap()]);
    assert!(made.status.success(), "python3 -m venv: {}", String::from_utf8_lossy(&made.stderr));
    let python = environment.join("bin/python");
    let pip = |arguments: &[&str]| {
        let output =
            run(&python, &[&["-m", "pip", "--quiet", "--disable-pip-version-check"], arguments].concat());
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (had, complaint) = pip(&["install", SETUPTOOLS]);
    if !had {
        tool::do_without(&format!(
            "the Python package, because {SETUPTOOLS} cannot be had here: {}",
            complaint.lines().last().unwrap_or_default()
        ));
        return None;
    }
    let wheels = wheels.to_str().unwrap();
    for arguments in [
        &["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", wheels, package.to_str().unwrap()][..],
        &["install", "--no-index", "--find-links", wheels, "hivesync"],
    ] {
        let (succeeded, complaint) = pip(arguments);
        assert!(succeeded, "pip {arguments:?}: {complaint}");
    }
    Some(python)
}

/// Copies the files of a directory and of those below it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs a program of Python's with nothing on its standard input; gives what it printed.
async fn printed(mut program: Command) -> String {
    program.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || program.output().expect("python runs")).await.unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    said.into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_tells_the_story() {
    if let Some(python) = python().await {
        let mut driver = tokio::process::Command::new(python);
        driver.arg(format!("{PACKAGE}/tests/scenario.py"));
        scenario::hold(driver).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_keeps_to_the_borders() {
    let Some(python) = python().await else { return };
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let files: [(&str, &[u8]); 2] = [("index.html", b"<!doctype html>"), ("app/main.js", b"let a;")];
    let published = ada.publish(project.id, &files).await.unwrap();

    let mut borders = Command::new(python);
    borders
        .arg(format!("{PACKAGE}/tests/borders.py"))
        .arg(world.app().addresses.public_url.as_str().trim_end_matches('/'))
        .env("HIVESYNC_EMAIL", &ada.email)
        .env("HIVESYNC_PASSWORD", PASSWORD)
        .env("HIVESYNC_PREVIEW_TOKEN", published.token.expose());
    let report: serde_json::Value = serde_json::from_str(printed(borders).await.trim()).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["preview"]["files"], 2);
}

/// The first block of Python in the README.
fn quick_start() -> String {
    let readme = fs::read_to_string(format!("{PACKAGE}/README.md")).unwrap();
    let (_, block) = readme.split_once("```python\n").expect("the README begins with an example");
    block.split_once("```").expect("it ends").0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_of_python_works_as_it_is_written() {
    let Some(python) = python().await else { return };
    let installation = Installation::start(Backend::Embedded).await;
    let ada = installation.user("ada").await;
    let repository = Repository::sample();
    let mut program = Command::new(python);
    program
        .args(["-c", &quick_start(), &installation.url(), &repository.url()])
        .env("HIVESYNC_EMAIL", &ada.email)
        .env("HIVESYNC_PASSWORD", PASSWORD);
    let said = printed(program).await;
    assert!(said.lines().last().is_some_and(|last| last.starts_with("SUCCEEDED")), "{said}");
}
