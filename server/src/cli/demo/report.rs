//! What the demonstration says: a story with a timeline, or one JSON document.

use std::future::Future;

use anyhow::{Context as _, Result};
use hivesync_sdk::{jobs::Job, previews::Published, projects::Project};
use hivesync_server::base::clock::Stopwatch;
use serde::Serialize;

/// Collects what held.
#[derive(Serialize)]
pub(super) struct Report {
    ok: bool,
    steps: Vec<Step>,
    sync: Option<SyncReport>,
    preview: Option<PreviewReport>,
    second_publish: Option<SecondPublish>,
    refused: Vec<Refusal>,
    notifications: Vec<String>,
    #[serde(skip)]
    json: bool,
}

#[derive(Serialize)]
struct Step {
    name: &'static str,
    ms: f64,
}

/// What a sync brought.
#[derive(Serialize)]
pub(super) struct SyncReport {
    head_commit: String,
    default_branch: String,
    mirror_bytes: u64,
    objects: u64,
    bytes_received: u64,
}

impl SyncReport {
    pub(super) fn new(project: &Project, job: &Job) -> Self {
        let progress = job.progress.as_ref();
        Self {
            head_commit: project.head_commit.clone().unwrap_or_default(),
            default_branch: project.default_branch.clone().unwrap_or_default(),
            mirror_bytes: project.mirror_bytes,
            objects: progress.map_or(0, |progress| progress.total),
            bytes_received: progress.map_or(0, |progress| progress.bytes),
        }
    }
}

/// What was published.
#[derive(Serialize)]
pub(super) struct PreviewReport {
    files: u64,
    bytes: u64,
    new_files: u64,
    uploaded_bytes: u64,
    left_out: u64,
    downloaded_files: u64,
}

impl PreviewReport {
    pub(super) fn new(published: &Published) -> Self {
        let stats = &published.stats;
        Self {
            files: stats.files,
            bytes: stats.bytes,
            new_files: stats.new_files,
            uploaded_bytes: stats.uploaded_bytes,
            left_out: stats.left_out,
            downloaded_files: 0,
        }
    }
}

/// What publishing an unchanged bundle took.
#[derive(Serialize)]
pub(super) struct SecondPublish {
    /// Bytes that were sent.
    pub(super) uploaded_bytes: u64,
    /// Files in the bundle.
    pub(super) files: u64,
}

/// An attempt that was refused, as it must be.
#[derive(Serialize)]
pub(super) struct Refusal {
    attempt: &'static str,
    code: &'static str,
    correlation_id: Option<String>,
}

impl Refusal {
    pub(super) fn new(attempt: &'static str, error: &hivesync_sdk::Error) -> Self {
        Self { attempt, code: error.code(), correlation_id: error.correlation_id().map(str::to_owned) }
    }
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self {
            ok: false,
            steps: Vec::new(),
            sync: None,
            preview: None,
            second_publish: None,
            refused: Vec::new(),
            notifications: Vec::new(),
            json,
        }
    }

    pub(super) fn is_json(&self) -> bool {
        self.json
    }

    /// Tells the reader of the story.
    pub(super) fn say(&self, text: &str) {
        if !self.json {
            println!("{text}");
        }
    }

    /// Does one step, and notes how long it took.
    pub(super) async fn step<T>(
        &mut self,
        name: &'static str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let watch = Stopwatch::start();
        let outcome = Box::pin(work).await.with_context(|| format!("could not {name}"))?;
        let ms = watch.elapsed().as_secs_f64() * 1_000.0;
        self.say(&format!("  ok  {name} ({ms:.0} ms)"));
        self.steps.push(Step { name, ms: (ms * 10.0).round() / 10.0 });
        Ok(outcome)
    }

    pub(super) fn sync(&mut self, sync: SyncReport) {
        self.say(&format!(
            "      {} at {}: {} objects, {} bytes on disk",
            sync.default_branch,
            sync.head_commit.get(..12).unwrap_or(&sync.head_commit),
            sync.objects,
            sync.mirror_bytes
        ));
        self.sync = Some(sync);
    }

    pub(super) fn preview(&mut self, preview: PreviewReport) {
        self.say(&format!(
            "      {} files, {} bytes; {} were new ({} bytes sent)",
            preview.files, preview.bytes, preview.new_files, preview.uploaded_bytes
        ));
        self.preview = Some(preview);
    }

    pub(super) fn downloaded(&mut self, files: u64) {
        self.say(&format!("      {files} files arrived, each with the size and the digest of the manifest"));
        if let Some(preview) = &mut self.preview {
            preview.downloaded_files = files;
        }
    }

    pub(super) fn second_publish(&mut self, second: SecondPublish) {
        self.say(&format!("      {} files, {} bytes sent", second.files, second.uploaded_bytes));
        self.second_publish = Some(second);
    }

    pub(super) fn refused(&mut self, refusals: Vec<Refusal>) {
        for refusal in &refusals {
            self.say(&format!("      {}: {}", refusal.attempt, refusal.code));
        }
        self.refused = refusals;
    }

    pub(super) fn notifications(&mut self, texts: Vec<String>) {
        for text in &texts {
            self.say(&format!("      {text}"));
        }
        self.notifications = texts;
    }

    /// All of it held: the timeline and what to try next, or the document.
    pub(super) fn finish(&mut self) {
        self.ok = true;
        if self.json {
            match serde_json::to_string_pretty(self) {
                Ok(document) => println!("{document}"),
                Err(error) => eprintln!("hivesync demo: {error}"),
            }
            return;
        }
        println!("\nTimeline");
        for step in &self.steps {
            println!("  {:>9.1} ms  {}", step.ms, step.name);
        }
        println!("\nTry next");
        println!("  cargo build --release --workspace             among the sources: makes hsync, too");
        println!("  export PATH=\"$PWD/target/release:$PATH\"");
        println!("  hivesync dev                                  a server that stays, with a worker");
        println!("  hsync login ada@example.org --register        an account on it");
        println!("  hsync --help                                  what else there is");
    }
}
