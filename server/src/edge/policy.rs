//! The policy: ONE table that says of every RPC who may call it and what the edge does with it. An RPC
//! without a row is refused, and a test holds the table against the contract.

use std::{collections::BTreeSet, time::Duration};

use crate::{
    base::actor::{Actor, PlatformRole},
    domain::access::Permission,
};

/// Which listener serves the RPC, and whom it wants to know before the call reaches a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Anybody, on the public listener.
    Public,
    /// A signed-in person or service account, on the public listener.
    User,
    /// A signed-in person, on the public listener: service accounts have no say in teams, projects and accounts.
    Person,
    /// A signed-in operator, on the admin listener.
    Operator,
    /// A worker that knows the shared secret, on the worker listener.
    Worker,
    /// Anybody, on every listener.
    Everywhere,
    /// Anybody, on the public listener of a server in local mode.
    Local,
}

/// How often an RPC may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Guessing a secret: counted by address, and by the service itself by account.
    Credentials,
    /// Continuing a session: a secret that cannot be guessed, counted by address, and by the service itself by
    /// session. A team behind one address does it as often as its members begin to work.
    Refresh,
    /// Reading.
    Read,
    /// Changing something.
    Write,
    /// Publishing a preview.
    PreviewCreate,
    /// Syncing a mirror.
    RepositorySync,
    /// Opening a preview token.
    PreviewOpen,
    /// Not counted: probes, workers and operators are bounded otherwise.
    Unmetered,
}

/// What the edge knows about one RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// `package.Service/Method`.
    pub route: &'static str,
    /// Who may call it.
    pub audience: Audience,
    /// What the service demands of the caller in the team that the call is about.
    pub permission: Option<Permission>,
    /// What it demands instead if the call is about the caller's own: a preview that the caller published, the
    /// caller's membership.
    pub own: Option<Permission>,
    /// How often.
    pub rate: Rate,
    /// Whether the caller must prove to hold a device key (RFC 9449).
    pub device_proof: bool,
    /// Whether a repeat is harmless, by nature or by an idempotency key.
    pub idempotent: bool,
    /// Whether each successful call leaves an audit entry.
    pub audited: bool,
    /// Whether the answer is a stream, which has no deadline of its own.
    pub streaming: bool,
}

impl Row {
    const fn new(route: &'static str, audience: Audience, rate: Rate) -> Self {
        Self {
            route,
            audience,
            permission: None,
            own: None,
            rate,
            device_proof: false,
            idempotent: true,
            audited: false,
            streaming: false,
        }
    }

    const fn needs(self, permission: Permission) -> Self {
        Self { permission: Some(permission), ..self }
    }

    const fn or_own(self, permission: Permission) -> Self {
        Self { own: Some(permission), ..self }
    }

    const fn proven(self) -> Self {
        Self { device_proof: true, ..self }
    }

    const fn once(self) -> Self {
        Self { idempotent: false, ..self }
    }

    const fn audited(self) -> Self {
        Self { audited: true, ..self }
    }

    const fn stream(self) -> Self {
        Self { streaming: true, ..self }
    }

    /// How long a call may take if the client does not say, and at most if it does.
    #[must_use]
    pub const fn deadline(&self) -> Duration {
        match self.rate {
            Credentials | Refresh => Duration::from_secs(20),
            _ => Duration::from_secs(60),
        }
    }

    /// Whether `actor` is whom the audience wants.
    #[must_use]
    pub fn permits(&self, actor: &Actor) -> bool {
        match self.audience {
            Public | Everywhere | Local => true,
            User => matches!(actor, Actor::User(_)),
            Person => matches!(actor, Actor::User(user) if user.role != PlatformRole::Service),
            Operator => matches!(actor, Actor::User(user) if user.role == PlatformRole::Admin),
            Worker => matches!(actor, Actor::Worker),
        }
    }
}

use Audience::{Everywhere, Local, Operator, Person, Public, User, Worker};
use Rate::{Credentials, PreviewCreate, PreviewOpen, Read, Refresh, RepositorySync, Unmetered, Write};

