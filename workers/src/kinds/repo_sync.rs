//! Fetches a repository into its mirror.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use hivesync_proto::{
    repository_url::{RepositoryScheme, RepositoryUrl},
    v1::{ErrorReason, FailureClass, JobPhase, JobProgress, RepoSyncResult, RepoSyncWork},
};
use uuid::Uuid;

use super::{JobContext, JobError};
use crate::{
    git::{
        Git, MEMORY_BYTES_MAX,
        address::{self, AddressError},
        mirror::{Mirror, MirrorError, Staging},
        pack::PackError,
        progress, record,
        snapshot::{Snapshot, SnapshotError},
    },
    sandbox::{self, Command, DiskLimit, Output, RunError, WorkDir},
    task,
};

/// What git may write beside the pack itself: refs, and the pack's index.
const FILE_SLACK_BYTES: u64 = 1024 * 1024;

/// Memory for the refs of the other side, which git takes in whole, with several times their bytes. The 20,000 that
/// are kept need a tenth.
const LISTING_MEMORY_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Files and directories that git may make as it fetches: for each of the 20,000 refs that are kept a file, its lock
/// and directories above it.
const ENTRIES_MAX: u64 = 100_000;

/// What is fetched, and nothing else.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];

/// Words by which git says that what it received is wrong, rather than that it received nothing.
const REJECTIONS: [&[u8]; 7] = [
    b"fsck error",
    b"is corrupt",
    b"bad object",
    b"did not receive expected object",
    b"did not send all necessary objects",
    b"mismatched algorithms",
    b"non-commit object",
];

/// How a line of git's begins that got no memory. What the other side says stands behind `remote:`. The last one is what
/// is left of the first where git keeps a record, for which it has no memory either.
const MEMORY_WORDS: [&[u8]; 3] =
    [b"fatal: Out of memory", b"fatal: inflate: out of memory", b"fatal: recursion detected in die handler"];

/// Brings the mirror of a project up to date.
///
/// # Errors
/// If the address is refused, if the repository cannot be had or kept, or if a newer lease has taken
/// over. The mirror is then as it was.
pub async fn run(context: JobContext, work: RepoSyncWork) -> Result<RepoSyncResult, JobError> {
    say(&context, JobPhase::Preparing);
    let project_id = Uuid::try_parse(&work.project_id).map_err(|_| {
        JobError::failed(
            FailureClass::NonRetryable,
            ErrorReason::InvalidRequest,
            "the project id is malformed",
        )
    })?;
    let url = RepositoryUrl::parse(&work.repository_url, &context.url_policy)
        .map_err(|error| refused_address(&error.to_string()))?;
    let work_dir = WorkDir::create(&context.tmp_dir)?;
    let git = Git {
        work_dir: work_dir.path().to_owned(),
        protocol: url.scheme().as_str(),
        pin: pin(&url).await?,
        wall_limit: context.time_limit,
        memory_bytes: MEMORY_BYTES_MAX,
    };
    let source = Source { url: url.to_string(), git };
    sync(context, project_id, source, work.quota_bytes).await
}

/// A repository whose address has been judged.
#[derive(Clone, Debug)]
pub struct Source {
    /// The address.
    pub url: String,
    /// How git goes there.
    pub git: Git,
}

/// Brings the mirror of a project up to date from there. It may take `quota_bytes`.
///
/// # Errors
/// If the repository cannot be had or kept, or if a newer lease has taken over. The mirror is then as it was.
pub async fn sync(
    context: JobContext,
    project_id: Uuid,
    source: Source,
    quota_bytes: u64,
) -> Result<RepoSyncResult, JobError> {
    let (data_dir, epoch, address) = (context.data_dir.clone(), context.lease_epoch, source.url.clone());
    let mirror = task::blocking(move || Mirror::claim(&data_dir, project_id, epoch, &address)).await??;
    Sync { context, source, quota_bytes }.run(mirror).await
}

struct Sync {
    context: JobContext,
    source: Source,
    quota_bytes: u64,
}

impl Sync {
    /// Fetches what is new; or everything, if the mirror is of another repository, or if what it holds of its own past
    /// is too much.
    async fn run(&self, mirror: Mirror) -> Result<RepoSyncResult, JobError> {
        let remote = self.list_remote(&mirror).await?;
        if mirror.is_of_its_source() {
            if mirror.meta().snapshot.as_deref() == Some(&remote.digest()) {
                return Ok(result(&remote, 0, 0, mirror.meta().mirror_bytes, true));
            }
            let staging = mirror.stage()?;
            match self.refresh(&mirror, staging, remote.clone()).await {
                Err(error) if error == MirrorError::Quota.into() => {}
                outcome => return outcome,
            }
        }
        let staging = mirror.stage_anew()?;
        self.refresh(&mirror, staging, remote).await
    }

