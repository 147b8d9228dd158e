//! `repo_sync` against real git and hostile repositories.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "the test plays the host, and starts threads for it")]

mod remote;

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use hivesync_proto::{
    repository_url::UrlPolicy,
    v1::{
        CleanupResult, CleanupWork, ErrorReason, FailureClass, JobPhase, JobProgress, RepoSyncResult,
        RepoSyncWork,
    },
};
use hivesync_workers::{
    git::{
        Git, MEMORY_BYTES_MAX,
        mirror::{Mirror, MirrorError},
        pack::DELTA_DEPTH_MAX,
    },
    kinds::{
        JobContext, JobError, ProgressSink, cleanup,
        repo_sync::{self, Source},
    },
    sandbox::stop::{self, StopSender},
};
use remote::{Kind, Remote};
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
        self.commit_bytes(name, content.as_bytes());
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
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
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

    /// Syncs over HTTP.
    async fn sync_from(
        &self,
        remote: &Remote,
        lease_epoch: u64,
        quota_bytes: u64,
    ) -> Result<RepoSyncResult, JobError> {
        self.sync_within(remote, lease_epoch, quota_bytes, MEMORY_BYTES_MAX).await
    }

    /// Syncs over HTTP, with so much memory for each process of git.
    async fn sync_within(
        &self,
        remote: &Remote,
        lease_epoch: u64,
        quota_bytes: u64,
        memory_bytes: u64,
    ) -> Result<RepoSyncResult, JobError> {
        let work_dir = TempDir::new().unwrap();
        let (context, _stop) = self.context(lease_epoch);
        let git = Git {
            work_dir: work_dir.path().to_owned(),
            protocol: "http",
            pin: None,
            // Shorter than git's own patience with a host that says nothing (`http.lowSpeedTime`).
            wall_limit: Duration::from_secs(20),
            memory_bytes,
        };
        let source = Source { url: remote.url("source/.git"), git };
        repo_sync::sync(context, PROJECT.parse().unwrap(), source, quota_bytes).await
    }

    /// Commits files of so many bytes, each in a pack of its own.
    fn commit_packs(&self, sizes_bytes: &[usize]) {
        for (number, bytes) in sizes_bytes.iter().enumerate() {
            let content = [&number.to_le_bytes(), noise(*bytes).as_slice()].concat();
            self.commit_bytes(&format!("file-{number}"), &content);
            self.git(&["repack", "-dq"]);
        }
    }

    fn commit_bytes(&self, name: &str, content: &[u8]) {
        fs::write(self.source().join(name), content).unwrap();
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", name]);
    }

    /// That a sync left nothing but the mirror, and this as it was.
    fn assert_untouched(&self, before: &(String, String)) {
        assert_eq!(&self.mirror_state(), before);
        assert_eq!(fs::read_dir(self.mirror().parent().unwrap()).unwrap().count(), 3);
        assert_eq!(processes_in(&self.data_dir()), Vec::<i32>::new());
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

#[tokio::test]
async fn follows_forced_pushes_and_deletions() {
    let bench = Bench::new();
    bench.git(&["branch", "doomed"]);
    bench.git(&["tag", "moved"]);
    // A branch that becomes a directory of branches.
    bench.git(&["branch", "dir"]);
    bench.sync(1).await.unwrap();
    bench.git(&["branch", "-D", "doomed", "dir"]);
    bench.git(&["branch", "dir/leaf"]);
    bench.git(&["commit", "-q", "--amend", "-m", "rewritten"]);
    bench.git(&["tag", "-f", "moved"]);
    bench.git(&["update-ref", "refs/heads/-x/ünïcode", "HEAD"]);
    bench.git(&["symbolic-ref", "HEAD", "refs/heads/-x/ünïcode"]);
    bench.git(&["branch", "-D", "trunk"]);
    let result = bench.sync(2).await.unwrap();
    assert_eq!((result.default_branch.as_str(), result.ref_count), ("-x/ünïcode", 3));
    let (refs, head) = bench.mirror_state();
    assert_eq!(refs, bench.git(&["for-each-ref"]));
    assert_eq!(head, "refs/heads/-x/ünïcode");
}

#[tokio::test]
async fn mirrors_an_empty_repository_and_one_that_became_empty() {
    let bench = Bench::new();
    fs::remove_dir_all(bench.source()).unwrap();
    fs::create_dir(bench.source()).unwrap();
    bench.git(&["init", "-q", "-b", "trunk", "."]);
    let empty = bench.sync(1).await.unwrap();
    assert_eq!((empty.default_branch.as_str(), empty.head_commit.as_str(), empty.ref_count), ("", "", 0));
    bench.commit("one.txt", "one");
    assert_eq!(bench.sync(2).await.unwrap().ref_count, 1);
    bench.git(&["update-ref", "-d", "refs/heads/trunk"]);
    assert_eq!(bench.sync(3).await.unwrap().ref_count, 0);
    assert_eq!(bench.mirror_state().0, "");
    assert!(bench.sync(4).await.unwrap().unchanged);
}

#[tokio::test]
async fn runs_nothing_that_a_repository_brings_along() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let bench = Bench::new();
    let canary = bench.dir.path().join("canary");
    let trap = bench.dir.path().join("trap");
    fs::write(&trap, format!("#!/bin/sh\ntouch {}\nexec \"$@\"\n", canary.display())).unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("/etc/passwd", bench.source().join("link")).unwrap();
    fs::write(
        bench.source().join(".gitmodules"),
        "[submodule \"s\"]\n\tpath = s\n\turl = https://example.com/s\n\tupdate = checkout\n",
    )
    .unwrap();
    bench.git(&["add", "-A"]);
    bench.git(&["commit", "-q", "-m", "links"]);
    let hooks = bench.source().join(".git/hooks");
    fs::create_dir_all(&hooks).unwrap();
    for hook in
        ["post-upload-pack", "pre-auto-gc", "reference-transaction", "post-checkout", "fsmonitor-watchman"]
    {
        fs::copy(&trap, hooks.join(hook)).unwrap();
    }
    let trap = trap.to_str().unwrap();
    for key in [
        "uploadpack.packObjectsHook",
        "core.fsmonitor",
        "core.alternateRefsCommand",
        "core.sshCommand",
        "core.pager",
    ] {
        git_in(&bench.source(), &["config", key, trap]);
    }
    bench.sync(1).await.unwrap();
    assert!(!canary.exists());
    bench.mirror_state();
    let entries: Vec<_> =
        fs::read_dir(bench.mirror()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!entries.iter().any(|name| name == "hooks" || name == "link"), "{entries:?}");
    assert_eq!(fs::read_dir(bench.data_dir().join("tmp")).unwrap().count(), 0);
}

