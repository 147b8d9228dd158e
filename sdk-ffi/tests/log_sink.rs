//! What reaches an application's log sink. By itself in its process, which has one receiver of logs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::{
    Arc,
    mpsc::{Sender, channel},
};

use hivesync_ffi::{LogLevel, LogRecord, LogSink, LogSinkError, remove_log_sink, set_log_sink};

struct ToTest(Sender<LogRecord>);

impl LogSink for ToTest {
    fn write(&self, records: Vec<LogRecord>, _dropped: u64) -> Result<(), LogSinkError> {
        records.into_iter().for_each(|record| self.0.send(record).unwrap());
        Err(LogSinkError::Failed)
    }
}

/// What the present sink was told of the same events.
fn log_all() {
    tracing::info!(target: "hyper::client", "somebody else's");
    tracing::info!(target: "hivesyncish", "somebody else's, with a similar name");
    tracing::debug!(target: "hivesync::transport", tries = 2, "call failed");
    tracing::error!(target: "hivesync_ffi::runtime", "panic");
}

#[test]
fn only_our_own_logs_arrive_at_the_level_that_was_asked_for() {
    for (level, expected) in [
        (LogLevel::Error, vec!["panic"]),
        (LogLevel::Debug, vec!["call failed tries=2", "panic"]),
        (LogLevel::Info, vec!["panic"]),
    ] {
        let (records, received) = channel();
        set_log_sink(Arc::new(ToTest(records)), level).unwrap();
        log_all();
        remove_log_sink();
        log_all();
        // The sink is gone, and with it the sender: what it got is complete.
        let texts: Vec<String> = received.iter().map(|record| record.text).collect();
        assert_eq!(texts, expected, "{level:?}");
    }
}
