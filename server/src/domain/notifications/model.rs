//! Notifications and their sequences.

use uuid::Uuid;

use crate::base::{
    clock::Timestamp,
    ids::{NotificationId, ProjectId, TeamId, UserId},
};

/// Notifications of a user that are kept: the newest.
pub const KEPT_MAX: i64 = 1_000;
/// Those about the security of the user's account that are kept: the newest, whatever else there is to tell.
pub const SECURITY_KEPT_MAX: u64 = 200;

/// What a notification tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A device signed in for the first time.
    DeviceAdded,
    /// A session was ended by the server.
    SessionRevoked,
    /// The user was invited to a team.
    Invited,
    /// Somebody joined a team.
    MemberJoined,
    /// A mirror was brought up to date.
    RepositorySynced,
    /// A mirror could not be brought up to date.
    RepositorySyncFailed,
    /// A preview can be opened.
    PreviewReady,
    /// A preview did not come about.
    PreviewFailed,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::DeviceAdded,
        Self::SessionRevoked,
        Self::Invited,
        Self::MemberJoined,
        Self::RepositorySynced,
        Self::RepositorySyncFailed,
        Self::PreviewReady,
        Self::PreviewFailed,
    ];

    /// The kinds about the security of the user's account. Nothing that strangers cause is among them, so that nobody
    /// drives out the news of what they did to the account.
    pub const SECURITY: [Self; 2] = [Self::DeviceAdded, Self::SessionRevoked];

    /// How the kind is written in rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeviceAdded => "device_added",
            Self::SessionRevoked => "session_revoked",
            Self::Invited => "invited",
            Self::MemberJoined => "member_joined",
            Self::RepositorySynced => "repository_synced",
            Self::RepositorySyncFailed => "repository_sync_failed",
            Self::PreviewReady => "preview_ready",
            Self::PreviewFailed => "preview_failed",
        }
    }

    /// Reads what [`Kind::as_str`] wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What there is to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it is.
    pub kind: Kind,
    /// The text to show.
    pub text: String,
    /// The team it is about.
    pub team: Option<TeamId>,
    /// The project it is about.
    pub project: Option<ProjectId>,
    /// The preview, job, device or invitation it is about.
    pub subject: Option<Uuid>,
}

impl News {
    /// Says `text`, about nothing in particular.
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), team: None, project: None, subject: None }
    }

    /// Names the team.
    pub(super) fn in_team(self, team: TeamId) -> Self {
        Self { team: Some(team), ..self }
    }

    /// Names the project.
    pub(super) fn in_project(self, project: ProjectId) -> Self {
        Self { project: Some(project), ..self }
    }

    /// Names the subject.
    pub(super) fn about(self, subject: Uuid) -> Self {
        Self { subject: Some(subject), ..self }
    }
}

/// One thing a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Identifies the notification.
    pub id: NotificationId,
    /// The user.
    pub user: UserId,
    /// Its place in the user's sequence, from 1 on.
    pub sequence: i64,
    /// What it tells.
    pub news: News,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Where a user's sequence stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    /// The number of the newest notification; 0 if there never was one.
    pub last: i64,
    /// The user has read the notifications up to this number.
    pub read_up_to: i64,
}

impl Sequence {
    /// How many are unread, at most [`KEPT_MAX`].
    #[must_use]
    pub fn unread(self) -> u32 {
        let unread = self.last.saturating_sub(self.read_up_to).clamp(0, KEPT_MAX);
        u32::try_from(unread).unwrap_or(0)
    }

    /// The number after which a stream begins that is to follow `wanted`: nothing that is yet to come is
    /// passed over.
    #[must_use]
    pub fn cursor(self, wanted: u64) -> i64 {
        i64::try_from(wanted).unwrap_or(i64::MAX).min(self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("Invited"), None);
    }

    #[test]
    fn only_what_is_kept_is_unread() {
        let unread = |last, read_up_to| Sequence { last, read_up_to }.unread();
        assert_eq!((unread(0, 0), unread(7, 3), unread(7, 7)), (0, 4, 0));
        assert_eq!(unread(5_000, 10), 1_000);
    }

    #[test]
    fn a_cursor_does_not_pass_over_what_is_to_come() {
        let sequence = Sequence { last: 9, read_up_to: 0 };
        assert_eq!((sequence.cursor(0), sequence.cursor(4), sequence.cursor(u64::MAX)), (0, 4, 9));
    }
}