    async fn refresh(
        &self,
        mirror: &Mirror,
        staging: Staging,
        remote: Snapshot,
    ) -> Result<RepoSyncResult, JobError> {
        let objects_received = self.fetch(mirror, &staging).await?;
        let record = self.record(&staging);
        let staging = task::blocking(move || staging.check(&record).map(|()| staging)).await??;
        let mut fetched = self.pack_refs(&staging).await?;
        // The refs are those of the fetch, which may be newer than the listing.
        fetched.head = remote.head.filter(|head| fetched.refs.contains_key(head));
        let bytes_received = staging.packs_bytes()?;
        if self.context.stop.is_asked() {
            return Err(JobError::Stopped);
        }
        say(&self.context, JobPhase::Publishing);
        let (mirror, quota_bytes) = (mirror.clone(), self.quota_bytes);
        let (fetched, mirror_bytes) = task::blocking(move || {
            mirror.publish(staging, &fetched, quota_bytes).map(|mirror_bytes| (fetched, mirror_bytes))
        })
        .await??;
        Ok(result(&fetched, objects_received, bytes_received, mirror_bytes, false))
    }

    async fn list_remote(&self, mirror: &Mirror) -> Result<Snapshot, JobError> {
        let arguments =
            ["ls-remote", "--symref", "--", &self.source.url, "HEAD", "refs/heads/*", "refs/tags/*"];
        let mut command = self.source.git.command(&mirror.git_dir(), None, FILE_SLACK_BYTES, &arguments);
        command.limits.memory_bytes = command.limits.memory_bytes.min(LISTING_MEMORY_BYTES_MAX);
        let output = self.run_git(command, |_| {}).await?;
        if !output.status.success() {
            return Err(why_it_failed("git ls-remote", &output));
        }
        Ok(Snapshot::from_ls_remote(&output.stdout).map_err(MirrorError::from)?)
    }

    /// Fetches into the staging repository, and returns how many objects came. git itself checks that
    /// every object is sound, if the other side lets it, and that everything the new refs need is there.
    async fn fetch(&self, mirror: &Mirror, staging: &Staging) -> Result<u64, JobError> {
        let room_bytes = mirror.room_bytes(staging, self.quota_bytes).saturating_add(FILE_SLACK_BYTES);
        let objects = AtomicU64::new(0);
        let output = self
            .run_git(self.fetch_command(staging, room_bytes)?, |line| {
                let Some(progress) = progress::parse(line) else { return };
                if progress.phase() == JobPhase::Receiving {
                    objects.fetch_max(progress.total, Relaxed);
                }
                self.context.progress.send(progress);
            })
            .await?;
        if output.status.success() {
            return Ok(objects.into_inner());
        }
        if staging.packs_bytes()? >= room_bytes {
            return Err(MirrorError::Quota.into());
        }
        Err(why_it_failed("git fetch", &output))
    }

    /// A fetch that puts at most `room_bytes` more on the disk.
    fn fetch_command(&self, staging: &Staging, room_bytes: u64) -> Result<Command, JobError> {
        let mut arguments = vec![
            "fetch",
            "--force",
            "--prune",
            "--no-tags",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-show-forced-updates",
            "--progress",
            "--",
            &self.source.url,
        ];
        arguments.extend(REFSPECS);
        let mut command =
            self.source.git.command(staging.git_dir(), staging.alternate(), room_bytes, &arguments);
        command.disk = Some(DiskLimit {
            directory: staging.git_dir().to_owned(),
            bytes: room_bytes.saturating_add(staging.bytes()?),
            entries: ENTRIES_MAX,
        });
        record::keep(&mut command, &self.record(staging));
        Ok(command)
    }

    /// Where git writes down how it fetched into `staging`, and nothing else.
    fn record(&self, staging: &Staging) -> PathBuf {
        let name = staging.git_dir().file_name().unwrap_or_default();
        self.source.git.work_dir.join(name).with_extension("record")
    }

    async fn pack_refs(&self, staging: &Staging) -> Result<Snapshot, JobError> {
        say(&self.context, JobPhase::Verifying);
        let file_bytes = self.quota_bytes.saturating_add(FILE_SLACK_BYTES);
        let arguments = ["pack-refs", "--all", "--prune"];
        let command = self.source.git.command(staging.git_dir(), staging.alternate(), file_bytes, &arguments);
        let output = self.run_git(command, |_| {}).await?;
        if !output.status.success() {
            return Err(JobError::failed(FailureClass::Infra, ErrorReason::Internal, "git pack-refs failed"));
        }
        Ok(staging.refs()?)
    }

    async fn run_git(
        &self,
        command: Command,
        on_stderr_line: impl FnMut(&[u8]) + Send,
    ) -> Result<Output, JobError> {
        sandbox::run(command, &self.context.stop, on_stderr_line).await.map_err(|error| match error {
            RunError::Stopped => JobError::Stopped,
            RunError::WallTime => JobError::failed(
                FailureClass::AppError,
                ErrorReason::DeadlineExceeded,
                "git ran for longer than the job may take",
            ),
            RunError::OutputTooLarge => MirrorError::from(SnapshotError::TooMany).into(),
            RunError::DiskLimit => MirrorError::Quota.into(),
            RunError::System(error) => error.into(),
        })
    }
}

