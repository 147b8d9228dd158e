//! The HiveSync client for Swift, Kotlin and Python: the crate `hivesync`, made to cross a language border.
//!
//! Nothing is decided here. Each exported call runs as a task of this crate's own runtime, whatever thread
//! or event loop it is awaited on, and is aborted when the caller drops it. No secret is part of a record,
//! because languages print records: credentials and tokens go in as objects that show nothing.

mod client;
mod credentials;
mod error;
mod preview;
mod runtime;
mod secret_store;

pub use client::{Account, ClientOptions, HiveSync};
pub use credentials::Credentials;
pub use error::{ErrorDetails, HiveSyncError, SignedOutReason, StorageErrorKind};
pub use preview::{OpenPreview, OpenStats, Platform, PreviewFile, PreviewToken};
pub use runtime::shut_down;
pub use secret_store::{SecretStore, StoreCapabilities, StoreError, check_secret_store};

uniffi::setup_scaffolding!();
