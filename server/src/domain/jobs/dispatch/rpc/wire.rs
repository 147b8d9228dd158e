//! Messages of the contract from and to the domain's.

use std::time::Duration;

use hivesync_proto::v1::{
    self as pb, commit_request, lease, server_message::Kind as Said, worker_message::Kind as Heard,
};

use crate::{
    base::{
        blob::Presigned,
        error::{Error, Reason, Result},
    },
    domain::jobs::{
        dispatch::message::{FromWorker, Hello, Lease, ToWorker, Verdict, Welcome},
        model::{
            CleanupOutcome, Ending, Failure, FailureClass, JobKind, JobPhase, JobState, LeaseToken,
            LeasedWork, Outcome, Progress, SyncOutcome, VerifyFile, VerifyOutcome,
        },
    },
};

/// The messages of a batch. A kind that is newer than this server is passed over.
pub(super) fn messages(request: pb::SessionRequest) -> Result<Vec<FromWorker>> {
    request.messages.into_iter().filter_map(|message| message.kind).map(message).collect()
}

fn message(message: Heard) -> Result<FromWorker> {
    Ok(match message {
        Heard::Hello(hello) => FromWorker::Hello(self::hello(hello)?),
        Heard::Credits(credits) => FromWorker::Credits(credits.free_slots),
        Heard::LeaseAck(ack) => {
            FromWorker::LeaseAck { token: token(&ack.lease_token)?, accepted: ack.accepted }
        }
        Heard::Heartbeat(beat) => {
            let leases = beat.leases.iter().map(|held| token(&held.lease_token)).collect::<Result<_>>()?;
            FromWorker::Heartbeat { sequence: beat.sequence, leases }
        }
        Heard::Progress(progress) => FromWorker::Progress {
            token: token(&progress.lease_token)?,
            progress: self::progress(progress.progress.unwrap_or_default()),
        },
        Heard::ExecDone(_) => FromWorker::ExecDone,
        Heard::CancelAck(ack) => FromWorker::CancelAck(token(&ack.lease_token)?),
        Heard::Draining(_) => FromWorker::Draining,
    })
}

fn hello(hello: pb::Hello) -> Result<Hello> {
    let kinds = hello.kinds().filter_map(|kind| JobKind::try_from(kind).ok()).collect();
    Ok(Hello {
        kinds,
        held_leases: hello.held_leases.iter().map(|bytes| token(bytes)).collect::<Result<_>>()?,
        protocol: hello.protocol,
        worker_id: hello.worker_id,
        incarnation_id: hello.incarnation_id,
        build: hello.build,
        slots: hello.slots,
        sandbox_tier: hello.sandbox_tier,
        proof: hello.proof,
    })
}

fn token(bytes: &[u8]) -> Result<LeaseToken> {
    LeaseToken::read(bytes).ok_or_else(|| Error::invalid("lease_token", "must be 16 bytes"))
}

fn progress(progress: pb::JobProgress) -> Progress {
    let phase = match progress.phase() {
        pb::JobPhase::Unspecified | pb::JobPhase::Preparing => JobPhase::Preparing,
        pb::JobPhase::Counting => JobPhase::Counting,
        pb::JobPhase::Receiving => JobPhase::Receiving,
        pb::JobPhase::Resolving => JobPhase::Resolving,
        pb::JobPhase::Verifying => JobPhase::Verifying,
        pb::JobPhase::Publishing => JobPhase::Publishing,
    };
    Progress { phase, done: progress.done, total: progress.total, bytes: progress.bytes }
}

impl TryFrom<pb::JobKind> for JobKind {
    type Error = Error;

    fn try_from(kind: pb::JobKind) -> Result<Self> {
        match kind {
            pb::JobKind::RepoSync => Ok(Self::RepoSync),
            pb::JobKind::PreviewVerify => Ok(Self::PreviewVerify),
            pb::JobKind::Cleanup => Ok(Self::Cleanup),
            pb::JobKind::Unspecified => Err(Error::invalid("kind", "is not known")),
        }
    }
}

/// A batch to the worker.
pub(super) fn response(messages: Vec<ToWorker>) -> pb::SessionResponse {
    let messages = messages.into_iter().map(|message| pb::ServerMessage { kind: Some(said(message)) });
    pb::SessionResponse { messages: messages.collect() }
}

fn said(message: ToWorker) -> Said {
    match message {
        ToWorker::Challenge(nonce) => Said::Challenge(pb::Challenge { nonce: nonce.to_vec() }),
        ToWorker::Welcome(welcome) => Said::Welcome(welcome.into()),
        ToWorker::Lease(lease) => Said::Lease((*lease).into()),
        ToWorker::HeartbeatAck { sequence, verdicts } => {
            let verdicts = verdicts.into_iter().map(|(token, verdict)| pb::LeaseVerdict {
                lease_token: token.0.to_vec(),
                verdict: pb::Verdict::from(verdict).into(),
            });
            Said::HeartbeatAck(pb::HeartbeatAck { sequence, verdicts: verdicts.collect() })
        }
        ToWorker::Cancel { token, grace } => {
            Said::Cancel(pb::Cancel { lease_token: token.0.to_vec(), grace: duration(grace) })
        }
        ToWorker::Revoke(token) => Said::Revoke(pb::Revoke { lease_token: token.0.to_vec() }),
        ToWorker::DrainStarted => Said::DrainStarted(pb::DrainStarted {}),
        ToWorker::GoingAway(within) => Said::GoingAway(pb::GoingAway { reconnect_within: duration(within) }),
    }
}

