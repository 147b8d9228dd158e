//! The runtime on which every exported call runs.

#![allow(
    clippy::disallowed_methods,
    reason = "a panic has no error of the client that could name the incident"
)]

use std::{
    future::Future,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::{Builder, Handle, Runtime},
    task::JoinError,
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{
    cancel::{self, CancelHandle},
    error::HiveSyncError,
    log_sink,
};

/// Two carry hundreds of calls, which mostly wait, and cost a phone little memory.
const WORKER_THREADS: usize = 2;
/// How long the threads get to end.
const SHUTDOWN: Duration = Duration::from_secs(2);

/// Started by the first call.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// Aborts all calls, which fail with `Cancelled`, and waits until no thread of this library runs any more,
/// two seconds at the most. A later call starts them anew.
///
/// To be called before an interpreter goes away: a thread that returns into it then takes the process down.
#[uniffi::export]
pub fn shut_down() {
    let runtime = lock().take();
    if let Some(runtime) = runtime {
        runtime.shutdown_timeout(SHUTDOWN);
    }
    log_sink::remove_log_sink();
}

fn lock() -> MutexGuard<'static, Option<Runtime>> {
    RUNTIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn handle() -> std::io::Result<Handle> {
    let mut runtime = lock();
    if let Some(runtime) = runtime.as_ref() {
        return Ok(runtime.handle().clone());
    }
    let started = launch()?;
    let handle = started.handle().clone();
    *runtime = Some(started);
    Ok(handle)
}

fn launch() -> std::io::Result<Runtime> {
    // The text of a panic may hold anything, and the default hook prints it.
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string);
        tracing::error!(location = location.as_deref().unwrap_or("unknown"), "panic");
    }));
    Builder::new_multi_thread().worker_threads(WORKER_THREADS).thread_name("hivesync").enable_all().build()
}

/// Runs a call to its end, or until it is cancelled or the returned future is dropped. It does not begin if
/// it is cancelled already.
///
/// # Errors
/// What the call fails with; `Cancelled` if it was, or the library was shut down; `Internal` if it panics.
pub(crate) async fn run<T: Send + 'static>(
    cancel: Option<Arc<CancelHandle>>,
    call: impl Future<Output = hivesync::Result<T>> + Send + 'static,
) -> Result<T, HiveSyncError> {
    let cancelled = cancel::token(cancel);
    if cancelled.is_cancelled() {
        return Err(hivesync::Error::cancelled().into());
    }
    let task = AbortOnDropHandle::new(handle().map_err(|_| internal())?.spawn(call));
    let ended = cancelled.run_until_cancelled(task).await.ok_or_else(hivesync::Error::cancelled)?;
    Ok(ended.map_err(|error| unfinished(&error))??)
}

/// Why a call has no outcome: the library was shut down under it, or it panicked.
fn unfinished(error: &JoinError) -> HiveSyncError {
    if error.is_cancelled() { hivesync::Error::cancelled().into() } else { internal() }
}

/// Starts what then goes on by itself.
///
/// # Errors
/// `Internal` if the start panics.
pub(crate) fn start<T>(begin: impl FnOnce() -> T) -> Result<T, HiveSyncError> {
    let handle = handle().map_err(|_| internal())?;
    let _entered = handle.enter();
    panic::catch_unwind(AssertUnwindSafe(begin)).map_err(|_| internal())
}

/// Of something that should not have failed.
pub(crate) fn internal() -> HiveSyncError {
    let incident = Uuid::new_v4().to_string();
    tracing::error!(incident, "call failed");
    HiveSyncError::internal(incident)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use std::{
        future::pending,
        sync::mpsc,
        thread::{self, ThreadId},
    };

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn gives_back_what_the_call_gives() {
        assert_eq!(run(None, async { Ok(7) }).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn makes_an_incident_of_a_panic() {
        let error = run::<()>(None, async { panic!("canary") }).await.unwrap_err();
        let HiveSyncError::Internal { incident, details } = &error else { panic!("{error:?}") };
        assert_eq!(incident.len(), 36);
        assert!(details.text.contains(incident.as_str()));
        assert!(!format!("{error:?}").contains("canary"));
    }

    #[test]
    fn makes_an_incident_of_a_start_that_panics() {
        let error = start::<()>(|| panic!("canary")).unwrap_err();
        assert!(matches!(&error, HiveSyncError::Internal { .. }));
        assert!(!format!("{error:?}").contains("canary"));
    }

    /// A call that never ends by itself, with what tells that it has begun and that it is gone.
    fn endless(
        cancel: Option<Arc<CancelHandle>>,
    ) -> (impl Future<Output = Result<(), HiveSyncError>>, oneshot::Receiver<()>, oneshot::Receiver<()>) {
        let (started, has_started) = oneshot::channel();
        let (dropped, was_dropped) = oneshot::channel::<()>();
        let call = run::<()>(cancel, async move {
            started.send(()).ok();
            let _dropped = dropped;
            pending().await
        });
        (call, has_started, was_dropped)
    }

    #[tokio::test]
    async fn aborts_a_call_that_is_dropped() {
        let (call, has_started, was_dropped) = endless(None);
        tokio::select! {
            _ = call => panic!("it never ends"),
            started = has_started => started.unwrap(),
        }
        assert!(was_dropped.await.is_err());
    }

    #[tokio::test]
    async fn aborts_a_call_that_is_cancelled() {
        let handle = Arc::new(CancelHandle::new());
        let (call, has_started, was_dropped) = endless(Some(handle.clone()));
        let cancel = async {
            has_started.await.unwrap();
            handle.cancel();
        };
        let (outcome, ()) = tokio::join!(call, cancel);
        assert!(matches!(outcome, Err(HiveSyncError::Cancelled { .. })), "{outcome:?}");
        assert!(was_dropped.await.is_err());

        let (call, has_started, _was_dropped) = endless(Some(handle));
        assert!(matches!(call.await, Err(HiveSyncError::Cancelled { .. })));
        assert!(has_started.await.is_err());
    }

    /// Says on which thread it was dropped.
    struct Dropped(mpsc::Sender<ThreadId>);

    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.send(thread::current().id()).ok();
        }
    }

    #[tokio::test]
    async fn does_not_begin_a_call_that_is_cancelled_already() {
        let handle = Arc::new(CancelHandle::new());
        handle.cancel();
        let (drops, dropped_on) = mpsc::channel();
        let dropped = Dropped(drops);
        let call = run::<()>(Some(handle), async move {
            let _dropped = dropped;
            pending().await
        });
        assert!(matches!(call.await, Err(HiveSyncError::Cancelled { .. })));
        // A runtime that was given the call drops it on a thread of its own, even if it never began.
        assert_eq!(dropped_on.recv().unwrap(), thread::current().id());
    }
}
