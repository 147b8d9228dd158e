//! `hivesync.v1.NotificationService`.

use futures::StreamExt as _;
use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::{
    model::{Kind, Notification, Sequence},
    ops::{self, Batch, Start},
};
use crate::base::{
    error::Result,
    page::PageRequest,
    rpc::{Responses, serve, serve_stream},
    user_streams::UserStreams,
};

/// The service.
#[derive(Clone, Default)]
pub struct Rpc {
    streams: UserStreams,
}

#[tonic::async_trait]
impl pb::notification_service_server::NotificationService for Rpc {
    async fn list_notifications(
        &self,
        request: Request<pb::ListNotificationsRequest>,
    ) -> Result<Response<pb::ListNotificationsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let page = PageRequest::new(message.page_size, message.page_token);
            let (page, sequence) = ops::list(&ctx, message.unread_only, &page).await?;
            Ok(pb::ListNotificationsResponse {
                notifications: render(page.items, sequence),
                next_page_token: page.next,
                unread_count: sequence.unread(),
            })
        })
        .await
    }

    async fn mark_notifications_read(
        &self,
        request: Request<pb::MarkNotificationsReadRequest>,
    ) -> Result<Response<pb::MarkNotificationsReadResponse>, Status> {
        serve(request, |ctx, message| async move {
            let sequence = ops::mark_read(&ctx, message.up_to_sequence).await?;
            Ok(pb::MarkNotificationsReadResponse { unread_count: sequence.unread() })
        })
        .await
    }

    type StreamNotificationsStream = Responses<pb::StreamNotificationsResponse>;

    async fn stream_notifications(
        &self,
        request: Request<pb::StreamNotificationsRequest>,
    ) -> Result<Response<Self::StreamNotificationsStream>, Status> {
        serve_stream(request, |ctx, message| async move {
            let start = if message.live_only { Start::Now } else { Start::After(message.after_sequence) };
            let batches = ops::stream(&ctx, &self.streams, start).await?;
            Ok(batches.map(|batch| batch.map(Into::into)))
        })
        .await
    }
}

fn render(notifications: Vec<Notification>, sequence: Sequence) -> Vec<pb::Notification> {
    notifications
        .into_iter()
        .map(|notification| pb::Notification {
            id: notification.id.to_string(),
            sequence: notification.sequence.unsigned_abs(),
            kind: pb::NotificationKind::from(notification.news.kind).into(),
            text: notification.news.text,
            team_id: notification.news.team.map(|id| id.to_string()).unwrap_or_default(),
            project_id: notification.news.project.map(|id| id.to_string()).unwrap_or_default(),
            subject_id: notification.news.subject.map(|id| id.to_string()).unwrap_or_default(),
            read: notification.sequence <= sequence.read_up_to,
            created_at: Some(notification.created_at.into()),
        })
        .collect()
}

impl From<Batch> for pb::StreamNotificationsResponse {
    fn from(batch: Batch) -> Self {
        Self {
            notifications: render(batch.notifications, batch.sequence),
            cursor: batch.cursor.unsigned_abs(),
        }
    }
}

impl From<Kind> for pb::NotificationKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::DeviceAdded => Self::DeviceAdded,
            Kind::SessionRevoked => Self::SessionRevoked,
            Kind::Invited => Self::Invited,
            Kind::MemberJoined => Self::MemberJoined,
            Kind::RepositorySynced => Self::RepositorySynced,
            Kind::RepositorySyncFailed => Self::RepositorySyncFailed,
            Kind::PreviewReady => Self::PreviewReady,
            Kind::PreviewFailed => Self::PreviewFailed,
        }
    }
}