/// A duration of the wire; the ones that are sent all fit.
fn duration(duration: Duration) -> Option<prost_types::Duration> {
    duration.try_into().ok()
}

impl From<Verdict> for pb::Verdict {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Renewed => Self::Renewed,
            Verdict::Cancel => Self::Cancel,
            Verdict::Lost => Self::Lost,
        }
    }
}

impl From<Welcome> for pb::Welcome {
    fn from(welcome: Welcome) -> Self {
        let resumed = welcome.resumed.into_iter();
        let verdict =
            |(token, keep): (LeaseToken, bool)| pb::ResumeVerdict { lease_token: token.0.to_vec(), keep };
        Self {
            session_id: welcome.session.to_string(),
            heartbeat_every: duration(welcome.beat),
            lease_ttl: duration(welcome.ttl),
            resumed: resumed.map(verdict).collect(),
        }
    }
}

impl From<Lease> for pb::Lease {
    fn from(lease: Lease) -> Self {
        Self {
            job_id: lease.job.to_string(),
            lease_token: lease.token.0.to_vec(),
            lease_epoch: lease.epoch,
            attempt: lease.attempt,
            time_limit: duration(lease.time_limit),
            traceparent: String::new(),
            correlation_id: lease.correlation,
            work: Some(lease.work.into()),
        }
    }
}

impl From<LeasedWork> for lease::Work {
    fn from(work: LeasedWork) -> Self {
        match work {
            LeasedWork::RepoSync { project, url, quota_bytes } => Self::RepoSync(pb::RepoSyncWork {
                project_id: project.to_string(),
                repository_url: url,
                quota_bytes,
            }),
            LeasedWork::PreviewVerify { files } => {
                let files = files.into_iter().map(Into::into).collect();
                Self::PreviewVerify(pb::PreviewVerifyWork { files })
            }
            LeasedWork::Cleanup { projects } => {
                let project_ids = projects.iter().map(ToString::to_string).collect();
                Self::Cleanup(pb::CleanupWork { project_ids })
            }
        }
    }
}

impl From<VerifyFile> for pb::VerifyFile {
    fn from(file: VerifyFile) -> Self {
        let sha256 = file.sha256.to_vec();
        let Presigned { method, url, headers, expires_at } = file.download;
        let headers = headers.into_iter();
        let download = pb::PresignedRequest {
            sha256: sha256.clone(),
            method: method.to_owned(),
            url: url.expose().to_owned(),
            headers: headers
                .map(|(name, value)| pb::PresignedHeader { name: name.to_owned(), value })
                .collect(),
            expires_at: Some(expires_at.into()),
        };
        Self { size: file.size, sha256, download: Some(download) }
    }
}

impl TryFrom<commit_request::Outcome> for Ending {
    type Error = Error;

    fn try_from(outcome: commit_request::Outcome) -> Result<Self> {
        use commit_request::Outcome as Wire;
        Ok(match outcome {
            Wire::RepoSync(result) => Self::Done(Outcome::RepoSync(result.into())),
            Wire::PreviewVerify(result) => Self::Done(Outcome::PreviewVerify(VerifyOutcome {
                verified: digests("preview_verify.verified", result.verified)?,
                rejected: digests("preview_verify.rejected", result.rejected)?,
            })),
            Wire::Cleanup(result) => Self::Done(Outcome::Cleanup(CleanupOutcome {
                mirrors_removed: result.mirrors_removed,
                bytes_freed: result.bytes_freed,
            })),
            Wire::Failure(failure) => Self::Failed(failure.try_into()?),
        })
    }
}

impl From<pb::RepoSyncResult> for SyncOutcome {
    fn from(result: pb::RepoSyncResult) -> Self {
        let set = |text: String| (!text.is_empty()).then_some(text);
        Self {
            default_branch: set(result.default_branch),
            head_commit: set(result.head_commit),
            ref_count: result.ref_count,
            objects_received: result.objects_received,
            bytes_received: result.bytes_received,
            mirror_bytes: result.mirror_bytes,
            unchanged: result.unchanged,
        }
    }
}

fn digests(field: &'static str, digests: Vec<Vec<u8>>) -> Result<Vec<[u8; 32]>> {
    let digest =
        |bytes: Vec<u8>| bytes.try_into().map_err(|_| Error::invalid(field, "must be SHA-256 digests"));
    digests.into_iter().map(digest).collect()
}

impl TryFrom<pb::JobFailure> for Failure {
    type Error = Error;

    fn try_from(failure: pb::JobFailure) -> Result<Self> {
        let class = match failure.class() {
            pb::FailureClass::AppError => FailureClass::AppError,
            pb::FailureClass::RateLimited => FailureClass::RateLimited,
            pb::FailureClass::NonRetryable => FailureClass::NonRetryable,
            pb::FailureClass::Infra => FailureClass::Infra,
            pb::FailureClass::Cancelled => FailureClass::Cancelled,
            pb::FailureClass::Unspecified => return Err(Error::invalid("failure.class", "is not known")),
        };
        let reason = match failure.reason() {
            Reason::Unspecified => Reason::Internal,
            reason => reason,
        };
        let retry_after = failure.retry_after.and_then(|wait| wait.try_into().ok());
        Ok(Self { class, reason, retry_after, detail: failure.detail })
    }
}

impl From<JobState> for pb::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Cancelling => Self::Cancelling,
            JobState::Succeeded => Self::Succeeded,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}
