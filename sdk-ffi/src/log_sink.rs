//! Logs, for an application that wants them among its own.
//!
//! Whoever logs never waits: what the sink does not take in time is dropped and counted. Only what the crates
//! of HiveSync log is passed on; they log no secret and no text of the server.

#![allow(clippy::disallowed_methods, reason = "a record bears the time of the machine that logs it")]

use std::{
    fmt::{self, Write as _},
    iter,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, SystemTime},
};

use tracing::{
    Event, Level, Metadata, Subscriber, callsite,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use crate::{error::HiveSyncError, runtime::internal};

/// Records that wait for the sink.
const QUEUE: usize = 1_024;
/// Records that the sink gets at a time, at most.
const BATCH: usize = 64;
/// Bytes of a record's text; the rest is cut off.
const TEXT_BYTES_MAX: usize = 1_024;
/// How long a sink that is removed may take for its last batch.
const LAST_BATCH: Duration = Duration::from_secs(2);
/// The crates whose logs are passed on.
const CRATES: [&str; 3] = ["hivesync", "hivesync_ffi", "hivesync_proto"];

/// How much a record matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LogLevel {
    /// Something failed that should not.
    Error,
    /// Something is not as it should be.
    Warn,
    /// Something worth knowing happened.
    Info,
    /// For whoever looks for a fault.
    Debug,
}

/// One thing that was logged.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LogRecord {
    /// When.
    pub at: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// The module that logged it.
    pub target: String,
    /// What happened, and its fields as `name=value`; at most 1,024 bytes.
    pub text: String,
}

/// Takes logs. Called from one thread of the library's own, one call after the other.
#[uniffi::export(foreign)]
pub trait LogSink: Send + Sync {
    /// Takes one to 64 records. `dropped` were lost since the call before because the sink was too slow: at
    /// most 1,024 records wait for it.
    fn write(&self, records: Vec<LogRecord>, dropped: u64) -> Result<(), LogSinkError>;
}

/// A sink failed. The records of that call are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
pub enum LogSinkError {
    /// It could not take them.
    #[error("the log sink failed")]
    Failed,
}

/// Anything else that a sink throws. Its text is dropped.
impl From<uniffi::UnexpectedUniFFICallbackError> for LogSinkError {
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed
    }
}

/// Passes on what is logged from now on, at this level and above, to `sink` in place of the one before.
///
/// # Errors
/// `Conflict` if something else in this process takes the logs already.
#[uniffi::export]
pub fn set_log_sink(sink: Arc<dyn LogSink>, level: LogLevel) -> Result<(), HiveSyncError> {
    let queue = Queue::start(level.into(), move |records, dropped| {
        // There is nowhere to log that.
        let _ = sink.write(records, dropped);
    });
    // The second time it is there already, which is what is wanted.
    let _ = tracing::subscriber::set_global_default(Forwarder);
    if !tracing::dispatcher::get_default(|present| present.is::<Forwarder>()) {
        return Err(HiveSyncError::conflict("This process has another receiver of logs."));
    }
    replace(Some(queue.map_err(|_| internal())?));
    Ok(())
}

/// Passes nothing on any more. Returns when the sink has had its last call, or after two seconds.
#[uniffi::export]
pub fn remove_log_sink() {
    replace(None);
}

/// The queue to the present sink.
static PRESENT: RwLock<Option<Queue>> = RwLock::new(None);

fn present() -> RwLockReadGuard<'static, Option<Queue>> {
    PRESENT.read().unwrap_or_else(PoisonError::into_inner)
}

fn replace(queue: Option<Queue>) {
    let before = {
        let mut present: RwLockWriteGuard<'_, _> = PRESENT.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *present, queue)
    };
    callsite::rebuild_interest_cache();
    before.into_iter().for_each(Queue::end);
}

/// What is on its way to a sink.
struct Queue {
    level: LevelFilter,
    records: SyncSender<LogRecord>,
    dropped: Arc<AtomicU64>,
    /// Closed by the thread that calls the sink, when it ends.
    ended: Mutex<Receiver<()>>,
}

