//! `hivesync.v1.AuditService`.

use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::{
    model::{Filter, Record, Verification},
    ops,
};
use crate::base::{
    error::Result,
    ids::{ProjectId, UserId},
    page::PageRequest,
    rpc::serve,
};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::audit_service_server::AuditService for Rpc {
    async fn list_audit_entries(
        &self,
        request: Request<pb::ListAuditEntriesRequest>,
    ) -> Result<Response<pb::ListAuditEntriesResponse>, Status> {
        serve(request, |ctx, message| async move {
            let filter = Filter::try_from(&message)?;
            let page =
                ops::list(&ctx, filter, PageRequest::new(message.page_size, message.page_token)).await?;
            Ok(pb::ListAuditEntriesResponse {
                entries: page.items.into_iter().map(Into::into).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }

    async fn verify_audit_log(
        &self,
        request: Request<pb::VerifyAuditLogRequest>,
    ) -> Result<Response<pb::VerifyAuditLogResponse>, Status> {
        serve(request, |ctx, _| async move { Ok(ops::verify(&ctx).await?.into()) }).await
    }
}

impl TryFrom<&pb::ListAuditEntriesRequest> for Filter {
    type Error = crate::base::error::Error;

    fn try_from(message: &pb::ListAuditEntriesRequest) -> Result<Self> {
        let set = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Ok(Self {
            user: set(&message.user_id).map(|id| UserId::parse("user_id", &id)).transpose()?,
            project: set(&message.project_id).map(|id| ProjectId::parse("project_id", &id)).transpose()?,
            event: set(&message.event),
            correlation: set(&message.correlation_id),
        })
    }
}

impl From<Record> for pb::AuditEntry {
    fn from(record: Record) -> Self {
        let text = |id: Option<uuid::Uuid>| id.map(|id| id.to_string()).unwrap_or_default();
        Self {
            sequence: record.sequence.unsigned_abs(),
            event: record.event,
            outcome: record.outcome,
            route: record.route,
            user_id: text(record.user.map(|id| id.0)),
            team_id: text(record.team.map(|id| id.0)),
            project_id: text(record.project.map(|id| id.0)),
            device_id: text(record.device.map(|id| id.0)),
            subject_id: record.subject.unwrap_or_default(),
            correlation_id: record.correlation,
            address: record.address.unwrap_or_default(),
            occurred_at: Some(record.occurred_at.into()),
            digest: record.digest,
        }
    }
}

impl From<Verification> for pb::VerifyAuditLogResponse {
    fn from(verification: Verification) -> Self {
        Self {
            entries: verification.entries.unsigned_abs(),
            first_broken_sequence: verification.first_broken.unwrap_or(0).unsigned_abs(),
            head_digest: verification.head,
        }
    }
}