/// A branch `evil` with a file `.git`.
fn add_evil_branch(bench: &Bench) {
    let blob = bench.git(&["hash-object", "-w", "one.txt"]);
    let tree = bench.dir.path().join("tree");
    fs::write(&tree, format!("100644 blob {blob}\t.git\n")).unwrap();
    let script = format!("git mktree < {}", tree.display());
    let output = Command::new("sh").args(["-c", &script]).current_dir(bench.source()).output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    let commit = bench.git(&["commit-tree", "-m", "evil", tree.trim()]);
    bench.git(&["update-ref", "refs/heads/evil", &commit]);
}

#[tokio::test]
async fn refuses_objects_that_would_harm_a_checkout() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    add_evil_branch(&bench);
    assert_eq!(reason(bench.sync(2).await), (FailureClass::NonRetryable, ErrorReason::RepositoryRejected));
    assert_eq!(bench.mirror_state(), before);
    bench.git(&["update-ref", "-d", "refs/heads/evil"]);
    bench.commit("two.txt", "two");
    bench.sync(3).await.unwrap();
}

/// Objects of which each is a delta of the one before.
fn chain(bench: &Bench, deltas: u16) {
    let content: String = (0..100).map(|line| format!("{line} {}\n", line * line)).collect();
    let mut stream = "commit refs/heads/chain\ncommitter A <a@example.com> 1 +0000\ndata 0\n".to_owned();
    for file in 0..=deltas {
        let content = format!("{file}\n{content}");
        stream += &format!("M 100644 inline {file}\ndata {}\n{content}\n", content.len());
    }
    let path = bench.dir.path().join("stream");
    fs::write(&path, stream).unwrap();
    let script = format!("git fast-import --quiet --force --depth=4095 < {}", path.display());
    let output = Command::new("sh").args(["-c", &script]).current_dir(bench.source()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    // git breaks longer chains when it sends them, unless it is told to.
    bench.git(&["config", "pack.depth", "4095"]);
}

/// How many deltas the objects of the mirror stand on at most.
fn deepest(bench: &Bench) -> u16 {
    let depths = git_in(
        &bench.mirror(),
        &["--git-dir=.", "cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(deltabase)"],
    );
    let bases: HashMap<&str, &str> = depths.lines().filter_map(|line| line.split_once(' ')).collect();
    let depth =
        |object: &&str| iter::successors(bases.get(*object), |base| bases.get(**base)).count() as u16 - 1;
    bases.keys().map(depth).max().unwrap_or_default()
}

#[tokio::test]
async fn refuses_objects_that_stand_on_too_many_deltas() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    chain(&bench, DELTA_DEPTH_MAX + 1);
    assert_eq!(reason(bench.sync(2).await), (FailureClass::NonRetryable, ErrorReason::RepositoryRejected));
    assert_eq!(bench.mirror_state(), before);
    chain(&bench, DELTA_DEPTH_MAX);
    bench.sync(3).await.unwrap();
    assert_eq!(deepest(&bench), DELTA_DEPTH_MAX);
}