impl Queue {
    /// Starts the thread that hands records over by `write`.
    fn start(
        level: LevelFilter,
        write: impl Fn(Vec<LogRecord>, u64) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (records, waiting) = sync_channel::<LogRecord>(QUEUE);
        let (end, ended) = sync_channel(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let lost = dropped.clone();
        thread::Builder::new().name("hivesync-log".to_owned()).spawn(move || {
            let _end: SyncSender<()> = end;
            while let Ok(first) = waiting.recv() {
                let batch = iter::once(first).chain(waiting.try_iter().take(BATCH - 1)).collect();
                write(batch, lost.swap(0, Ordering::Relaxed));
            }
        })?;
        Ok(Self { level, records, dropped, ended: Mutex::new(ended) })
    }

    fn put(&self, record: LogRecord) {
        if let Err(TrySendError::Full(_)) = self.records.try_send(record) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lets the sink have what waits.
    fn end(self) {
        drop(self.records);
        let ended = self.ended.into_inner().unwrap_or_else(PoisonError::into_inner);
        // It never says anything; it is closed.
        let _: Result<(), RecvTimeoutError> = ended.recv_timeout(LAST_BATCH);
    }
}

/// What the process logs, to the present sink.
struct Forwarder;

impl Subscriber for Forwarder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let ours = metadata.target().split("::").next().is_some_and(|name| CRATES.contains(&name));
        metadata.is_event()
            && ours
            && present().as_ref().is_some_and(|queue| *metadata.level() <= queue.level)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(present().as_ref().map_or(LevelFilter::OFF, |queue| queue.level))
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let record = LogRecord {
            at: SystemTime::now(),
            level: LogLevel::from(*event.metadata().level()),
            target: event.metadata().target().to_owned(),
            text: text.finish(),
        };
        if let Some(queue) = present().as_ref() {
            queue.put(record);
        }
    }

    // Spans are never enabled.
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The text of an event: its message, then its fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn finish(mut self) -> String {
        self.message.push_str(&self.fields);
        self.message.truncate(self.message.floor_char_boundary(TEXT_BYTES_MAX));
        self.message
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
        }
    }
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::ERROR => Self::Error,
            Level::WARN => Self::Warn,
            Level::INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::sync::mpsc::channel;

    use super::*;

    fn record(text: &str) -> LogRecord {
        let (at, level) = (SystemTime::UNIX_EPOCH, LogLevel::Info);
        LogRecord { at, level, target: "hivesync".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_slow_sink_blocks_nobody_and_learns_what_it_missed() {
        let (calls, called) = channel();
        let (release, released) = channel::<()>();
        let queue = Queue::start(LevelFilter::INFO, move |records, dropped| {
            calls.send((records.len(), dropped)).unwrap();
            let _ = released.recv();
        });
        let queue = queue.unwrap();
        queue.put(record("first"));
        assert_eq!(called.recv().unwrap(), (1, 0));
        // The sink is in its first call; the queue fills, and three more do not fit.
        (0..QUEUE + 3).for_each(|_| queue.put(record("next")));
        drop(release);
        let rest: Vec<(usize, u64)> = called.iter().take(QUEUE / BATCH).collect();
        assert!(rest.iter().all(|(records, _)| *records == BATCH));
        assert_eq!(rest.iter().map(|(_, dropped)| dropped).sum::<u64>(), 3);
        queue.end();
        assert!(called.recv().is_err());
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let text = Text { message: "ü".repeat(TEXT_BYTES_MAX), fields: " a=1".to_owned() }.finish();
        assert_eq!(text.len(), TEXT_BYTES_MAX);
        let text = Text { message: "call failed".to_owned(), fields: " tries=1".to_owned() }.finish();
        assert_eq!(text, "call failed tries=1");
    }

    #[test]
    fn words_of_a_sink_that_throws_are_dropped() {
        let thrown = uniffi::UnexpectedUniFFICallbackError::new("what it was given");
        assert_eq!(LogSinkError::from(thrown), LogSinkError::Failed);
    }
}
