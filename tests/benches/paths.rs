//! What the product's own paths cost, each beside the raw operation: a sync beside `git clone --mirror` with
//! the same checks, and an unchanged publish of 5,000 files.
//!
//! `cargo bench -p hivesync-tests --bench paths`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark talks to its user and fails by panicking"
)]

use std::{fmt::Write as _, fs, path::Path, process::Command};

use hivesync::previews::{MemorySource, PublishOptions};
use hivesync_server::base::clock::Stopwatch;
use hivesync_tests::{actor::Actor, backend::Backend, repository::Repository, world::World};

const COMMITS: usize = 400;
const FILES_A_COMMIT: usize = 12;
const ROUNDS: usize = 5;
const BUNDLE_FILES: usize = 5_000;

#[tokio::main]
async fn main() {
    // `cargo test` runs benchmarks once, to see that they work; these take minutes.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let world = World::new(Backend::Embedded).await;
    let ada = world.user("ada").await;
    sync(&world, &ada).await;
    publish(&ada).await;
}

async fn sync(world: &World, ada: &Actor) {
    let repository = history();
    let (mut clones, mut syncs, mut fetches, mut repeats) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..=ROUNDS {
        let target = world.directory().join(format!("clone-{round}"));
        let clone = seconds(|| {
            git(
                Path::new("."),
                &[
                    "-c",
                    "fetch.fsckObjects=true",
                    "-c",
                    "transfer.fsckObjects=true",
                    "clone",
                    "--quiet",
                    "--mirror",
                    &repository.url(),
                    &target.display().to_string(),
                ],
            )
        });
        let fetch = seconds(|| git(&target, &["fetch", "--quiet", "--prune", "origin"]));
        let project = ada.project(&format!("bench-{round}"), &repository).await;
        let watch = Stopwatch::start();
        ada.sync(project.id).await;
        let sync = watch.elapsed().as_secs_f64();
        let watch = Stopwatch::start();
        ada.sync(project.id).await;
        let repeat = watch.elapsed().as_secs_f64();
        if round > 0 {
            clones.push(clone);
            syncs.push(sync);
            fetches.push(fetch);
            repeats.push(repeat);
        }
        fs::remove_dir_all(&target).unwrap();
    }
    let [clone, sync, fetch, repeat] = [clones, syncs, fetches, repeats].map(|mut all| median(&mut all));
    println!(
        "{COMMITS} commits of {FILES_A_COMMIT} files, median of {ROUNDS} rounds; a sync counts from the call to its end\n"
    );
    println!("| operation | seconds | ratio |\n|---|---|---|");
    println!("| git clone --mirror with fsck | {clone:.3} | 1.00 |");
    println!("| repo_sync of a new project | {sync:.3} | {:.2} |", sync / clone);
    println!("| git fetch, nothing new | {fetch:.3} | 1.00 |");
    println!("| repo_sync, nothing new | {repeat:.3} | {:.2} |", repeat / fetch);
}

async fn publish(ada: &Actor) {
    let project = ada.client.projects().create(ada.me.personal_team_id, "bundle", None).await.unwrap();
    let files = (0..BUNDLE_FILES)
        .map(|index| (format!("src/file-{index:05}.js"), format!("export default {index};\n")));
    let source: MemorySource = files.collect();
    let options = PublishOptions::default();
    println!("\n{BUNDLE_FILES} files\n\n| publish | seconds | files sent | bytes sent |\n|---|---|---|---|");
    for name in ["first", "unchanged", "unchanged again"] {
        let watch = Stopwatch::start();
        let published = ada.client.previews().publish(project.id, &source, &options, &|_| {}).await.unwrap();
        let (took, stats) = (watch.elapsed().as_secs_f64(), published.stats);
        println!("| {name} | {took:.3} | {} | {} |", stats.new_files, stats.uploaded_bytes);
    }
}

/// A repository whose history is large enough to be measured.
fn history() -> Repository {
    let repository = Repository::new();
    for commit in 0..COMMITS {
        for file in 0..FILES_A_COMMIT {
            let mut text = String::new();
            for line in 0..120 {
                writeln!(
                    text,
                    "line {line} of file {file} as of commit {}",
                    commit - commit % (line % 7 + 1)
                )
                .unwrap();
            }
            repository.write(&format!("src/module-{}/file-{file}.txt", commit % 20), text.as_bytes());
        }
        repository.commit(&format!("Change number {commit}"));
    }
    repository.git(&["gc", "--quiet"]);
    repository
}

fn git(directory: &Path, arguments: &[&str]) {
    let status = Command::new("git").current_dir(directory).args(arguments).status().unwrap();
    assert!(status.success());
}

fn seconds(work: impl FnOnce()) -> f64 {
    let watch = Stopwatch::start();
    work();
    watch.elapsed().as_secs_f64()
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
