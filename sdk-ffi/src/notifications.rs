//! What the user is told: stored, listed, and live.

use std::{sync::Arc, time::SystemTime};

use hivesync::notifications::StartAt;

use crate::{
    cancel::CancelHandle,
    client::HiveSync,
    client_enum::client_enum,
    error::HiveSyncError,
    page::{request, split},
    pull::Pull,
    runtime::{run, start},
};

/// Events that are handed over at a time, at most.
const BATCH: usize = 64;

client_enum! {
    /// What a notification tells.
    NotificationKind = hivesync::notifications::NotificationKind {
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
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Notification {
    /// Identifies the notification.
    pub id: String,
    /// Its place in the user's sequence, from 1, without gaps.
    pub sequence: u64,
    /// What it tells.
    pub kind: NotificationKind,
    /// The text to show.
    pub text: String,
    /// The team it is about.
    pub team_id: Option<String>,
    /// The project it is about.
    pub project_id: Option<String>,
    /// The preview, job, device or invitation it is about.
    pub subject_id: Option<String>,
    /// Whether the user has read it.
    pub read: bool,
    /// When it happened.
    pub created_at: SystemTime,
}

/// A part of the list of notifications.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct NotificationPage {
    /// The notifications, newest first.
    pub items: Vec<Notification>,
    /// Continues the list; nothing at its end.
    pub next: Option<String>,
    /// How many of all the user's notifications are unread.
    pub unread_count: u32,
}

/// What a live stream says.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
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
    Arrived {
        /// What the user is told.
        notification: Notification,
    },
    /// An event that this version does not know.
    Unknown,
}

/// The user's notifications, live. At most 64 events wait for their reader; the rest waits at the server.
#[derive(uniffi::Object)]
pub struct NotificationStream(Pull<Vec<hivesync::notifications::NotificationEvent>>);

#[uniffi::export]
impl NotificationStream {
    /// Waits for events: one to 64 of them, in their order. None at the end of the stream. An error ends it.
    pub async fn next_batch(&self) -> Result<Vec<NotificationEvent>, HiveSyncError> {
        let batch = self.0.next().await?.unwrap_or_default();
        Ok(batch.into_iter().map(NotificationEvent::from).collect())
    }

    /// Ends the stream, also for whoever waits.
    pub fn cancel(&self) {
        self.0.stop();
    }
}

#[uniffi::export]
impl HiveSync {
    /// A page of the user's notifications, newest first; at most 200, and as many as the server likes if
    /// `size` is 0.
    #[uniffi::method(default(unread_only = false, size = 0, token = None, cancel = None))]
    pub async fn list_notifications(
        &self,
        unread_only: bool,
        size: u32,
        token: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<NotificationPage, HiveSyncError> {
        let notifications = self.client().notifications();
        run(cancel, async move {
            let listed = notifications.list(unread_only, request(size, token)).await?;
            let (items, next) = split(listed.page);
            Ok(NotificationPage { items, next, unread_count: listed.unread_count })
        })
        .await
    }

    /// Marks all notifications up to and with `sequence` as read; gives how many are still unread.
    #[uniffi::method(default(cancel = None))]
    pub async fn mark_notifications_read(
        &self,
        sequence: u64,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<u32, HiveSyncError> {
        let notifications = self.client().notifications();
        run(cancel, async move { notifications.mark_read(sequence).await }).await
    }

    /// The user's notifications, live: those after the sequence `after`, 0 for the very first; without it,
    /// those that come from now on.
    #[uniffi::method(default(after = None))]
    pub fn follow_notifications(&self, after: Option<u64>) -> Result<Arc<NotificationStream>, HiveSyncError> {
        let notifications = self.client().notifications();
        let from = after.map_or(StartAt::Now, StartAt::After);
        start(|| Arc::new(NotificationStream(Pull::new(notifications.follow(from).batches(BATCH)))))
    }
}

impl From<hivesync::notifications::Notification> for Notification {
    fn from(notification: hivesync::notifications::Notification) -> Self {
        Self {
            id: notification.id.to_string(),
            sequence: notification.sequence,
            kind: notification.kind.into(),
            text: notification.text,
            team_id: notification.team_id.map(|id| id.to_string()),
            project_id: notification.project_id.map(|id| id.to_string()),
            subject_id: notification.subject_id.map(|id| id.to_string()),
            read: notification.read,
            created_at: notification.created_at.into(),
        }
    }
}

impl From<hivesync::notifications::NotificationEvent> for NotificationEvent {
    fn from(event: hivesync::notifications::NotificationEvent) -> Self {
        use hivesync::notifications::NotificationEvent as Event;
        match event {
            Event::Connected => Self::Connected,
            Event::Reconnected => Self::Reconnected,
            Event::Gap { first, last } => Self::Gap { first, last },
            Event::Notification(notification) => Self::Arrived { notification: notification.into() },
            _ => Self::Unknown,
        }
    }
}
