//! `hivesync demo`: the whole path once, on a throw-away server, through the public SDK only.

mod actors;
mod mirror_source;
mod report;
mod repository;

use std::{pin::pin, process::ExitCode};

use actors::Actors;
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::Args;
use futures::StreamExt as _;
use hivesync_sdk::{
    ErrorReason,
    jobs::{Job, JobState},
    notifications::{NotificationEvent, StartAt},
    previews::{PreviewToken, PublishOptions, Published},
    projects::Project,
    terminal::{Progress, qr_code},
};
use hivesync_server::base::{boot, config::Source, lifecycle};
use mirror_source::MirrorSource;
use report::{PreviewReport, Refusal, Report, SecondPublish, SyncReport};
use repository::Repository;
use tempfile::TempDir;

use super::local::LocalServer;

/// Why it failed, if it was told to stop before its end.
const INTERRUPTED: &str = "interrupted";

/// What `hivesync demo` takes.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  hivesync demo                                  the repository you are in\n  hivesync demo ../other                         another one on this machine\n  hivesync demo https://github.com/owner/name    one from elsewhere\n  hivesync demo --json | jq .second_publish"
)]
pub(super) struct Demo {
    /// The repository to show it on: a path or a URL [default: the one you are in, or a small sample].
    source: Option<String>,
    /// Print one JSON document instead of the story.
    #[arg(long)]
    json: bool,
    /// Leave the server up at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    /// Runs the demonstration; success only if all of it held.
    pub(super) async fn run(self) -> ExitCode {
        match self.perform().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                if self.json {
                    println!("{}", serde_json::json!({ "ok": false, "error": format!("{error:#}") }));
                }
                eprintln!("hivesync demo: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    async fn perform(&self) -> Result<()> {
        let mut told = pin!(lifecycle::told_to_stop()?);
        let directory = TempDir::with_prefix("hivesync-demo-").context("no temporary directory")?;
        let mut report = Report::new(self.json);
        let (repository, server) = tokio::select! {
            begun = self.begin(&mut report, &directory) => begun?,
            () = &mut told => bail!(INTERRUPTED),
        };
        let url = server.addresses().public_url.to_string();
        report.say(&format!("It listens on {url} and keeps everything in {}.", directory.path().display()));
        let outcome = tokio::select! {
            outcome = show(&mut report, &url, &repository, &directory) => outcome,
            () = &mut told => Err(anyhow!(INTERRUPTED)),
        };
        if outcome.is_ok() {
            report.finish();
            if self.keep {
                eprintln!("The server stays up at {url}; Ctrl-C stops it.");
                told.await;
            }
        }
        let stopped = server.stop().await;
        outcome?;
        ensure!(stopped, "the server did not stop in time");
        Ok(())
    }

    async fn begin(&self, report: &mut Report, directory: &TempDir) -> Result<(Repository, LocalServer)> {
        let repository = Repository::find(self.source.as_deref(), directory.path()).await?;
        report.say(&format!("Repository: {}", repository.shown));
        let server = report.step("start a server and a worker", start(directory)).await?;
        Ok((repository, server))
    }
}

async fn start(directory: &TempDir) -> Result<LocalServer> {
    let mut source = Source::default()
        .with("HIVESYNC_ENV", "local")
        .with("DATA_DIR", directory.path().join("data").to_string_lossy());
    for listener in ["LISTEN_ADDR", "WORKER_LISTEN_ADDR", "ADMIN_LISTEN_ADDR", "METRICS_LISTEN_ADDR"] {
        source = source.with(listener, "127.0.0.1:0");
    }
    let config = boot::configure(&source)
        .map_err(|faults| anyhow::anyhow!("the embedded configuration has {} faults", faults.len()))?;
    Ok(LocalServer::start(config, 2).await?)
}

/// Everything that happens on the server, in order.
async fn show(report: &mut Report, url: &str, repository: &Repository, directory: &TempDir) -> Result<()> {
    let actors = report.step("sign up, and sign in on a desktop and a phone", Actors::sign_in(url)).await?;
    let mut live = actors.phone.notifications().follow(StartAt::Now);
    ensure!(
        matches!(live.next().await, Some(Ok(NotificationEvent::Connected))),
        "the phone's live notifications did not connect"
    );

    let project = report.step("create a project", create_project(&actors, repository)).await?;
    let job = report.step("sync the repository", sync(&actors, &project)).await?;
    let project = actors.desktop.projects().get(project.id).await?;
    report.sync(SyncReport::new(&project, &job));

    let source = MirrorSource::new(actors.desktop.clone(), project.id).await?;
    if source.left_out > 0 {
        report.say(&format!("{} files are over the limits of a bundle and stay out.", source.left_out));
    }
    let published = report.step("publish a preview of HEAD", publish(&actors, &project, &source)).await?;
    report.preview(PreviewReport::new(&published));
    if let (false, Some(code)) = (report.is_json(), qr_code(published.token.expose())) {
        println!("{code}\nPreview token: {}\n", published.token.expose());
    }

    let target = directory.path().join("phone");
    let opened = report.step("open it on the phone", open(&actors, &published.token, &target)).await?;
    ensure!(opened == published.stats.files, "the phone got {opened} files");
    report.downloaded(opened);

    let again = report.step("publish again, unchanged", publish(&actors, &project, &source)).await?;
    ensure!(again.stats.uploaded_bytes == 0, "publishing again sent {} bytes", again.stats.uploaded_bytes);
    report.second_publish(SecondPublish { uploaded_bytes: 0, files: again.stats.files });

    let refusals = report.step("try what must be refused", refused(&actors, &published.token)).await?;
    report.refused(refusals);
    let arrived = report.step("read what arrived live on the phone", notifications(&mut live)).await?;
    report.notifications(arrived);
    Ok(())
}

async fn create_project(actors: &Actors, repository: &Repository) -> Result<Project> {
    let team = actors.desktop.users().me().await?.personal_team_id;
    Ok(actors.desktop.projects().create(team, "demo", Some(&repository.url)).await?)
}

async fn sync(actors: &Actors, project: &Project) -> Result<Job> {
    let bar = Progress::new("syncs");
    let job = actors.desktop.projects().sync(project.id).await?;
    let mut states = std::pin::pin!(actors.desktop.jobs().watch(job.id));
    let mut received = None;
    while let Some(state) = states.next().await {
        let mut job = state?;
        bar.job(&job);
        received = job.progress.or(received);
        if job.state.is_ended() {
            job.progress = received;
            match job.state {
                JobState::Succeeded => return Ok(job),
                _ => bail!("the sync ended as {:?}: {:?}", job.state, job.failure),
            }
        }
    }
    bail!("the sync was not watched to its end")
}

async fn publish(actors: &Actors, project: &Project, source: &MirrorSource) -> Result<Published> {
    let bar = Progress::new("publishes");
    let options = PublishOptions { device_id: Some(actors.phone_device), ..PublishOptions::default() };
    let previews = actors.desktop.previews();
    Ok(previews.publish(project.id, source, &options, &|progress| bar.publish(progress)).await?)
}

/// Downloads the preview; the SDK verifies the size and the digest of each file. Returns how many.
async fn open(actors: &Actors, token: &PreviewToken, target: &std::path::Path) -> Result<u64> {
    std::fs::create_dir(target)?;
    let bar = Progress::new("downloads");
    let preview = actors.phone.previews().open(token).await?;
    Ok(preview.save_to(target, &|progress| bar.open(progress)).await?.files)
}

/// Another device of the same user, and a token with one character changed: both must be refused, with the
/// one error that every bad token gets.
async fn refused(actors: &Actors, token: &PreviewToken) -> Result<Vec<Refusal>> {
    let tampered = PreviewToken::new(&tamper(token.expose()));
    let attempts = [
        ("another device", actors.other_device.previews().open(token).await),
        ("a tampered token", actors.phone.previews().open(&tampered).await),
    ];
    let mut refusals = Vec::new();
    for (attempt, outcome) in attempts {
        match outcome {
            Ok(_) => bail!("{attempt} opened the preview"),
            Err(error) => {
                ensure!(
                    error.reason() == Some(ErrorReason::InvalidPreviewToken),
                    "{attempt} was refused with {error:?}"
                );
                refusals.push(Refusal::new(attempt, &error));
            }
        }
    }
    Ok(refusals)
}

/// The same token with the character in its middle replaced.
fn tamper(token: &str) -> String {
    let middle = token.len() / 2;
    let change = |(index, char): (usize, char)| match (index == middle, char) {
        (true, 'A') => 'B',
        (true, _) => 'A',
        (false, char) => char,
    };
    token.chars().enumerate().map(change).collect()
}

/// What the phone was told while all this happened.
async fn notifications(
    live: &mut (impl futures::Stream<Item = hivesync_sdk::Result<NotificationEvent>> + Unpin),
) -> Result<Vec<String>> {
    use hivesync_sdk::notifications::NotificationKind;
    let mut wanted = vec![NotificationKind::RepositorySynced, NotificationKind::PreviewReady];
    let mut texts = Vec::new();
    let arrival = async {
        while !wanted.is_empty() {
            match live.next().await.context("the live stream ended")?? {
                NotificationEvent::Notification(notification) => {
                    wanted.retain(|kind| *kind != notification.kind);
                    texts.push(notification.text);
                }
                _ => continue,
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), arrival)
        .await
        .context("notifications did not arrive within 10 s")??;
    Ok(texts)
}