#[tokio::test]
async fn survives_a_broken_source() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    bench.commit("two.txt", "two");
    bench.git(&["repack", "-adfq"]);
    let packs = bench.source().join(".git/objects/pack");
    for entry in fs::read_dir(packs).unwrap().map(Result::unwrap) {
        use std::os::unix::fs::PermissionsExt as _;
        if entry.path().extension().is_some_and(|extension| extension == "pack") {
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(0o600)).unwrap();
            let mut bytes = fs::read(entry.path()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle..].fill(0xff);
            fs::write(entry.path(), bytes).unwrap();
        }
    }
    let (_, reason) = reason(bench.sync(2).await);
    assert!(
        matches!(reason, ErrorReason::RepositoryRejected | ErrorReason::RepositoryUnreachable),
        "{reason:?}"
    );
    assert_eq!(bench.mirror_state(), before);
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
    let word = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    iter::repeat_with(word).flat_map(u64::to_le_bytes).take(bytes).collect()
}

#[tokio::test]
async fn keeps_to_the_quota() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    for (epoch, bytes, quota_bytes) in [(2, 100_000, 50_000), (3, 4_000_000, 1_000_000)] {
        fs::write(bench.source().join("big"), noise(bytes)).unwrap();
        bench.git(&["add", "-A"]);
        bench.git(&["commit", "-q", "-m", "big"]);
        let (context, _stop) = bench.context(epoch);
        let result = repo_sync::run(context, bench.work(quota_bytes)).await;
        assert_eq!(reason(result), (FailureClass::NonRetryable, ErrorReason::RepositoryRejected), "{bytes}");
        assert_eq!(bench.mirror_state(), before);
    }
    assert!(bench.sync(4).await.unwrap().mirror_bytes > 4_000_000);
}

/// Makes sure that what a repository holds was refused, and why.
fn assert_rejected(result: Result<RepoSyncResult, JobError>, detail: &str, case: &str) {
    let Err(JobError::Failed(failure)) = &result else { panic!("{case}: {result:?}") };
    assert!(failure.detail.contains(detail), "{case}: {failure:?}");
    assert_eq!(reason(result), (FailureClass::NonRetryable, ErrorReason::RepositoryRejected), "{case}");
}

#[tokio::test]
async fn mirrors_over_http_and_has_every_pack_checked() {
    for kind in [Kind::Smart, Kind::SmartOld] {
        let bench = Bench::new();
        let remote = Remote::start(bench.dir.path(), kind);
        assert_eq!(bench.sync_from(&remote, 1, QUOTA_BYTES).await.unwrap().objects_received, 3, "{kind:?}");
        bench.commit("two.txt", "two");
        assert_eq!(bench.sync_from(&remote, 2, QUOTA_BYTES).await.unwrap().objects_received, 3, "{kind:?}");
        assert_eq!(bench.mirror_state().0, bench.git(&["for-each-ref"]));
        // Nothing new: a branch that points to what is there.
        bench.git(&["branch", "old", "HEAD~1"]);
        assert_eq!(bench.sync_from(&remote, 3, QUOTA_BYTES).await.unwrap().bytes_received, 0, "{kind:?}");
        let before = bench.mirror_state();
        add_evil_branch(&bench);
        let name = format!("{kind:?}");
        assert_rejected(bench.sync_from(&remote, 4, QUOTA_BYTES).await, "refused what it received", &name);
        bench.assert_untouched(&before);
        bench.git(&["update-ref", "-d", "refs/heads/evil"]);
        bench.commit_bytes("big", &noise(4_000_000));
        assert_rejected(bench.sync_from(&remote, 5, 1_000_000).await, "larger than its quota", &name);
        bench.assert_untouched(&before);
    }
}

