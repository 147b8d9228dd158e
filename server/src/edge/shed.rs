//! Load shedding: beyond a number of calls at work, a further one is refused at once instead of queued.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::base::error::{Error, Reason, Result};

/// The calls at work.
#[derive(Clone)]
pub struct Shed(Arc<Semaphore>);

impl Shed {
    /// Takes at most `calls_max` calls at a time.
    #[must_use]
    pub fn new(calls_max: usize) -> Self {
        Self(Arc::new(Semaphore::new(calls_max.min(Semaphore::MAX_PERMITS))))
    }

    /// A place, to be held while the call is at work.
    ///
    /// # Errors
    /// `OVERLOADED` if there is none.
    pub fn enter(&self) -> Result<OwnedSemaphorePermit> {
        self.0
            .clone()
            .try_acquire_owned()
            .map_err(|_| Error::new(Reason::Overloaded).retry_after(std::time::Duration::from_secs(1)))
    }
}
