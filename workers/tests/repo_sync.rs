//! `repo_sync` against real git and hostile repositories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{ErrorReason, FailureClass, JobProgress, RepoSyncResult, RepoSyncWork},
};
use hivesync_workers::{
    kinds::{JobContext, JobError, ProgressSink, repo_sync},
    sandbox::stop::{self, StopSender},
};
use tempfile::TempDir;

const PROJECT: &str = "0198f000-0000-7000-8000-000000000001";
const QUOTA_BYTES: u64 = 64 * 1024 * 1024;

/// A data directory and a repository to sync from.
struct Bench {
    dir: TempDir,
    progress: Arc<Mutex<Vec<JobProgress>>>,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: TempDir::new().unwrap(), progress: Arc::default() };
        fs::create_dir(bench.data_dir()).unwrap();
        fs::create_dir(bench.source()).unwrap();
        bench.git(&["init", "-q", "-b", "trunk", "."]);
        bench.commit("one.txt", "one");
        bench
    }

    fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn mirror(&self) -> PathBuf {
        self.data_dir().join("repos").join(PROJECT).join("git")
    }

    fn git(&self, arguments: &[&str]) -> String {
        git_in(&self.source(), arguments)
    }

    fn commit(&self, name: &str, content: &str) {
        fs::write(self.source().join(name), content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", name]);
    }

    fn context(&self, lease_epoch: u64) -> (JobContext, StopSender) {
        let (sender, stop) = stop::channel();
        let seen = Arc::clone(&self.progress);
        let context = JobContext {
            data_dir: self.data_dir(),
            tmp_dir: self.data_dir().join("tmp"),
            url_policy: UrlPolicy { allow_file: true, allowed_ports: Vec::new() },
            lease_epoch,
            time_limit: Duration::from_secs(60),
            stop,
            progress: ProgressSink::new(move |progress| seen.lock().unwrap().push(progress)),
            http: reqwest::Client::new(),
        };
        (context, sender)
    }

    fn work(&self, quota_bytes: u64) -> RepoSyncWork {
        RepoSyncWork {
            project_id: PROJECT.to_owned(),
            repository_url: format!("file://{}", self.source().display()),
            quota_bytes,
        }
    }

    async fn sync(&self, lease_epoch: u64) -> Result<RepoSyncResult, JobError> {
        let (context, _stop) = self.context(lease_epoch);
        repo_sync::run(context, self.work(QUOTA_BYTES)).await
    }

    /// What the mirror holds: refs, HEAD, and whether git finds it whole.
    fn mirror_state(&self) -> (String, String) {
        git_in(&self.mirror(), &["--git-dir=.", "fsck", "--full", "--strict"]);
        (
            git_in(&self.mirror(), &["--git-dir=.", "for-each-ref"]),
            git_in(&self.mirror(), &["--git-dir=.", "symbolic-ref", "HEAD"]),
        )
    }
}

fn git_in(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.com")])
        .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@example.com")])
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn reason(result: Result<RepoSyncResult, JobError>) -> (FailureClass, ErrorReason) {
    match result {
        Err(JobError::Failed(failure)) => (failure.class(), failure.reason()),
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test]
async fn mirrors_branches_and_tags_and_then_only_what_changed() {
    let bench = Bench::new();
    bench.git(&["tag", "-a", "v1", "-m", "one"]);
    bench.git(&["branch", "side"]);
    bench.git(&["update-ref", "refs/pull/1/head", "HEAD"]);
    let first = bench.sync(1).await.unwrap();
    assert_eq!((first.default_branch.as_str(), first.ref_count, first.unchanged), ("trunk", 3, false));
    assert_eq!(first.head_commit, bench.git(&["rev-parse", "HEAD"]));
    assert!(first.objects_received == 4 && first.bytes_received > 0 && first.mirror_bytes > 0, "{first:?}");
    let (refs, head) = bench.mirror_state();
    assert_eq!(head, "refs/heads/trunk");
    assert!(!refs.contains("refs/pull"));

    let second = bench.sync(2).await.unwrap();
    assert!(second.unchanged && second.bytes_received == 0);
    assert_eq!((second.head_commit, second.ref_count), (first.head_commit, 3));

    bench.commit("two.txt", "two");
    let third = bench.sync(3).await.unwrap();
    assert_eq!((third.objects_received, third.unchanged), (3, false));
    assert_eq!(bench.mirror_state().0, bench.git(&["for-each-ref", "refs/heads", "refs/tags"]));
    assert!(!bench.progress.lock().unwrap().is_empty());
}