type Prepare = fn(&Bench);

#[tokio::test]
async fn refuses_what_a_file_server_sends_unchecked() {
    let shapes: [(&str, Prepare); 4] = [
        ("one pack with an evil tree", |bench| {
            add_evil_branch(bench);
            bench.git(&["repack", "-adq"]);
        }),
        ("one pack", |bench| drop(bench.git(&["repack", "-adq"]))),
        ("several packs", |bench| bench.commit_packs(&[10, 10])),
        ("objects without a pack", |_| {}),
    ];
    for (shape, prepare) in shapes {
        let bench = Bench::new();
        bench.sync(1).await.unwrap();
        let before = bench.mirror_state();
        bench.commit("two.txt", "two");
        prepare(&bench);
        bench.git(&["update-server-info"]);
        let remote = Remote::start(bench.dir.path(), Kind::Dumb(usize::MAX));
        assert_rejected(bench.sync_from(&remote, 2, QUOTA_BYTES).await, "smart protocol", shape);
        bench.assert_untouched(&before);
    }
}

/// What lies on the disk is the same in all cases, and as git leaves it when it has checked it.
#[test]
fn takes_a_pack_only_if_git_says_that_it_checked_it() {
    let bench = Bench::new();
    bench.git(&["repack", "-adq"]);
    let mirror = Mirror::claim(&bench.data_dir(), PROJECT.parse().unwrap(), 1, "address").unwrap();
    let staging = mirror.stage().unwrap();
    for entry in fs::read_dir(bench.source().join(".git/objects/pack")).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), staging.git_dir().join("objects/pack").join(entry.file_name())).unwrap();
    }
    let record = bench.dir.path().join("record");
    assert!(matches!(staging.check(&record), Err(MirrorError::Disk(_))));
    for (line, is_taken) in [
        ("", false),
        (r#"{"event":"start","argv":["git","index-pack","--stdin"]}"#, false),
        (r#"{"event":"start","argv":["git","index-pack","--stdin","--strict"]}"#, true),
    ] {
        fs::write(&record, line).unwrap();
        let result = staging.check(&record);
        assert_eq!(result.is_ok(), is_taken, "{line}");
        assert!(is_taken || matches!(result, Err(MirrorError::Unchecked)), "{result:?}");
    }
    fs::create_dir(staging.git_dir().join("objects/00")).unwrap();
    assert!(matches!(staging.check(&record), Err(MirrorError::Unchecked)));
}

#[tokio::test]
async fn stops_a_file_server_that_sends_more_than_the_quota_in_many_packs() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    bench.commit_packs(&[600_000; 6]);
    bench.git(&["update-server-info"]);
    // The last pack never comes: only who looks at the disk meanwhile knows that it is too much already.
    let remote = Remote::start(bench.dir.path(), Kind::Dumb(5));
    assert_rejected(bench.sync_from(&remote, 2, 1_000_000).await, "larger than its quota", "many packs");
    assert!(remote.packs_served() > 1, "one alone is within the limit of each file");
    bench.assert_untouched(&before);
}

#[tokio::test]
async fn gives_up_on_a_list_of_refs_that_fills_the_memory() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    let mut listing = String::new();
    for number in 0..2_000_000 {
        writeln!(listing, "{:040x}\trefs/heads/branch-{number}", number + 1).unwrap();
    }
    fs::write(bench.source().join(".git/info/refs"), listing).unwrap();
    let remote = Remote::start(bench.dir.path(), Kind::Dumb(0));
    let result = bench.sync_from(&remote, 2, QUOTA_BYTES).await;
    // git itself has failed, before it could pass on more than is read of it.
    assert_rejected(result, "more memory than a sync may take", "many refs");
    bench.assert_untouched(&before);
}

