//! What the user is told: stored, listed, and live.

use hivesync_proto::v1 as pb;
use serde::Serialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::rpc;
pub use crate::watch::Notifications as NotificationStream;
use crate::{
    core::Core,
    error::Result,
    page::{Page, PageRequest},
    watch,
    wire::{self, wire_enum},
};

wire_enum! {
    /// What a notification tells.
    NotificationKind = NotificationKind {
        /// A device signed in for the first time.
        DeviceAdded,
        /// A session was ended by somebody else than itself.
        SessionRevoked,
        /// An invitation to a team waits.
        Invited,
        /// Somebody joined a team.
        MemberJoined,
        /// A repository was synced.
        RepositorySynced,
        /// A sync was given up.
        RepositorySyncFailed,
        /// A preview can be opened.
        PreviewReady,
        /// The files of a preview were not what its manifest says.
        PreviewFailed,
    }
}

/// One thing that the user is told.
#[derive(Clone, Debug, Serialize)]
pub struct Notification {
    /// Identifies the notification.
    pub id: Uuid,
    /// Its place in the user's sequence, from 1, without gaps.
    pub sequence: u64,
    /// What it tells.
    pub kind: NotificationKind,
    /// The text to show.
    pub text: String,
    /// The team it is about.
    pub team_id: Option<Uuid>,
    /// The project it is about.
    pub project_id: Option<Uuid>,
    /// The preview, job, device or invitation it is about.
    pub subject_id: Option<Uuid>,
    /// Whether the user has read it.
    pub read: bool,
    /// When it happened.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

/// A page of notifications.
#[derive(Clone, Debug, Serialize)]
pub struct NotificationPage {
    /// The notifications, newest first.
    #[serde(flatten)]
    pub page: Page<Notification>,
    /// How many of all the user's notifications are unread.
    pub unread_count: u32,
}

/// Where a live stream starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// With what comes from now on.
    Now,
    /// After the notification with this sequence; 0 for the very first.
    After(u64),
}

/// What a live stream says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum NotificationEvent {
    /// The stream stands: whatever happens from here on will be told.
    Connected,
    /// The connection was lost and made again. Nothing was missed unless a `Gap` says so.
    Reconnected,
    /// The server no longer had these.
    Gap {
        /// The first sequence that is missing.
        first: u64,
        /// The last sequence that is missing.
        last: u64,
    },
    /// Each comes once, in the order of their sequence.
    Notification(Notification),
}

/// Calls about notifications.
#[derive(Clone)]
pub struct Notifications(pub(crate) Core);

impl Notifications {
    /// A page of the user's notifications, newest first; at most 200.
    pub async fn list(&self, unread_only: bool, page: PageRequest) -> Result<NotificationPage> {
        let request =
            pb::ListNotificationsRequest { unread_only, page_size: page.size, page_token: page.into_token() };
        let response = self.0.unary::<rpc::ListNotifications>(request).await?;
        Ok(NotificationPage {
            page: Page::new(response.notifications, response.next_page_token, Notification::from_wire)?,
            unread_count: response.unread_count,
        })
    }

    /// Marks all notifications up to and with `sequence` as read; says how many are still unread.
    pub async fn mark_read(&self, sequence: u64) -> Result<u32> {
        let request = pb::MarkNotificationsReadRequest { up_to_sequence: sequence };
        self.0.unary::<rpc::MarkNotificationsRead>(request).await.map(|response| response.unread_count)
    }

    /// The user's notifications, live. The stream goes on over lost connections; at most 64 events wait
    /// for their reader. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// An error is the last item of the stream.
    pub fn follow(&self, start: StartAt) -> NotificationStream {
        watch::notifications(self.0.clone(), start)
    }
}

impl Notification {
    pub(crate) fn from_wire(notification: pb::Notification) -> Result<Self> {
        Ok(Self {
            id: wire::id(&notification.id)?,
            sequence: notification.sequence,
            kind: NotificationKind::from_wire(notification.kind),
            text: notification.text,
            team_id: wire::optional_id(&notification.team_id)?,
            project_id: wire::optional_id(&notification.project_id)?,
            subject_id: wire::optional_id(&notification.subject_id)?,
            read: notification.read,
            created_at: wire::time(notification.created_at)?,
        })
    }
}
