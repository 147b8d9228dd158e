//! The Python package, driven by its own script against the real server.

use std::{
    env, fs,
    process::{Command, Stdio},
};

use hivesync_tests::{backend::Backend, binary, caller::PASSWORD, world::World};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk-ffi/python");
const LIBRARY: &str = if cfg!(target_os = "macos") { "libhivesync_ffi.dylib" } else { "libhivesync_ffi.so" };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_package_signs_in_and_opens_a_preview() {
    if env::var_os("HIVESYNC_TEST_QUICK").is_some() {
        eprintln!("!! SKIPPED: other languages' clients, in a quick run");
        return;
    }
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    let project = ada.client.projects().create(ada.me.personal_team_id, "site", None).await.unwrap();
    let files: [(&str, &[u8]); 2] = [("index.html", b"<!doctype html>"), ("app/main.js", b"let a;")];
    let published = ada.publish(project.id, &files).await.unwrap();

    // The package as it is installed: its modules and the library beside them.
    let installed = world.directory().join("site-packages/hivesync");
    fs::create_dir_all(&installed).unwrap();
    for module in ["__init__.py", "hivesync_ffi.py"] {
        fs::copy(format!("{PACKAGE}/hivesync/{module}"), installed.join(module)).unwrap();
    }
    fs::copy(binary::path(LIBRARY), installed.join(LIBRARY)).unwrap();

    let mut drive = Command::new("python3");
    drive
        .arg(format!("{PACKAGE}/tests/drive.py"))
        .arg(world.app().addresses.public_url.as_str().trim_end_matches('/'))
        .env("PYTHONPATH", world.directory().join("site-packages"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("HIVESYNC_EMAIL", &ada.email)
        .env("HIVESYNC_PASSWORD", PASSWORD)
        .env("HIVESYNC_PREVIEW_TOKEN", published.token.expose())
        .stdin(Stdio::null());
    let output =
        tokio::task::spawn_blocking(move || drive.output().expect("python3 is installed")).await.unwrap();
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{complained}");
    let report: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(report["preview"]["files"], 2);
}
