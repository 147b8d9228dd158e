//! Entries and their chain.

use uuid::Uuid;

use crate::base::{
    actor::{Actor, User},
    clock::Timestamp,
    crypto,
    ids::{DeviceId, ProjectId, TeamId, UserId},
};

/// A link of the chain.
pub(super) type Digest = [u8; 32];

/// The digest before the first entry.
pub(super) const GENESIS: Digest = [0; 32];

/// How an event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As intended.
    Ok,
    /// The server did not allow it.
    Refused,
    /// It was allowed, and went wrong.
    Failed,
}

impl Outcome {
    /// How the outcome is written in rows and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// An entry to be written. Route, correlation ID, address and time come from the call; so do user and
/// device unless the entry names others.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) event: &'static str,
    pub(super) outcome: Outcome,
    pub(super) user: Option<UserId>,
    pub(super) team: Option<TeamId>,
    pub(super) project: Option<ProjectId>,
    pub(super) device: Option<DeviceId>,
    pub(super) subject: Option<String>,
}

impl Entry {
    /// That `event` happened as intended. Events are named `<slice>.<what>`, such as `auth.login`.
    #[must_use]
    pub const fn new(event: &'static str) -> Self {
        Self {
            event,
            outcome: Outcome::Ok,
            user: None,
            team: None,
            project: None,
            device: None,
            subject: None,
        }
    }

    /// How it ended, if not [`Outcome::Ok`].
    #[must_use]
    pub const fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Who did it, if not the caller.
    #[must_use]
    pub const fn user(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// The team it is about.
    #[must_use]
    pub const fn team(mut self, team: TeamId) -> Self {
        self.team = Some(team);
        self
    }

    /// The project it is about.
    #[must_use]
    pub const fn project(mut self, project: ProjectId) -> Self {
        self.project = Some(project);
        self
    }

    /// The device it came from, if not the caller's.
    #[must_use]
    pub const fn device(mut self, device: DeviceId) -> Self {
        self.device = Some(device);
        self
    }

    /// What it is about beside those: the identifier of a preview, a job, a session.
    #[must_use]
    pub fn subject(mut self, subject: Uuid) -> Self {
        self.subject = Some(subject.to_string());
        self
    }

    /// Fills in what the caller is known for.
    pub(super) fn by(mut self, actor: &Actor) -> Self {
        if let Actor::User(User { id, device, .. }) = actor {
            self.user = self.user.or(Some(*id));
            self.device = self.device.or(Some(*device));
        }
        self
    }
}

/// An entry in its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub sequence: i64,
    pub event: String,
    pub outcome: String,
    pub route: String,
    pub user: Option<UserId>,
    pub team: Option<TeamId>,
    pub project: Option<ProjectId>,
    pub device: Option<DeviceId>,
    pub subject: Option<String>,
    pub correlation: String,
    pub address: Option<String>,
    pub occurred_at: Timestamp,
    pub digest: Vec<u8>,
}

impl Record {
    /// The digest of this entry after one whose digest is `previous`: SHA-256 over `previous` and every
    /// field, each behind its length.
    pub(super) fn digest_after(&self, previous: &[u8]) -> Digest {
        let id = |id: Option<Uuid>| id.map(Uuid::into_bytes);
        let ids = [
            id(self.user.map(|id| id.0)),
            id(self.team.map(|id| id.0)),
            id(self.project.map(|id| id.0)),
            id(self.device.map(|id| id.0)),
        ];
        let sequence = self.sequence.to_be_bytes();
        let occurred_at = self.occurred_at.as_micros().to_be_bytes();
        let texts = [&self.event, &self.outcome, &self.route, &self.correlation];
        let optional_texts = [&self.subject, &self.address];

        let mut bytes = Vec::with_capacity(512);
        let mut push = |field: &[u8]| {
            bytes.extend_from_slice(&(field.len() as u64).to_be_bytes());
            bytes.extend_from_slice(field);
        };
        push(previous);
        push(&sequence);
        push(&occurred_at);
        texts.into_iter().for_each(|text| push(text.as_bytes()));
        ids.iter().for_each(|id| push(id.as_ref().map_or(&[], |id| id.as_slice())));
        optional_texts.into_iter().for_each(|text| push(text.as_deref().unwrap_or_default().as_bytes()));
        crypto::sha256(&bytes)
    }
}

/// The end of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub sequence: i64,
    pub digest: Vec<u8>,
}

/// Follows the chain from its beginning.
pub(super) struct Verifier {
    checked: i64,
    digest: Digest,
}

impl Verifier {
    pub(super) const fn new() -> Self {
        Self { checked: 0, digest: GENESIS }
    }

    /// Entries that held so far.
    pub(super) const fn checked(&self) -> i64 {
        self.checked
    }

    /// Whether `record` is what comes next.
    pub(super) fn accept(&mut self, record: &Record) -> bool {
        let digest = record.digest_after(&self.digest);
        let holds = record.sequence == self.checked + 1 && crypto::equal(&digest, &record.digest);
        if holds {
            self.checked = record.sequence;
            self.digest = digest;
        }
        holds
    }

    /// Whether the chain that was followed ends at `head`.
    pub(super) fn ends_at(&self, head: &Head) -> bool {
        self.checked == head.sequence && crypto::equal(&self.digest, &head.digest)
    }
}

/// Which entries are wanted: those that match every filter that is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Filter {
    pub user: Option<UserId>,
    pub project: Option<ProjectId>,
    pub event: Option<String>,
    pub correlation: Option<String>,
}

impl Filter {
    /// Names the filter in page tokens.
    pub(super) fn scope(&self) -> String {
        format!("audit:{:?}:{:?}:{:?}:{:?}", self.user, self.project, self.event, self.correlation)
    }
}

/// What a check of the log found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verification {
    /// Entries that hold.
    pub entries: i64,
    /// The first that does not.
    pub first_broken: Option<i64>,
    /// The digest at the head.
    pub head: Vec<u8>,
}
