//! The Swift package: built and tested by SwiftPM in the toolchain's own root directory, then driven against the real
//! server.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use hivesync_tests::{binary, tool};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use crate::{quick_start, scenario};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/swift");
/// What SwiftPM may take for one build.
const BUILD_MAX: Duration = Duration::from_secs(600);

/// A Swift compiler, and where it puts what it makes.
struct Swift {
    toolchain: PathBuf,
    /// Where the library is, and, below it, what is built.
    directory: PathBuf,
}

impl Swift {
    /// The toolchain that the environment names. It needs a root directory of its own and a mirror of Debian, which
    /// not every machine gives.
    fn find() -> Option<Self> {
        if let Ok(why) = env::var("HIVESYNC_TEST_SWIFT_MISSING") {
            tool::leave_out(&format!("the Swift package, because its compiler cannot be had here: {why}"));
            return None;
        }
        let toolchain = tool::find("HIVESYNC_TEST_SWIFT")?;
        let directory = binary::path("libhivesync_ffi.so").with_file_name("");
        fs::create_dir_all(directory.join("swift")).unwrap();
        Some(Self { toolchain, directory })
    }

    /// A command in the toolchain's root directory, which sees the repository, what is built, and temporary files.
    fn command(&self, program: impl Into<OsString>) -> Command {
        let repository = Path::new(PACKAGE).join("../..").canonicalize().unwrap();
        let mut command = Command::new(&self.toolchain);
        command
            .arg("run")
            .args([&repository, &self.directory, &env::temp_dir()])
            .args(["--", "env"])
            .arg(format!("HOME={}", self.directory.join("swift").display()))
            .arg(program.into())
            .kill_on_drop(true);
        command
    }

    /// Builds a package, and gives the directory of its programs.
    async fn build(&self, package: &Path, name: &str, options: &[&str]) -> PathBuf {
        let scratch = self.directory.join("swift").join(name);
        let library = self.directory.display().to_string();
        let mut build = self.command("swift");
        build
            .args(["build", "--quiet", "--package-path"])
            .arg(package)
            .arg("--scratch-path")
            .arg(&scratch)
            .args(options)
            .args(["-Xlinker", "-L", "-Xlinker", &library, "-Xlinker", "-rpath", "-Xlinker", &library]);
        succeed(build).await;
        scratch.join("debug")
    }

    /// The package itself, with its tests: the directory of what was built.
    async fn package(&self) -> &'static Path {
        static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
        BUILT.get_or_init(async || self.build(Path::new(PACKAGE), "package", &["--build-tests"]).await).await
    }

    /// Checks the types of a module as Swift 6 demands.
    async fn check_in_swift_6(&self, module: &str, options: &[&str]) {
        let sources = Path::new(PACKAGE).join("Sources");
        let mut check = self.command("swiftc");
        check
            .args(["-typecheck", "-swift-version", "6", "-package-name", "swift", "-module-name", module])
            .arg("-module-cache-path")
            .arg(self.directory.join("swift/modules"))
            .arg("-I")
            .arg(sources.join("HiveSyncFFIFFI"))
            .arg("-I")
            .arg(self.package().await.join("Modules"))
            .args(options)
            .args(fs::read_dir(sources.join(module)).unwrap().map(|source| source.unwrap().path()));
        succeed(check).await;
    }
}

async fn succeed(mut command: Command) {
    let output = timeout(BUILD_MAX, command.output()).await.expect("it ends in time").expect("it runs");
    assert!(output.status.success(), "{}", tool::words(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swift_client_tells_the_story() {
    if let Some(swift) = Swift::find() {
        scenario::hold(swift.command(swift.package().await.join("Scenario"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swift_package_passes_its_own_tests() {
    if let Some(swift) = Swift::find() {
        succeed(swift.command(swift.package().await.join("HiveSyncPackageTests.xctest"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_swift_package_is_good_in_swift_6() {
    if let Some(swift) = Swift::find() {
        swift.check_in_swift_6("HiveSyncFFI", &[]).await;
        swift.check_in_swift_6("HiveSync", &["-warnings-as-errors"]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_for_swift_opens_a_preview() {
    let Some(swift) = Swift::find() else { return };
    // In a package of its own, as its reader has one.
    let package = swift.directory.join("swift/quick-start-package");
    let sources = package.join("Sources/QuickStart");
    fs::create_dir_all(&sources).unwrap();
    let manifest = QUICK_START_MANIFEST.replace("PACKAGE", PACKAGE);
    quick_start::write_if_new(&package.join("Package.swift"), &manifest);
    let code = quick_start::code(
        &format!("{PACKAGE}/README.md"),
        "swift",
        &[
            ("import HiveSync\n", "import Foundation\nimport HiveSync\n"),
            (r#""https://hivesync.example""#, r#"String(cString: getenv("HIVESYNC_SERVER_URL"))"#),
            (
                "platform: .ios)",
                r#"platform: .ios, rootCertificates: try String(
                    contentsOfFile: String(cString: getenv("HIVESYNC_ROOT_CERTIFICATES")), encoding: .utf8))"#,
            ),
            (r#""ada@example.org""#, r#"String(cString: getenv("HIVESYNC_EMAIL"))"#),
        ],
    );
    quick_start::write_if_new(&sources.join("main.swift"), &code);
    let built = swift.build(&package, "quick-start", &[]).await;
    quick_start::hold(swift.command(built.join("QuickStart"))).await;
}

const QUICK_START_MANIFEST: &str = r#"// swift-tools-version:5.9

import PackageDescription

let package = Package(
    name: "QuickStart",
    dependencies: [.package(path: "PACKAGE")],
    targets: [.executableTarget(name: "QuickStart", dependencies: [.product(name: "HiveSync", package: "swift")])]
)
"#;

/// Text without its layout.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

/// Swift takes the call without a handle, if there is one; the one with a handle would not end with its task.
#[test]
fn every_call_of_the_binding_has_one_that_ends_with_its_task() {
    let read = |path: &str| fs::read_to_string(Path::new(PACKAGE).join("Sources").join(path)).unwrap();
    let facade = squeezed(&read("HiveSync/Calls.swift"));
    let binding = read("HiveSyncFFI/HiveSyncFFI.swift");
    let mut calls = 0;
    for line in binding.lines().filter_map(|line| line.strip_prefix("open func ")) {
        let Some((call, _)) = line.split_once("cancel: CancelHandle? = nil") else { continue };
        let call = call.trim_end_matches(", ").replace("UInt32(0)", "0").replace("UInt64(0)", "0");
        assert!(facade.contains(&squeezed(&format!("public func {call})"))), "the facade has no {call})");
        calls += 1;
    }
    assert!(calls > 20, "the calls are found");
}
