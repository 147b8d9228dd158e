//! The HiveSync client for Swift, Kotlin and Python: the crate `hivesync`, made to cross a language border.
//!
//! Nothing is decided here. Each exported call runs as a task of this crate's own runtime, whatever thread
//! or event loop it is awaited on, and is aborted when the caller drops it or cancels its handle. What goes
//! on for long is pulled: an object whose `next` or `next_batch` waits for what comes. No secret is part of a
//! record, because languages print records: credentials and tokens are objects that show nothing.

mod argument;
mod cancel;
mod client;
mod client_enum;
mod credentials;
mod error;
mod jobs;
mod log_sink;
mod notifications;
mod open;
mod page;
mod platform;
mod projects;
mod publish;
mod pull;
mod runtime;
mod secret_store;
mod teams;

pub use cancel::CancelHandle;
pub use client::{Account, ClientOptions, HiveSync};
pub use credentials::Credentials;
pub use error::{ErrorDetails, HiveSyncError, SignedOutReason, StorageErrorKind};
pub use jobs::{Job, JobKind, JobPage, JobPhase, JobProgress, JobState, JobWatch};
pub use log_sink::{LogLevel, LogRecord, LogSink, LogSinkError, remove_log_sink, set_log_sink};
pub use notifications::{
    Notification, NotificationEvent, NotificationKind, NotificationPage, NotificationStream,
};
pub use open::{Download, OpenPreview, OpenProgress, OpenStats, PreviewFile, PreviewToken};
pub use platform::Platform;
pub use projects::{FileContent, MirrorState, Project, ProjectPage, TreeEntry, TreeEntryKind, TreePage};
pub use publish::{
    Preview, PreviewPage, PreviewState, PublishOptions, PublishPhase, PublishProgress, PublishStats,
    Published, Publishing,
};
pub use runtime::shut_down;
pub use secret_store::{SecretStore, StoreCapabilities, StoreError, check_secret_store};
pub use teams::{Team, TeamPage, TeamRole, User};

uniffi::setup_scaffolding!();
