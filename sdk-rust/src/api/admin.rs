//! What operators see. Served on a listener of its own.

use std::time::Duration;

use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{jobs::JobKind, rpc};
use crate::{
    core::Core,
    error::Result,
    page::{Page, PageRequest},
    wire,
};

/// How one kind of job stands.
#[derive(Clone, Debug, Serialize)]
pub struct QueueDepth {
    /// The kind.
    pub kind: JobKind,
    /// Jobs that could start now.
    pub ready: u64,
    /// Jobs that wait for their next try.
    pub delayed: u64,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that were given up and are kept.
    pub dead: u64,
    /// How long the oldest ready job has waited.
    pub oldest_age: Option<Duration>,
}

/// A connected worker.
#[derive(Clone, Debug, Serialize)]
pub struct Worker {
    /// Its stable name.
    pub worker_id: String,
    /// Its software.
    pub build: String,
    /// What it can do.
    pub kinds: Vec<JobKind>,
    /// Jobs it can run at a time.
    pub slots: u32,
    /// Jobs it runs.
    pub running: u32,
    /// When its stream was opened.
    #[serde(with = "time::serde::rfc3339")]
    pub connected_at: OffsetDateTime,
    /// When it was last heard of.
    #[serde(with = "time::serde::rfc3339")]
    pub seen_at: OffsetDateTime,
    /// Whether it takes no more jobs.
    pub draining: bool,
}

/// One recorded event.
#[derive(Clone, Debug, Serialize)]
pub struct AuditEntry {
    /// Its place in the log, from 1, without gaps.
    pub sequence: u64,
    /// What happened, such as `auth.login`.
    pub event: String,
    /// `ok`, `refused` or `failed`.
    pub outcome: String,
    /// The RPC or the name of the job.
    pub route: String,
    /// Who did it, if known.
    pub user_id: Option<String>,
    /// The team it is about.
    pub team_id: Option<String>,
    /// The project it is about.
    pub project_id: Option<String>,
    /// The device it came from.
    pub device_id: Option<String>,
    /// What it is about beside those.
    pub subject_id: Option<String>,
    /// The correlation ID of the call.
    pub correlation_id: String,
    /// The address of the client.
    pub address: String,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub occurred_at: OffsetDateTime,
    /// Chains the entry to the one before it.
    pub digest: Vec<u8>,
}

/// Which entries of the audit log are wanted. Every filter that is set must match.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    /// Only those of this user.
    pub user_id: Option<Uuid>,
    /// Only those about this project.
    pub project_id: Option<Uuid>,
    /// Only this event.
    pub event: Option<String>,
    /// Only those of this call.
    pub correlation_id: Option<String>,
}

/// The outcome of a check of the audit log.
#[derive(Clone, Debug, Serialize)]
pub struct AuditVerdict {
    /// Entries that were checked.
    pub entries: u64,
    /// The first sequence at which the log does not hold; `None` if it holds.
    pub first_broken_sequence: Option<u64>,
    /// The digest of the last entry, to be kept elsewhere.
    pub head_digest: Vec<u8>,
}

/// Calls of operators.
#[derive(Clone)]
pub struct Admin(pub(crate) Core);

impl Admin {
    /// How much waits in the queue and how much runs, by kind of job.
    pub async fn queue_depth(&self) -> Result<Vec<QueueDepth>> {
        let response = self.0.unary::<rpc::GetQueueDepth>(pb::GetQueueDepthRequest {}).await?;
        Ok(response.queues.into_iter().map(QueueDepth::from_wire).collect())
    }

    /// A page of the connected workers, by name; at most 200.
    pub async fn workers(&self, page: PageRequest) -> Result<Page<Worker>> {
        let request = pb::ListWorkersRequest { page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListWorkers>(request).await?;
        Page::new(response.workers, response.next_page_token, Worker::from_wire)
    }

    /// A page of the audit log, newest first; at most 200. The reading is itself recorded.
    pub async fn audit_entries(&self, query: &AuditQuery, page: PageRequest) -> Result<Page<AuditEntry>> {
        let id = |id: Option<Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        let request = pb::ListAuditEntriesRequest {
            user_id: id(query.user_id),
            project_id: id(query.project_id),
            event: query.event.clone().unwrap_or_default(),
            correlation_id: query.correlation_id.clone().unwrap_or_default(),
            page_size: page.size,
            page_token: page.into_token(),
        };
        let response = self.0.unary::<rpc::ListAuditEntries>(request).await?;
        Page::new(response.entries, response.next_page_token, AuditEntry::from_wire)
    }

    /// Recomputes the chain of the audit log.
    pub async fn verify_audit_log(&self) -> Result<AuditVerdict> {
        let response = self.0.unary::<rpc::VerifyAuditLog>(pb::VerifyAuditLogRequest {}).await?;
        Ok(AuditVerdict {
            entries: response.entries,
            first_broken_sequence: Some(response.first_broken_sequence).filter(|sequence| *sequence != 0),
            head_digest: response.head_digest,
        })
    }
}

impl QueueDepth {
    fn from_wire(depth: pb::QueueDepth) -> Self {
        Self {
            kind: JobKind::from_wire(depth.kind),
            ready: depth.ready,
            delayed: depth.delayed,
            running: depth.running,
            dead: depth.dead,
            oldest_age: depth.oldest_age.and_then(|age| age.try_into().ok()),
        }
    }
}

impl Worker {
    fn from_wire(worker: pb::WorkerInfo) -> Result<Self> {
        Ok(Self {
            worker_id: worker.worker_id,
            build: worker.build,
            kinds: worker.kinds.into_iter().map(JobKind::from_wire).collect(),
            slots: worker.slots,
            running: worker.running,
            connected_at: wire::time(worker.connected_at)?,
            seen_at: wire::time(worker.seen_at)?,
            draining: worker.draining,
        })
    }
}

impl AuditEntry {
    fn from_wire(entry: pb::AuditEntry) -> Result<Self> {
        Ok(Self {
            sequence: entry.sequence,
            event: entry.event,
            outcome: entry.outcome,
            route: entry.route,
            user_id: wire::optional_text(entry.user_id),
            team_id: wire::optional_text(entry.team_id),
            project_id: wire::optional_text(entry.project_id),
            device_id: wire::optional_text(entry.device_id),
            subject_id: wire::optional_text(entry.subject_id),
            correlation_id: entry.correlation_id,
            address: entry.address,
            occurred_at: wire::time(entry.occurred_at)?,
            digest: entry.digest,
        })
    }
}
