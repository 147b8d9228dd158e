//! The one error type of the server: a public reason, and a private cause for the log.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

pub use hivesync_proto::v1::ErrorReason as Reason;

/// What every fallible function of the server returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// A refused or failed call. The reason is public; the cause never leaves the process.
pub struct Error(Box<Inner>);

struct Inner {
    reason: Reason,
    violations: Vec<Violation>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// A field of the request that breaks a rule. Never repeats the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the message, such as `manifest.files[3].path`.
    pub field: String,
    /// What is wrong with it, for a person.
    pub description: Cow<'static, str>,
}

impl Error {
    /// An error that says `reason` and nothing more.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self(Box::new(Inner { reason, violations: Vec::new(), retry_after: None, cause: None }))
    }

    /// Something failed inside the server; `cause` is for the log only.
    pub fn internal(cause: impl Into<Cause>) -> Self {
        Self::new(Reason::Internal).because(cause)
    }

    /// A field of the request is not acceptable.
    pub fn invalid(field: impl Into<String>, description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Reason::InvalidRequest).at(field, description)
    }

    /// It is not there, or not the caller's: the two are one answer.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(Reason::NotFound)
    }

    /// Adds the field that is to blame.
    #[must_use]
    pub fn at(mut self, field: impl Into<String>, description: impl Into<Cow<'static, str>>) -> Self {
        self.0.violations.push(Violation { field: field.into(), description: description.into() });
        self
    }

    /// Adds what happened, for the log.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.0.cause = Some(cause.into());
        self
    }

    /// Adds how long the caller should wait before it tries again.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// The public reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The fields that are to blame.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.0.violations
    }

    /// How long the caller should wait.
    #[must_use]
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What happened, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.0.cause.as_deref()
    }

    /// Gives a violated constraint its meaning: if this error came from the unique constraint or index
    /// `constraint`, it becomes `reason` (the name turns a duplicate into a domain error, so that no
    /// earlier `SELECT` has to race).
    #[must_use]
    pub fn on_unique(self, constraint: &str, reason: Reason) -> Self {
        match self.unique_constraint() {
            Some(violated) if violated.contains(constraint) => Self::new(reason),
            _ => self,
        }
    }

    fn unique_constraint(&self) -> Option<String> {
        match self.cause()?.downcast_ref::<sea_orm::DbErr>()?.sql_err()? {
            sea_orm::SqlErr::UniqueConstraintViolation(message) => Some(message),
            _ => None,
        }
    }
}

impl From<sea_orm::DbErr> for Error {
    fn from(error: sea_orm::DbErr) -> Self {
        use sea_orm::DbErr;
        let reason = match &error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Reason::Unavailable,
            other if is_lost(other) => Reason::Unavailable,
            other if is_serialization_failure(other) => Reason::Conflict,
            _ => Reason::Internal,
        };
        Self::new(reason).because(error)
    }
}

/// Whether the connection ended under the statement: by itself, or because the database goes down or is not up yet
/// (PostgreSQL's SQLSTATE class 08, and 57P01 to 57P03).
fn is_lost(error: &sea_orm::DbErr) -> bool {
    use sea_orm::sqlx;
    match cause_of(error) {
        Some(sqlx::Error::Io(_) | sqlx::Error::PoolClosed) => true,
        Some(sqlx::Error::Database(answer)) => {
            answer.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P0"))
        }
        _ => false,
    }
}

/// PostgreSQL's `serialization_failure` and `deadlock_detected` (SQLSTATE 40001 and 40P01).
fn is_serialization_failure(error: &sea_orm::DbErr) -> bool {
    let answer = cause_of(error).and_then(sqlx::Error::as_database_error);
    answer.and_then(|answer| answer.code()).is_some_and(|code| code == "40001" || code == "40P01")
}

fn cause_of(error: &sea_orm::DbErr) -> Option<&sqlx::Error> {
    use sea_orm::{DbErr, RuntimeErr};
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(cause)) | DbErr::Query(RuntimeErr::SqlxError(cause)) => Some(cause),
        _ => None,
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Error");
        debug.field("reason", &self.0.reason.as_str_name());
        if let Some(cause) = self.cause() {
            debug.field("cause", &cause.to_string());
        }
        debug.finish_non_exhaustive()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.reason.as_str_name())?;
        if let Some(cause) = self.cause() {
            write!(formatter, ": {cause}")?;
        }
        Ok(())
    }
}

impl StdError for Error {}