#[tokio::test]
async fn gives_up_on_objects_that_fill_the_memory() {
    const MEMORY_BYTES: u64 = 48 * 1024 * 1024;
    let bench = Bench::new();
    let remote = Remote::start(bench.dir.path(), Kind::Smart);
    bench.sync_within(&remote, 1, QUOTA_BYTES, MEMORY_BYTES).await.unwrap();
    let before = bench.mirror_state();
    bench.commit_bytes("large", &[0; 60 * 1024 * 1024]);
    let result = bench.sync_within(&remote, 2, QUOTA_BYTES, MEMORY_BYTES).await;
    assert_rejected(result, "more memory than a sync may take", "a large file");
    bench.assert_untouched(&before);
    // One that is large enough is checked piece by piece.
    bench.commit_bytes("large", &[0; 65 * 1024 * 1024]);
    bench.git(&["reset", "-q", "--soft", "HEAD~2"]);
    bench.git(&["commit", "-q", "-m", "larger"]);
    bench.sync_within(&remote, 3, QUOTA_BYTES, MEMORY_BYTES).await.unwrap();
}

#[tokio::test]
async fn refuses_addresses_and_reports_what_cannot_be_reached() {
    let bench = Bench::new();
    for (address, allow_file, expected) in [
        (
            "file:///nowhere".to_owned(),
            false,
            (FailureClass::NonRetryable, ErrorReason::InvalidRepositoryUrl),
        ),
        (
            "https://localhost/a".to_owned(),
            true,
            (FailureClass::NonRetryable, ErrorReason::InvalidRepositoryUrl),
        ),
        ("ext::sh".to_owned(), true, (FailureClass::NonRetryable, ErrorReason::InvalidRepositoryUrl)),
        ("file:///nowhere".to_owned(), true, (FailureClass::AppError, ErrorReason::RepositoryUnreachable)),
        (
            "ssh://git@example.com/a".to_owned(),
            true,
            (FailureClass::NonRetryable, ErrorReason::RepositoryUnreachable),
        ),
        (
            "https://nowhere.invalid/a".to_owned(),
            true,
            (FailureClass::AppError, ErrorReason::RepositoryUnreachable),
        ),
    ] {
        let (mut context, _stop) = bench.context(1);
        context.url_policy.allow_file = allow_file;
        let work = RepoSyncWork { repository_url: address.clone(), ..bench.work(QUOTA_BYTES) };
        let result = repo_sync::run(context, work).await;
        if let Err(JobError::Failed(failure)) = &result {
            assert!(!failure.detail.contains("nowhere"), "{}", failure.detail);
            assert_eq!(address.starts_with("ssh:"), failure.detail.contains("deploy key"));
        }
        assert_eq!(reason(result), expected, "{address}");
    }
    let (context, _stop) = bench.context(1);
    let work = RepoSyncWork { project_id: "../escape".to_owned(), ..bench.work(QUOTA_BYTES) };
    assert_eq!(
        reason(repo_sync::run(context, work).await),
        (FailureClass::NonRetryable, ErrorReason::InvalidRequest)
    );
}

#[tokio::test]
async fn refuses_a_stale_worker() {
    let bench = Bench::new();
    bench.sync(5).await.unwrap();
    let before = bench.mirror_state();
    bench.commit("two.txt", "two");
    assert_eq!(bench.sync(4).await, Err(JobError::Superseded));
    // A newer lease claims the mirror while an older one fetches.
    let (mut context, _stop) = bench.context(6);
    let data_dir = bench.data_dir();
    context.progress = ProgressSink::new(move |progress| {
        if progress.phase() == JobPhase::Publishing {
            Mirror::claim(&data_dir, PROJECT.parse().unwrap(), 7, "address").unwrap();
        }
    });
    assert_eq!(repo_sync::run(context, bench.work(QUOTA_BYTES)).await, Err(JobError::Superseded));
    assert_eq!(bench.mirror_state(), before);
    bench.sync(7).await.unwrap();
    assert_ne!(bench.mirror_state(), before);
}

/// The processes of git that work in this directory.
fn processes_in(dir: &Path) -> Vec<i32> {
    let dir = dir.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let holds = line.windows(dir.len()).any(|window| window == dir.as_bytes());
            if holds { entry.file_name().to_str()?.parse().ok() } else { None }
        })
        .collect()
}

