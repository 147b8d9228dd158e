//! The nouns of previews and their rules.

mod blob;
mod event;
mod preview;

pub(super) use blob::{Blob, BlobState, Content};
pub use event::{PreviewFailed, PreviewReady};
pub(super) use preview::{Bundle, BundleEntry};
pub use preview::{CreatePreview, Preview, PreviewState};

use std::time::Duration;

/// How long a preview can be opened if its publisher does not say.
pub(super) const LIFETIME_DEFAULT: Duration = Duration::from_secs(15 * 60);
/// Previews of a project that can be live at the same time.
pub(super) const LIVE_MAX: u64 = 100;
/// How long an address to upload to is good for.
pub(super) const UPLOAD_TTL: Duration = Duration::from_secs(240);
/// How long an address to download from is good for.
pub(super) const DOWNLOAD_TTL: Duration = Duration::from_secs(120);
/// How long a worker may read what it verifies: the time limit of the job, and some.
pub(super) const VERIFY_TTL: Duration = Duration::from_secs(15 * 60);
/// How long an upload that was never verified is kept.
pub(super) const STAGING_GRACE: Duration = Duration::from_secs(60 * 60);
/// How long a manifest and its files outlive the last preview of them, so that publishing again costs
/// nothing.
pub(super) const CONTENT_GRACE: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a preview that has ended is listed.
pub(super) const HISTORY: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How long an object outlives its mark: longer than any address that could write it anew, and than an upload that begins
/// in its last moment, which may take five minutes.
pub(super) const DOOM_DELAY: Duration = Duration::from_secs(600);
/// Paths of rejected files that a preview names.
pub(super) const REJECTED_PATHS_MAX: u64 = 20;
