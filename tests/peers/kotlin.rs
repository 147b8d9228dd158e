//! The Kotlin package: built and tested by Maven, then driven against the real server.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use hivesync_tests::{binary, tool};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use crate::{quick_start, scenario};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/kotlin");
/// The name of the library, and of the directory where JNA looks for it.
const LIBRARY: &str = if cfg!(target_os = "macos") { "libhivesync_ffi.dylib" } else { "libhivesync_ffi.so" };
/// The project of somebody who uses the package.
const CONSUMER: &str = include_str!("kotlin/quick-start.xml");
/// What installs the package for such a project.
const INSTALL: &str = "org.apache.maven.plugins:maven-install-plugin:3.1.4:install-file";
/// What Maven may take, downloads included.
const BUILD_MAX: Duration = Duration::from_secs(900);

/// The package as it is released.
struct Package {
    maven: PathBuf,
    /// Where everything is that is built.
    directory: PathBuf,
    jar: PathBuf,
    /// What its tests need beside it.
    others: String,
}

impl Package {
    /// The package, built and tested; nothing where there is no Maven.
    async fn built() -> Option<&'static Self> {
        static BUILT: OnceCell<Option<Package>> = OnceCell::const_new();
        BUILT
            .get_or_init(async || match tool::find("HIVESYNC_TEST_MAVEN") {
                Some(maven) => Some(Self::build(maven).await),
                None => None,
            })
            .await
            .as_ref()
    }

    async fn build(maven: PathBuf) -> Self {
        let directory = binary::path(LIBRARY).with_file_name("kotlin");
        let (native, output) = (directory.join("native"), directory.join("target"));
        take_library(&native).await;
        let mut build = Command::new(&maven);
        build
            .arg("package")
            .arg(format!("-Dhivesync.build={}", output.display()))
            .arg(format!("-Dhivesync.native={}", native.display()));
        succeed(build, Path::new(PACKAGE)).await;

        let jar = output.join(concat!("sdk-", env!("CARGO_PKG_VERSION"), ".jar"));
        assert!(output.join(concat!("sdk-", env!("CARGO_PKG_VERSION"), "-sources.jar")).is_file());
        let others = fs::read_to_string(output.join("classpath")).expect("Maven wrote the class path");
        Self { maven, directory, jar, others: others.trim().to_owned() }
    }

    /// The class path of the package's tests.
    fn class_path(&self) -> String {
        let tests = self.directory.join("target/test-classes");
        format!("{}:{}:{}", self.jar.display(), tests.display(), self.others)
    }

    /// Installs the package for other projects of the directory that this returns: a local repository which has, for
    /// the rest, what the user's own has.
    async fn install(&self) -> PathBuf {
        let (users, _) = self.others.split_once("/org/jetbrains/kotlin/").expect("Kotlin's own library");
        let users = Path::new(users.rsplit(':').next().unwrap_or(users));
        let repository = self.directory.join("repository");
        let _ = fs::remove_dir_all(&repository);
        fs::create_dir_all(&repository).unwrap();
        for group in fs::read_dir(users).unwrap().map(|group| group.unwrap().file_name()) {
            if group != "dev" {
                symlink(users.join(&group), repository.join(&group)).unwrap();
            }
        }
        let mut install = Command::new(&self.maven);
        install
            .arg(INSTALL)
            .arg(format!("-Dfile={}", self.jar.display()))
            .arg(format!("-DpomFile={PACKAGE}/pom.xml"))
            .arg(format!("-Dmaven.repo.local={}", repository.display()));
        succeed(install, &self.directory).await;
        repository
    }
}

/// Runs Maven to its end in a directory.
async fn succeed(mut maven: Command, directory: &Path) {
    maven
        .current_dir(directory)
        .args(["--batch-mode", "--quiet", "--no-transfer-progress"])
        .kill_on_drop(true);
    let output = timeout(BUILD_MAX, maven.output()).await.expect("Maven ends in time").expect("Maven runs");
    assert!(output.status.success(), "{}", tool::words(&output));
}

/// Puts the library where the package has it, without what is for debuggers.
async fn take_library(native: &Path) {
    let machine = env::consts::ARCH.replace('_', "-");
    let platform = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let directory = native.join(format!("{platform}-{machine}"));
    fs::create_dir_all(&directory).unwrap();
    let mut strip = Command::new("strip");
    strip.arg("-x").arg("-o").arg(directory.join(LIBRARY)).arg(binary::path(LIBRARY));
    let stripped = tool::run(&mut strip, &[]).await;
    assert!(stripped.status.success(), "{}", tool::words(&stripped));
}

/// A program in Kotlin.
fn java(class_path: &str, class: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-cp", class_path, class]);
    java
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kotlin_client_tells_the_story() {
    if let Some(package) = Package::built().await {
        scenario::hold(java(&package.class_path(), "dev.hivesync.sdk.ScenarioKt")).await;
    }
}

/// In a project of its own, as its reader has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_for_kotlin_opens_a_preview() {
    let Some(package) = Package::built().await else { return };
    let project = package.directory.join("quick-start");
    let code = quick_start::code(
        &format!("{PACKAGE}/README.md"),
        "kotlin",
        &[
            (
                r#""https://hivesync.example""#,
                r#"System.getenv("HIVESYNC_SERVER_URL"),
                    rootCertificates = java.io.File(System.getenv("HIVESYNC_ROOT_CERTIFICATES")).readText()"#,
            ),
            (r#""ada@example.org""#, r#"System.getenv("HIVESYNC_EMAIL")"#),
        ],
    );
    fs::create_dir_all(project.join("src")).unwrap();
    fs::write(project.join("src/QuickStart.kt"), code).unwrap();
    fs::write(project.join("pom.xml"), CONSUMER).unwrap();
    let mut build = Command::new(&package.maven);
    build
        .args(["compile", "dependency:build-classpath"])
        .arg(format!("-Dmaven.repo.local={}", package.install().await.display()));
    succeed(build, &project).await;

    let others = fs::read_to_string(project.join("target/classpath")).expect("Maven wrote the class path");
    let classes = project.join("target/classes");
    quick_start::hold(java(&format!("{}:{}", classes.display(), others.trim()), "QuickStartKt")).await;
}