#[tokio::test]
async fn survives_the_death_of_git() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    fs::write(bench.source().join("big"), noise(2_000_000)).unwrap();
    bench.commit("two.txt", "two");
    let (mut context, _stop) = bench.context(2);
    let data_dir = bench.data_dir();
    context.progress = ProgressSink::new(move |progress| {
        if progress.phase() == JobPhase::Counting {
            for pid in processes_in(&data_dir) {
                let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
            }
        }
    });
    let killed = repo_sync::run(context, bench.work(QUOTA_BYTES)).await;
    assert_eq!(reason(killed), (FailureClass::AppError, ErrorReason::RepositoryUnreachable));
    assert_eq!(bench.mirror_state(), before);
    assert_eq!(processes_in(&bench.data_dir()), Vec::<i32>::new());
    bench.sync(3).await.unwrap();
    assert_eq!(bench.mirror_state().0, bench.git(&["for-each-ref"]));
}

#[tokio::test]
async fn sweeps_what_a_dead_worker_left() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let project = bench.mirror().parent().unwrap().to_owned();
    fs::create_dir_all(project.join("staging-1/objects/pack")).unwrap();
    fs::write(project.join(".meta.json.new"), "{").unwrap();
    fs::write(bench.mirror().join(".HEAD.new"), "ref: ").unwrap();
    let orphan = bench.mirror().join(format!("objects/pack/pack-{}.pack", "a".repeat(40)));
    fs::write(&orphan, "PACK").unwrap();
    let result = bench.sync(2).await.unwrap();
    assert!(result.unchanged && !orphan.exists());
    let mut names: Vec<_> = fs::read_dir(&project).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["git", "lock", "meta.json"]);
    assert!(!bench.mirror().join(".HEAD.new").exists());
}

#[tokio::test]
async fn stops_when_asked_and_leaves_nothing() {
    let bench = Bench::new();
    let (mut context, sender) = bench.context(1);
    context.progress = ProgressSink::new(move |progress| {
        if progress.phase() == JobPhase::Counting {
            sender.ask(Duration::ZERO);
        }
    });
    assert_eq!(repo_sync::run(context, bench.work(QUOTA_BYTES)).await, Err(JobError::Stopped));
    assert_eq!(processes_in(&bench.data_dir()), Vec::<i32>::new());
    assert_eq!(bench.mirror_state().0, "");
    assert_eq!(fs::read_dir(bench.mirror().parent().unwrap()).unwrap().count(), 3);
}

#[tokio::test]
async fn does_not_trust_a_mirror_that_was_tampered_with() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let pack = |mirror: &Path, extension: &str| {
        let mut packs = fs::read_dir(mirror.join("objects/pack")).unwrap().map(|entry| entry.unwrap().path());
        packs.find(|path| path.extension().is_some_and(|found| found == extension)).unwrap()
    };
    let tampers: [&dyn Fn(&Path); 8] = [
        &|mirror| fs::remove_file(pack(mirror, "pack")).unwrap(),
        &|mirror| {
            let path = pack(mirror, "pack");
            let bytes = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
        },
        &|mirror| symlink("/etc/passwd", mirror.join("objects/pack/link")).unwrap(),
        &|mirror| fs::write(mirror.join("objects/info/alternates"), "/etc\n").unwrap(),
        &|mirror| fs::create_dir(mirror.join("hooks")).unwrap(),
        &|mirror| fs::write(mirror.join("refs/heads/loose"), "0".repeat(40)).unwrap(),
        &|mirror| fs::set_permissions(mirror, fs::Permissions::from_mode(0o777)).unwrap(),
        &|mirror| {
            fs::rename(mirror, mirror.with_extension("moved")).unwrap();
            symlink("/etc", mirror).unwrap();
        },
    ];
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    for (number, tamper) in tampers.iter().enumerate() {
        tamper(&bench.mirror());
        let result = bench.sync(2).await.unwrap();
        assert!(!result.unchanged, "{number}");
        assert_eq!(bench.mirror_state(), before, "{number}");
    }
    // Configuration is not a reason to fetch again: it is written anew.
    let configuration = fs::read(bench.mirror().join("config")).unwrap();
    fs::write(bench.mirror().join("config"), "[hook \"x\"]\n\tcommand = id\n\tevent = post-fetch\n").unwrap();
    assert!(bench.sync(3).await.unwrap().unchanged);
    assert_eq!(fs::read(bench.mirror().join("config")).unwrap(), configuration);
}

