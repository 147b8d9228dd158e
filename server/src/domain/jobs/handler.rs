//! What the queue asks of the slices whose jobs it runs.

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;

use super::model::{Job, JobKind, LeasedWork, Outcome};
use crate::base::{
    ctx::Ctx,
    db::Tx,
    error::{Error, Reason, Result},
};

/// The slice behind one kind of job.
#[async_trait]
pub trait JobHandler: Send + Sync + 'static {
    /// The kind it is behind.
    fn kind(&self) -> JobKind;

    /// What the worker is given. Called after each claim, outside of a transaction.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `INTERNAL` has the job tried again; any other reason is why the job has failed.
    async fn prepare(&self, ctx: &Ctx, job: &Job) -> Result<LeasedWork>;

    /// Puts the result in place, in the fenced transaction that ends the job: it happens at most once. The
    /// outcome is of the handler's kind, and otherwise as the worker sent it.
    ///
    /// # Errors
    /// Whatever makes the result unacceptable: nothing is written then, and the job has failed for that
    /// reason. With `INTERNAL`, `UNAVAILABLE`, `CONFLICT` or `INVALID_REQUEST` the job stays as it was, and
    /// the worker may hand in the result again.
    async fn committed(&self, ctx: &Ctx, tx: &Tx, job: &Job, outcome: Outcome) -> Result<()>;

    /// Takes note that there will be no result, in the transaction that ends the job; `CANCELLED` if it was
    /// cancelled.
    ///
    /// # Errors
    /// If the database does not answer.
    async fn gave_up(&self, ctx: &Ctx, tx: &Tx, job: &Job, reason: Reason) -> Result<()>;
}

/// The handlers of all kinds; plugged in as `ports.plug::<JobHandlers>(…)`.
#[derive(Default)]
pub struct JobHandlers(HashMap<JobKind, Arc<dyn JobHandler>>);

impl JobHandlers {
    /// Has `handler` stand behind its kind.
    #[must_use]
    pub fn with(mut self, handler: impl JobHandler) -> Self {
        self.0.insert(handler.kind(), Arc::new(handler));
        self
    }

    /// The handler behind `kind`.
    ///
    /// # Errors
    /// `INTERNAL` if there is none.
    pub fn of(&self, kind: JobKind) -> Result<&dyn JobHandler> {
        let handler = self.0.get(&kind).map(AsRef::as_ref);
        handler.ok_or_else(|| Error::internal(format!("no handler for {} jobs", kind.as_str())))
    }
}
