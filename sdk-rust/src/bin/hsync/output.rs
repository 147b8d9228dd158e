//! What is printed: text for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use hivesync::terminal::Progress;
use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, Result};

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

    /// Prints a result: as one JSON document, or as `text` shows it.
    pub(crate) fn result<T: Serialize>(self, result: &T, text: impl FnOnce(&T) -> String) -> Result<()> {
        let mut shown =
            if self.json { serde_json::to_string(result).map_err(io::Error::from)? } else { text(result) };
        if !shown.is_empty() && !shown.ends_with('\n') {
            shown.push('\n');
        }
        self.bytes(shown.as_bytes())
    }

    /// Prints bytes as they are. A reader that has had enough is no failure.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Says on standard error why a command failed.
    pub(crate) fn failure(self, failure: &Failure) {
        let client = failure.client_error();
        let reason = client.and_then(|error| error.reason());
        let reason = reason.map(|reason| reason.as_str_name().trim_start_matches("ERROR_REASON_"));
        let correlation_id = client.and_then(|error| error.correlation_id());
        let shown = if self.json {
            json!({"error": {
                "code": failure.code(),
                "reason": reason,
                "message": failure.to_string(),
                "correlation_id": correlation_id,
            }})
            .to_string()
        } else {
            let (red, plain) = if io::stderr().is_terminal() { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
            let id = correlation_id.map(|id| format!("\n(correlation ID {id})")).unwrap_or_default();
            format!("{red}error:{plain} {failure}{id}")
        };
        // There is nowhere left to say that standard error is gone.
        let _ = writeln!(io::stderr(), "{shown}");
    }

    /// A progress bar, unless programs read the output.
    pub(crate) fn progress(self, label: &str) -> Progress {
        if self.json { Progress::hidden() } else { Progress::new(label) }
    }
}

/// Rows as columns of equal width.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS).map(|column| width(column).unwrap_or_default()).collect();
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
