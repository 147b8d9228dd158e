//! What is printed: text for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use hivesync::terminal::Progress;
use serde::Serialize;
use serde_json::json;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    failure::{Failure, Result},
    text::{Cell, Style, Text, neutral_json},
};

/// Where results go.
#[derive(Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether programs read the output.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Whether a person looks at standard output.
    pub(crate) fn is_terminal(self) -> bool {
        !self.json && io::stdout().is_terminal()
    }

    /// Prints a result: as one JSON document on a line, or as `show` writes it.
    pub(crate) fn result<T: Serialize>(self, result: &T, show: impl FnOnce(&T, &mut Text)) -> Result<()> {
        let shown = if self.json {
            let document = serde_json::to_string(result).map_err(io::Error::from)?;
            neutral_json(&document) + "\n"
        } else {
            let mut text = Text::new(is_coloured(self.is_terminal()));
            show(result, &mut text);
            text.into_string()
        };
        self.bytes(shown.as_bytes())
    }

    /// Prints bytes as they are.
    ///
    /// # Errors
    ///
    /// `ReaderGone` if the reader has had enough.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
            Err(error) => Err(error.into()),
        }
    }

    /// Says on standard error why a command failed, and what to do next.
    pub(crate) fn failure(self, failure: &Failure) {
        let reason = failure.reason();
        let correlation_id = failure.client_error().and_then(|error| error.correlation_id());
        let shown = if self.json {
            let document = json!({"error": {
                "code": failure.code(),
                "reason": reason,
                "message": failure.to_string(),
                "next": failure.advice(),
                "correlation_id": correlation_id,
            }});
            neutral_json(&document.to_string()) + "\n"
        } else {
            let mut text = Text::new(is_coloured(io::stderr().is_terminal()));
            text.parts([Cell::styled(Style::Bad, "error:"), Cell::from(format!(" {failure}"))]);
            if let Some(advice) = failure.advice() {
                text.parts([Cell::styled(Style::Notice, "next:"), Cell::from(format!("  {advice}"))]);
            }
            if let Some(id) = correlation_id {
                text.line(Cell::styled(Style::Faint, format!("(correlation ID {id})")));
            }
            text.into_string()
        };
        // There is nowhere left to say that standard error is gone.
        let _ = io::stderr().write_all(shown.as_bytes());
    }

    /// Says something on the way to whoever does not see the progress bar.
    pub(crate) fn note(self, line: &str) {
        if !self.json && !io::stderr().is_terminal() {
            let mut text = Text::new(false);
            text.line(line);
            // There is nowhere left to say that standard error is gone.
            let _ = io::stderr().write_all(text.into_string().as_bytes());
        }
    }

    /// A progress bar, unless programs read the output.
    pub(crate) fn progress(self, label: &str) -> Progress {
        if self.json { Progress::hidden() } else { Progress::new(label) }
    }
}

/// Whose log says how a call went.
const LOGGED: [&str; 3] = ["hivesync", "hyper_util", "tonic"];

/// Says on standard error what goes on.
pub(crate) fn show_log() {
    let coloured = is_coloured(io::stderr().is_terminal());
    let logged = Targets::new().with_targets(LOGGED.map(|name| (name, LevelFilter::DEBUG)));
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(coloured).with_filter(logged);
    tracing_subscriber::registry().with(lines).init();
}

/// Whether colours are wanted on a terminal (<https://no-color.org>).
#[allow(clippy::disallowed_methods, reason = "the environment alone says what a person's terminal shows")]
fn is_coloured(is_terminal: bool) -> bool {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    is_terminal && !no_color && !dumb
}
