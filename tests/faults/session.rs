//! Processes that share one session, killed at any step of a refresh: nobody is ever signed out.

use futures::future::join_all;
use hivesync_tests::{
    backend::Backend,
    caller::PASSWORD,
    command_line::{CommandLine, said},
    process::Installation,
    seed::{Seed, rounds},
};

/// Waves of processes, if the environment does not say.
const WAVES: u32 = 8;
/// Processes that refresh at the same time.
const PROCESSES: usize = 3;

/// Each run of `hsync` refreshes, because the access token is kept nowhere. In each wave, some of the processes die
/// at the same step, or the server does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_out_by_deaths_in_the_middle_of_a_refresh() {
    let mut seed = Seed::of_environment();
    let mut installation = Installation::tapped(Backend::Embedded).await;
    let ada = installation.user("ada").await;
    let shell = CommandLine::new(installation.public());
    let login = shell.run(&["login", &ada.email, "--password-stdin"], PASSWORD).await;
    assert!(login.status.success(), "{}", said(&login));
    let steps = steps_of_a_refresh(&installation, &shell).await;

    let mut kills = 0;
    for wave in 0..rounds(WAVES) {
        let step = seed.below(steps * PROCESSES as u64);
        // Bits that say who dies; with none it is the server.
        let victims = seed.below(1 << PROCESSES);
        let caught = installation.clients_tap().catch(step);
        let mut processes = join_all((0..PROCESSES).map(|_| shell.start(&["whoami"], ""))).await;
        let ended = join_all(processes.iter_mut().map(|process| process.wait()));
        let held = tokio::select! {
            _ = ended => None,
            held = caught => held.ok(),
        };
        let Some(step) = held else { continue };
        if victims == 0 {
            installation.kill_server().await;
            drop(step);
            installation.start_server().await;
            kills += 1;
        } else {
            for (_, process) in processes.iter_mut().enumerate().filter(|(bit, _)| victims >> bit & 1 == 1) {
                process.kill().await.expect("it can be killed");
                kills += 1;
            }
            drop(step);
        }
        for (number, process) in processes.into_iter().enumerate() {
            let output = process.wait_with_output().await.expect("it ends");
            let survived = victims >> number & 1 == 0;
            assert!(!survived || output.status.success(), "wave {wave}, {victims:b}: {}", said(&output));
        }
        let whoami = shell.run(&["whoami"], "").await;
        assert!(whoami.status.success(), "wave {wave}, {victims:b}: {}", said(&whoami));
    }
    eprintln!("{kills} kills, and nobody is signed out");
    installation.stored().check().await;
}

async fn steps_of_a_refresh(installation: &Installation, shell: &CommandLine) -> u64 {
    let before = installation.clients_tap().passed();
    let whoami = shell.run(&["whoami"], "").await;
    assert!(whoami.status.success(), "{}", said(&whoami));
    installation.clients_tap().passed() - before
}
