//! Why a call failed: thirteen kinds, the same in every language of the SDK.
//!
//! A kind says what the caller does next. The [`ErrorReason`] of the server, if it gave one, says more
//! precisely why. Of the server's text, an error repeats only what it says is wrong with a field of the
//! request: that is written for whoever filled it in. It is cut short, and holds nothing that drives a terminal.

mod kind;
mod status;
mod words;

use std::sync::Arc;

pub use hivesync_proto::v1::ErrorReason;
use uuid::Uuid;

pub use self::kind::{ErrorKind, SignedOutReason, StorageErrorKind};
pub(crate) use self::status::retry_delay;
use crate::entropy;

/// The result of every call of the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
///
/// The `Display` form is for users: it says what to do next and holds no secret. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Error(Arc<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    reason: Option<ErrorReason>,
    correlation_id: Option<String>,
    job_id: Option<Uuid>,
    /// Replaces the sentence that belongs to the kind and reason.
    sentence: Option<String>,
}

impl Details {
    fn new(kind: ErrorKind) -> Self {
        Self { kind, reason: None, correlation_id: None, job_id: None, sentence: None }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self(Arc::new(Details::new(kind)))
    }

    fn with_sentence(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        Self(Arc::new(Details { sentence: Some(sentence.into()), ..Details::new(kind) }))
    }

    /// What becomes of a call that its caller has stopped.
    pub fn cancelled() -> Self {
        Self::new(ErrorKind::Cancelled)
    }

    /// A request that this side already knows to be wrong. `sentence` says what to do instead.
    pub(crate) fn invalid(field: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self::with_sentence(ErrorKind::InvalidRequest { fields: vec![field.into()] }, sentence)
    }

    pub(crate) fn file(sentence: impl Into<String>) -> Self {
        Self::with_sentence(ErrorKind::Storage { kind: StorageErrorKind::File }, sentence)
    }

    pub(crate) fn storage(kind: StorageErrorKind) -> Self {
        Self::new(ErrorKind::Storage { kind })
    }

    pub(crate) fn signed_out(reason: SignedOutReason) -> Self {
        Self::new(ErrorKind::SignedOut { reason })
    }

    pub(crate) fn internal() -> Self {
        Self::new(ErrorKind::Internal { incident: entropy::id().to_string() })
    }

    /// A refusal with a reason of the contract that this side found by itself.
    pub(crate) fn refused(kind: ErrorKind, reason: ErrorReason, sentence: impl Into<String>) -> Self {
        let sentence = Some(sentence.into());
        Self(Arc::new(Details { reason: Some(reason), sentence, ..Details::new(kind) }))
    }

    /// What the job `job_id` failed for.
    pub(crate) fn of_job(reason: ErrorReason, job_id: Uuid) -> Self {
        let kind = status::kind_of_reason(reason, None, Some(&job_id.to_string()));
        Self(Arc::new(Details { reason: Some(reason), job_id: Some(job_id), ..Details::new(kind) }))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The server's reason, if it gave one that this client knows.
    pub fn reason(&self) -> Option<ErrorReason> {
        self.0.reason
    }

    /// What the server's operator finds the call by.
    pub fn correlation_id(&self) -> Option<&str> {
        self.0.correlation_id.as_deref()
    }

    /// The job that failed, if that is what the error is about.
    pub fn job_id(&self) -> Option<Uuid> {
        self.0.job_id
    }

    /// A stable name of the kind, in snake case.
    pub fn code(&self) -> &'static str {
        self.kind().code()
    }

    /// Whether the same call may succeed later without anything being changed.
    pub fn is_transient(&self) -> bool {
        self.kind().is_transient()
    }
}

impl std::error::Error for Error {}
