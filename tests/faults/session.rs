//! Processes that share one session, killed at any step of a refresh: nobody is ever signed out. Somebody dies in each of
//! as many parts of it as there are waves.

use std::os::unix::process::ExitStatusExt as _;

use futures::future::join_all;
use hivesync_tests::{
    backend::Backend,
    caller::PASSWORD,
    command_line::{CommandLine, said},
    process::Installation,
    seed::{Seed, rounds},
};
use rustix::process::Signal;

/// Waves in which the server dies, and as many in which processes do, if the environment does not say.
const WAVES: u32 = 3;
/// How often a wave may pass before anybody has died. There is then another one.
const ESCAPES_MAX: u32 = 8;
/// Processes that refresh at the same time.
const PROCESSES: usize = 3;
/// Who dies: the server, or otherwise the processes whose bits are set.
const SERVER: u64 = 0;

/// Each run of `hsync` refreshes, because the access token is kept nowhere. In each wave, the server dies or some of
/// the processes do, at the same step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_signed_out_by_deaths_in_the_middle_of_a_refresh() {
    let mut seed = Seed::of_environment();
    let mut installation = Installation::tapped(Backend::Embedded).await;
    let ada = installation.user("ada").await;
    let shell = CommandLine::new(installation.public());
    let login = shell.run(&["login", &ada.email, "--password-stdin"], PASSWORD).await;
    assert!(login.status.success(), "{}", said(&login));
    let steps = steps_of_a_refresh(&installation, &shell).await * PROCESSES as u64;

    let (waves, mut deaths) = (rounds(WAVES), [0; 2]);
    for (wave, of_processes) in (0..waves).flat_map(|wave| [(wave, false), (wave, true)]) {
        for _ in 0..=ESCAPES_MAX {
            let step = seed.in_part(steps, wave, waves);
            let victims = if of_processes { 1 + seed.below((1 << PROCESSES) - 1) } else { SERVER };
            eprintln!("wave {wave}: {victims:b} at step {step} of {steps}");
            if die(&mut installation, &shell, step, victims).await {
                deaths[usize::from(of_processes)] += 1;
                break;
            }
        }
    }
    assert_eq!(deaths, [waves; 2], "in each part of a refresh the server has died, and then processes");
    installation.stored().check().await;
}

/// One wave, whose victims die at a step; whether any of them did.
async fn die(installation: &mut Installation, shell: &CommandLine, step: u64, victims: u64) -> bool {
    let caught = installation.clients_tap().catch(step);
    let mut processes = join_all((0..PROCESSES).map(|_| shell.start(&["whoami"], ""))).await;
    let ended = join_all(processes.iter_mut().map(|process| process.wait()));
    let held = tokio::select! {
        _ = ended => None,
        held = caught => held.ok(),
    };
    let mut died = false;
    if let Some(step) = held {
        if victims == SERVER {
            installation.kill_server().await;
            drop(step);
            installation.start_server().await;
            died = true;
        } else {
            for (_, process) in processes.iter_mut().enumerate().filter(|(bit, _)| victims >> bit & 1 == 1) {
                // It may have ended by now.
                let _ = process.kill().await;
            }
            drop(step);
        }
    }
    for process in processes {
        let output = process.wait_with_output().await.expect("it ends");
        let was_killed = output.status.signal() == Some(Signal::KILL.as_raw());
        assert!(was_killed || output.status.success(), "{victims:b}: {}", said(&output));
        died |= was_killed;
    }
    let whoami = shell.run(&["whoami"], "").await;
    assert!(whoami.status.success(), "{victims:b}: {}", said(&whoami));
    died
}

async fn steps_of_a_refresh(installation: &Installation, shell: &CommandLine) -> u64 {
    let before = installation.clients_tap().passed();
    let whoami = shell.run(&["whoami"], "").await;
    assert!(whoami.status.success(), "{}", said(&whoami));
    installation.clients_tap().passed() - before
}
