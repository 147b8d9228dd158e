//! The Python package, as pip installs it, against the real server.

use std::{
    env, fs,
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

/// The package, as pip has installed it.
struct Package {
    /// The interpreter of a fresh virtual environment, which has it.
    python: PathBuf,
    wheel: PathBuf,
}

impl Package {
    /// The wheel that the environment names, as `.ci/run` does with the one that is released, or else one with the
    /// library that was built for the tests; `None` where it cannot be had, which is said.
    async fn installed() -> Option<&'static Self> {
        static INSTALLED: OnceCell<Option<Package>> = OnceCell::const_new();
        let install =
            || async { tokio::task::spawn_blocking(Self::install).await.expect("the package is installed") };
        INSTALLED.get_or_init(install).await.as_ref()
    }

    fn install() -> Option<Self> {
        if tool::is_too_slow("the Python package") {
            return None;
        }
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let _ = fs::remove_dir_all(&directory);
        let environment = directory.join("venv");
        succeed("python3", &["-m", "venv", environment.to_str().unwrap()]);
        let python = environment.join("bin/python");
        let wheel = match env::var_os("HIVESYNC_TEST_WHEEL") {
            Some(wheel) => PathBuf::from(wheel),
            None => build(&python, &directory)?,
        };
        succeed_with_pip(&python, &["install", "--no-index", wheel.to_str().unwrap()]);
        Some(Self { python, wheel })
    }
}

/// Builds the wheel; `None` where what builds it cannot be had, which is said.
fn build(python: &Path, directory: &Path) -> Option<PathBuf> {
    if let Err(complaint) = pip(python, &["install", SETUPTOOLS]) {
        let why = complaint.lines().last().unwrap_or_default();
        tool::do_without(&format!("the Python package, because {SETUPTOOLS} cannot be had here: {why}"));
        return None;
    }
    let (package, wheels) = (directory.join("package"), directory.join("wheels"));
    copy(Path::new(PACKAGE), &package);
    fs::copy(binary::path(LIBRARY), package.join("hivesync").join(LIBRARY)).unwrap();
    let build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"];
    succeed_with_pip(python, &[&build[..], &[wheels.to_str().unwrap(), package.to_str().unwrap()]].concat());
    let built = fs::read_dir(wheels).unwrap().next().expect("pip has built a wheel").unwrap();
    Some(built.path())
}

/// Runs pip; gives what it complained of if it fails.
fn pip(python: &Path, arguments: &[&str]) -> Result<(), String> {
    let quietly = ["-m", "pip", "--quiet", "--disable-pip-version-check"];
    let output = Command::new(python).args(quietly).args(arguments).output().expect("pip runs");
    if output.status.success() { Ok(()) } else { Err(tool::words(&output)) }
}

fn succeed_with_pip(python: &Path, arguments: &[&str]) {
    pip(python, arguments).unwrap_or_else(|complaint| panic!("pip {arguments:?}: {complaint}"));
}

/// Runs a program to its end, and gives what it printed.
fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it runs");
    assert!(output.status.success(), "{program} {arguments:?}: {}", tool::words(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
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
    if let Some(package) = Package::installed().await {
        let mut driver = tokio::process::Command::new(&package.python);
        driver.arg(format!("{PACKAGE}/tests/scenario.py"));
        scenario::hold(driver).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python_keeps_to_the_borders() {
    let Some(package) = Package::installed().await else { return };
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let files: [(&str, &[u8]); 2] = [("index.html", b"<!doctype html>"), ("app/main.js", b"let a;")];
    let published = ada.publish(project.id, &files).await.unwrap();

    let mut borders = Command::new(&package.python);
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

/// The newest of the versions that the symbols of a library ask glibc for, by the word of another program.
#[cfg(target_os = "linux")]
fn newest_glibc(library: &Path) -> (u32, u32) {
    let printed = succeed("readelf", &["--version-info", "--wide", library.to_str().unwrap()]);
    let versions = printed.split_whitespace().filter_map(|word| word.strip_prefix("GLIBC_"));
    let version = |name: &str| match name {
        "ABI_DT_RELR" => (2, 36),
        name => {
            let mut numbers = name.split('.').map(|number| number.parse().expect("a version is of numbers"));
            (numbers.next().unwrap(), numbers.next().unwrap())
        }
    };
    versions.map(version).max().expect("it asks for glibc")
}

/// pip leaves a wheel alone whose library could not be loaded.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wheel_names_the_glibc_that_its_library_needs() {
    let Some(package) = Package::installed().await else { return };
    let find = "import hivesync, pathlib; print(pathlib.Path(hivesync.__file__).parent)";
    let installed = succeed(package.python.to_str().unwrap(), &["-c", find]);
    let (major, minor) = newest_glibc(&Path::new(installed.trim()).join(LIBRARY));
    let name = package.wheel.file_name().unwrap().to_str().unwrap();
    let tag = format!("-py3-none-manylinux_{major}_{minor}_{}.whl", env::consts::ARCH);
    assert!(name.ends_with(&tag), "{name} does not end with {tag}");
}

/// The first block of Python in the README.
fn quick_start() -> String {
    let readme = fs::read_to_string(format!("{PACKAGE}/README.md")).unwrap();
    let (_, block) = readme.split_once("```python\n").expect("the README begins with an example");
    block.split_once("```").expect("it ends").0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_of_python_works_as_it_is_written() {
    let Some(package) = Package::installed().await else { return };
    let installation = Installation::start(Backend::Embedded).await;
    let ada = installation.user("ada").await;
    let repository = Repository::sample();
    let mut program = Command::new(&package.python);
    program
        .args(["-c", &quick_start(), &installation.url(), &repository.url()])
        .env("HIVESYNC_EMAIL", &ada.email)
        .env("HIVESYNC_PASSWORD", PASSWORD);
    let said = printed(program).await;
    assert!(said.lines().last().is_some_and(|last| last.starts_with("SUCCEEDED")), "{said}");
}