/// The addresses that git may connect to; none for a repository of this machine.
async fn pin(url: &RepositoryUrl) -> Result<Option<String>, JobError> {
    match (url.scheme(), url.host(), url.port()) {
        (RepositoryScheme::File, ..) => Ok(None),
        (RepositoryScheme::Https, Some(host), Some(port)) => {
            let addresses = address::resolve(host, port).await.map_err(|error| match error {
                AddressError::Unresolved(_) => JobError::failed(
                    FailureClass::AppError,
                    ErrorReason::RepositoryUnreachable,
                    "the host's name does not resolve",
                ),
                AddressError::Refused => refused_address(&error.to_string()),
            })?;
            Ok(Some(address::pin(host, port, &addresses)))
        }
        _ => Err(JobError::failed(
            FailureClass::NonRetryable,
            ErrorReason::RepositoryUnreachable,
            "ssh needs a deploy key, and there is none: link the https address",
        )),
    }
}

fn result(
    snapshot: &Snapshot,
    objects_received: u64,
    bytes_received: u64,
    mirror_bytes: u64,
    unchanged: bool,
) -> RepoSyncResult {
    let (default_branch, head_commit) = snapshot.default_commit().unwrap_or_default();
    RepoSyncResult {
        default_branch: default_branch.to_owned(),
        head_commit: head_commit.to_owned(),
        ref_count: u32::try_from(snapshot.refs.len()).unwrap_or(u32::MAX),
        objects_received,
        bytes_received,
        mirror_bytes,
        unchanged,
    }
}

fn say(context: &JobContext, phase: JobPhase) {
    context.progress.send(JobProgress { phase: phase.into(), ..JobProgress::default() });
}

/// What git said is not passed on: it holds the address, and words of the other side.
fn why_it_failed(program: &str, output: &Output) -> JobError {
    let said = &output.stderr_tail;
    let mut lines = said.split(|byte| matches!(byte, b'\n' | b'\r'));
    if lines.any(|line| MEMORY_WORDS.iter().any(|words| line.starts_with(words))) {
        return rejected("the repository needs more memory than a sync may take");
    }
    if REJECTIONS.iter().any(|words| contains(said, words)) {
        return rejected("git refused what it received");
    }
    JobError::failed(
        FailureClass::AppError,
        ErrorReason::RepositoryUnreachable,
        &format!("{program} failed: {}", output.status),
    )
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

fn refused_address(detail: &str) -> JobError {
    JobError::failed(FailureClass::NonRetryable, ErrorReason::InvalidRepositoryUrl, detail)
}

fn rejected(detail: &str) -> JobError {
    JobError::failed(FailureClass::NonRetryable, ErrorReason::RepositoryRejected, detail)
}

impl From<MirrorError> for JobError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Superseded => Self::Superseded,
            MirrorError::Locked => {
                Self::failed(FailureClass::Infra, ErrorReason::Internal, "the mirror stays locked")
            }
            MirrorError::Refs(error) => rejected(&error.to_string()),
            MirrorError::Pack(error @ PackError::TooDeep) => rejected(&error.to_string()),
            MirrorError::Pack(error @ PackError::Unreadable) => {
                Self::failed(FailureClass::Infra, ErrorReason::Internal, &error.to_string())
            }
            MirrorError::Unchecked => rejected(&error.to_string()),
            MirrorError::Quota => rejected("the repository is larger than its quota"),
            MirrorError::Disk(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::{ErrorReason, JobError, Output, why_it_failed};

    fn reason(said: &str) -> ErrorReason {
        let output =
            Output { status: ExitStatus::from_raw(128 << 8), stdout: Vec::new(), stderr_tail: said.into() };
        match why_it_failed("git fetch", &output) {
            JobError::Failed(failure) => failure.reason(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn believes_only_git_itself_that_it_got_no_memory() {
        for (said, expected) in [
            (
                "fatal: Out of memory, malloc failed (tried to allocate 9 bytes)\n",
                ErrorReason::RepositoryRejected,
            ),
            (
                "Receiving objects: 1%\rfatal: Out of memory, realloc failed\nfatal: index-pack failed\n",
                ErrorReason::RepositoryRejected,
            ),
            ("fatal: recursion detected in die handler\n", ErrorReason::RepositoryRejected),
            ("remote: fatal: Out of memory, malloc failed\n", ErrorReason::RepositoryUnreachable),
            ("fatal: remote error: Out of memory\n", ErrorReason::RepositoryUnreachable),
        ] {
            assert_eq!(reason(said), expected, "{said}");
        }
    }
}