/// Whoever may read a project reads what is linked now, also by the names of commits of before.
#[tokio::test]
async fn holds_nothing_of_a_repository_that_was_linked_before() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let former = bench.git(&["rev-parse", "HEAD"]);
    let has = |commit: &str| {
        let found = Command::new("git")
            .arg("--git-dir")
            .arg(bench.mirror())
            .args(["cat-file", "-e", commit.trim()])
            .output()
            .unwrap();
        found.status.success()
    };
    assert!(has(&former));
    let other = bench.dir.path().join("other");
    fs::create_dir(&other).unwrap();
    git_in(&other, &["init", "-q", "-b", "main", "."]);
    fs::write(other.join("two.txt"), "two").unwrap();
    git_in(&other, &["add", "-A"]);
    git_in(&other, &["commit", "-q", "-m", "two"]);
    let (context, _stop) = bench.context(2);
    let repository_url = format!("file://{}", other.display());
    let work = RepoSyncWork { repository_url, ..bench.work(QUOTA_BYTES) };
    let result = repo_sync::run(context, work).await.unwrap();
    assert!(!result.unchanged);
    assert!(has(&result.head_commit) && !has(&former));
    assert_eq!(fs::read_dir(bench.mirror().parent().unwrap()).unwrap().count(), 3);
    // And back, although the refs are those of the first time.
    assert!(!bench.sync(3).await.unwrap().unchanged);
    assert!(has(&former) && !has(&result.head_commit));
}

/// What was pushed away takes no room for good.
#[tokio::test]
async fn takes_a_repository_within_its_quota_whatever_it_was_before() {
    const ROUND_BYTES: usize = 600_000;
    let bench = Bench::new();
    let noise = noise(5 * ROUND_BYTES);
    for (epoch, noise) in (1..).zip(noise.chunks(ROUND_BYTES)) {
        bench.git(&["checkout", "-q", "--orphan", &format!("round-{epoch}")]);
        bench.commit_bytes("noise", noise);
        bench.git(&["branch", "-f", "trunk"]);
        bench.git(&["checkout", "-q", "trunk"]);
        bench.git(&["branch", "-D", &format!("round-{epoch}")]);
        let (context, _stop) = bench.context(epoch);
        let result = repo_sync::run(context, bench.work(1_000_000)).await.unwrap();
        assert!(result.mirror_bytes < 1_000_000, "{}", result.mirror_bytes);
        assert_eq!(result.head_commit, bench.git(&["rev-parse", "HEAD"]).trim());
        bench.mirror_state();
    }
}

/// The power goes out while one repository takes another's place.
#[tokio::test]
async fn survives_half_a_replacement() {
    let bench = Bench::new();
    bench.sync(1).await.unwrap();
    let before = bench.mirror_state();
    fs::rename(bench.mirror(), bench.mirror().with_file_name("former")).unwrap();
    bench.sync(2).await.unwrap();
    assert_eq!(bench.mirror_state(), before);
    bench.commit("two.txt", "two");
    bench.sync(3).await.unwrap();
    assert_ne!(bench.mirror_state(), before);
    assert_eq!(fs::read_dir(bench.mirror().parent().unwrap()).unwrap().count(), 3);
}

#[tokio::test]
async fn removes_mirrors_once() {
    use std::os::unix::fs::symlink;
    let bench = Bench::new();
    let kept = bench.sync(1).await.unwrap();
    let other = "0198f000-0000-7000-8000-000000000002";
    symlink(bench.source(), bench.data_dir().join("repos").join(other)).unwrap();
    let project_ids =
        vec![PROJECT.to_owned(), other.to_owned(), "0198f000-0000-7000-8000-000000000003".to_owned()];
    let clean = || cleanup::run(bench.context(1).0, CleanupWork { project_ids: project_ids.clone() });
    let result = clean().await.unwrap();
    assert!(result.mirrors_removed == 2 && result.bytes_freed >= kept.mirror_bytes, "{result:?}");
    assert!(bench.source().join("one.txt").exists());
    assert_eq!(clean().await.unwrap(), CleanupResult::default());
    assert_eq!(fs::read_dir(bench.data_dir().join("repos")).unwrap().count(), 0);
    let work = CleanupWork { project_ids: vec!["../../source".to_owned()] };
    assert!(matches!(cleanup::run(bench.context(1).0, work).await, Err(JobError::Failed(_))));
}
