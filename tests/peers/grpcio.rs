//! Python's grpcio, with code that it generates from the published contract.

use hivesync_tests::{certificate::Certificate, tool, world::World};
use tokio::process::Command;

const SUITE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/grpcio");
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../proto");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpcio_walks_the_first_path() {
    let Some(python) = tool::find("HIVESYNC_TEST_GRPCIO_PYTHON") else { return };
    let certificate = Certificate::new();
    let world = World::over_tls(&certificate).await;
    let mut drive = Command::new(python);
    drive.arg(format!("{SUITE}/drive.py")).arg(CONTRACT);
    drive.arg(world.app().addresses.public.to_string()).arg(certificate.root());
    drive.env("PYTHONDONTWRITEBYTECODE", "1");
    let output = tool::run(&mut drive, b"").await;
    assert!(output.status.success(), "{}", tool::words(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok");
}