/// Every RPC, by service.
pub const TABLE: &[Row] = &[
    Row::new("hivesync.v1.AuthService/Register", Public, Credentials).audited(),
    Row::new("hivesync.v1.AuthService/Login", Public, Credentials).proven().once().audited(),
    Row::new("hivesync.v1.AuthService/Refresh", Public, Refresh).proven().audited(),
    Row::new("hivesync.v1.AuthService/Logout", User, Write).audited(),
    Row::new("hivesync.v1.AuthService/ListSessions", Person, Read),
    Row::new("hivesync.v1.AuthService/RevokeSession", Person, Write).audited(),
    Row::new("hivesync.v1.AuthService/ListDevices", Person, Read),
    Row::new("hivesync.v1.AuthService/RevokeDevice", Person, Write).audited(),
    Row::new("hivesync.v1.UserService/GetMe", User, Read),
    Row::new("hivesync.v1.UserService/UpdateMe", Person, Write).audited(),
    Row::new("hivesync.v1.TeamService/CreateTeam", Person, Write).audited(),
    Row::new("hivesync.v1.TeamService/GetTeam", User, Read).needs(Permission::ReadTeam),
    Row::new("hivesync.v1.TeamService/ListTeams", User, Read),
    Row::new("hivesync.v1.TeamService/ListMembers", Person, Read).needs(Permission::ReadTeam),
    Row::new("hivesync.v1.TeamService/InviteMember", Person, Write)
        .needs(Permission::InviteMembers)
        .audited(),
    Row::new("hivesync.v1.TeamService/ListMyInvitations", User, Read),
    Row::new("hivesync.v1.TeamService/AcceptInvitation", User, Write).audited(),
    Row::new("hivesync.v1.TeamService/SetMemberRole", Person, Write)
        .needs(Permission::ManageMembers)
        .audited(),
    Row::new("hivesync.v1.TeamService/RemoveMember", Person, Write)
        .needs(Permission::ManageMembers)
        .or_own(Permission::ReadTeam)
        .audited(),
    Row::new("hivesync.v1.ProjectService/CreateProject", Person, Write)
        .needs(Permission::WriteProject)
        .audited(),
    Row::new("hivesync.v1.ProjectService/GetProject", User, Read).needs(Permission::ReadProject),
    Row::new("hivesync.v1.ProjectService/ListProjects", User, Read).needs(Permission::ReadProject),
    Row::new("hivesync.v1.ProjectService/LinkRepository", Person, Write)
        .needs(Permission::WriteProject)
        .audited(),
    Row::new("hivesync.v1.ProjectService/DeleteProject", Person, Write)
        .needs(Permission::DeleteProject)
        .audited(),
    Row::new("hivesync.v1.ProjectService/SyncRepository", User, RepositorySync)
        .needs(Permission::SyncRepository)
        .audited(),
    Row::new("hivesync.v1.ProjectService/ListTree", User, Read).needs(Permission::ReadProject),
    Row::new("hivesync.v1.ProjectService/ReadFile", User, Read).needs(Permission::ReadProject).stream(),
    Row::new("hivesync.v1.ProjectService/ListCommits", User, Read).needs(Permission::ReadProject),
    Row::new("hivesync.v1.PreviewService/CreatePreview", User, PreviewCreate)
        .needs(Permission::PublishPreview)
        .audited(),
    Row::new("hivesync.v1.PreviewService/FindMissing", User, Read).needs(Permission::PublishPreview),
    Row::new("hivesync.v1.PreviewService/RequestUploads", User, Write).needs(Permission::PublishPreview),
    Row::new("hivesync.v1.PreviewService/FinalizePreview", User, Write)
        .needs(Permission::PublishPreview)
        .audited(),
    Row::new("hivesync.v1.PreviewService/IssuePreviewToken", User, Write)
        .needs(Permission::PublishPreview)
        .audited(),
    Row::new("hivesync.v1.PreviewService/GetPreview", User, Read).needs(Permission::ReadPreview),
    Row::new("hivesync.v1.PreviewService/ListPreviews", User, Read).needs(Permission::ReadPreview),
    Row::new("hivesync.v1.PreviewService/RevokePreview", User, Write)
        .needs(Permission::ManagePreviews)
        .or_own(Permission::PublishPreview)
        .audited(),
    Row::new("hivesync.v1.PreviewService/ResolvePreview", User, PreviewOpen).proven().audited(),
    Row::new("hivesync.v1.PreviewService/RequestDownloads", User, PreviewOpen).proven().audited(),
    Row::new("hivesync.v1.JobService/GetJob", User, Read).needs(Permission::ReadJobs),
    Row::new("hivesync.v1.JobService/ListJobs", User, Read).needs(Permission::ReadJobs),
    Row::new("hivesync.v1.JobService/WatchJob", User, Read).needs(Permission::ReadJobs).stream(),
    Row::new("hivesync.v1.JobService/CancelJob", User, Write).needs(Permission::CancelJobs).audited(),
    Row::new("hivesync.v1.NotificationService/ListNotifications", User, Read),
    Row::new("hivesync.v1.NotificationService/MarkNotificationsRead", User, Write),
    Row::new("hivesync.v1.NotificationService/StreamNotifications", User, Read).stream(),
    Row::new("hivesync.v1.AuditService/ListAuditEntries", Operator, Unmetered).audited(),
    Row::new("hivesync.v1.AuditService/VerifyAuditLog", Operator, Unmetered).audited(),
    Row::new("hivesync.v1.AdminService/GetQueueDepth", Operator, Unmetered).audited(),
    Row::new("hivesync.v1.AdminService/ListWorkers", Operator, Unmetered).audited(),
    Row::new("hivesync.v1.WorkerService/Session", Worker, Unmetered).once().stream().audited(),
    Row::new("hivesync.v1.WorkerService/Commit", Worker, Unmetered).audited(),
    Row::new("hivesync.v1.WorkerService/Release", Worker, Unmetered),
    Row::new("hivesync.v1.WorkerService/GetServerInfo", Worker, Unmetered),
    Row::new("grpc.health.v1.Health/Check", Everywhere, Unmetered),
    Row::new("grpc.health.v1.Health/Watch", Everywhere, Unmetered).stream(),
    Row::new("grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Local, Unmetered).stream(),
];

/// The services with an RPC for such an audience, sorted.
pub fn services(wanted: impl Fn(Audience) -> bool) -> BTreeSet<&'static str> {
    let rows = TABLE.iter().filter(|row| wanted(row.audience));
    rows.filter_map(|row| row.route.split_once('/')).map(|(service, _)| service).collect()
}

/// A listener of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For everybody.
    Public,
    /// For workers.
    Worker,
    /// For operators.
    Admin,
}

impl Listener {
    /// Whether the listener serves RPCs of `audience`; `is_local` in local mode.
    #[must_use]
    pub fn serves(self, audience: Audience, is_local: bool) -> bool {
        match audience {
            Everywhere => true,
            Public | User | Person => self == Self::Public,
            Local => self == Self::Public && is_local,
            Worker => self == Self::Worker,
            Operator => self == Self::Admin,
        }
    }
}
