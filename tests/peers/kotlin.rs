//! The Kotlin package: built and tested by Maven, then driven against the real server.

use std::{env, fs, path::Path, time::Duration};

use hivesync_tests::{binary, tool};
use tokio::{process::Command, sync::OnceCell, time::timeout};

use crate::{quick_start, scenario};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/kotlin");
/// The name of the library, and of the directory where JNA looks for it.
const LIBRARY: &str = if cfg!(target_os = "macos") { "libhivesync_ffi.dylib" } else { "libhivesync_ffi.so" };
/// What Maven may take, downloads included.
const BUILD_MAX: Duration = Duration::from_secs(900);

/// The package as it is released, and what its tests need beside it; nothing where there is no Maven.
async fn class_path() -> Option<&'static str> {
    static BUILT: OnceCell<Option<String>> = OnceCell::const_new();
    BUILT
        .get_or_init(async || match tool::find("HIVESYNC_TEST_MAVEN") {
            Some(maven) => Some(build(&maven).await),
            None => None,
        })
        .await
        .as_deref()
}

async fn build(maven: &Path) -> String {
    let directory = binary::path(LIBRARY).with_file_name("kotlin");
    let (native, examples) = (directory.join("native"), directory.join("examples"));
    take_library(&native).await;
    fs::create_dir_all(&examples).unwrap();
    quick_start::write_if_new(
        &examples.join("QuickStart.kt"),
        &quick_start::code(
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
        ),
    );
    let output = directory.join("target");
    let mut build = Command::new(maven);
    build
        .current_dir(PACKAGE)
        .args(["--batch-mode", "--quiet", "--no-transfer-progress", "package"])
        .arg(format!("-Dhivesync.build={}", output.display()))
        .arg(format!("-Dhivesync.native={}", native.display()))
        .arg(format!("-Dhivesync.examples={}", examples.display()))
        .kill_on_drop(true);
    let built = timeout(BUILD_MAX, build.output()).await.expect("Maven ends in time").expect("Maven runs");
    assert!(built.status.success(), "{}", tool::words(&built));

    let jar = output.join(concat!("sdk-", env!("CARGO_PKG_VERSION"), ".jar"));
    assert!(output.join(concat!("sdk-", env!("CARGO_PKG_VERSION"), "-sources.jar")).is_file());
    let others = fs::read_to_string(output.join("classpath")).expect("Maven wrote the class path");
    format!("{}:{}:{}", jar.display(), output.join("test-classes").display(), others.trim())
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

/// A program of the package's tests.
fn java(class_path: &str, class: &str) -> Command {
    let mut java = Command::new("java");
    java.args(["-cp", class_path, class]);
    java
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_kotlin_client_tells_the_story() {
    if let Some(class_path) = class_path().await {
        scenario::hold(java(class_path, "dev.hivesync.sdk.ScenarioKt")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_quick_start_for_kotlin_opens_a_preview() {
    if let Some(class_path) = class_path().await {
        quick_start::hold(java(class_path, "QuickStartKt")).await;
    }
}
