//! Progress bars and QR codes, as `hsync` shows them.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use qrcode::{EcLevel, QrCode, render::unicode::Dense1x2};

use crate::{
    jobs::{Job, JobPhase, JobProgress, JobState},
    previews::{OpenProgress, PublishPhase, PublishProgress},
};

const TICK: Duration = Duration::from_millis(100);

/// A progress bar on standard error. Shows nothing unless that is a terminal.
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar that says what goes on.
    pub fn new(label: &str) -> Self {
        let bar = ProgressBar::new_spinner();
        bar.set_message(label.to_owned());
        bar.enable_steady_tick(TICK);
        Self(bar)
    }

    /// A bar that is never shown.
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// Shows a job as it stands.
    pub fn job(&self, job: &Job) {
        match (job.state, &job.progress) {
            (JobState::Running, Some(progress)) => self.job_progress(progress),
            (JobState::Queued, _) => {
                self.0.set_message(retry(job).unwrap_or_else(|| "waits for a worker".to_owned()));
            }
            (JobState::Cancelling, _) => self.0.set_message("stops"),
            _ => {}
        }
    }

    fn job_progress(&self, progress: &JobProgress) {
        let label = match progress.phase {
            JobPhase::Preparing => "prepares",
            JobPhase::Counting => "counts objects",
            JobPhase::Receiving => "receives objects",
            JobPhase::Resolving => "resolves deltas",
            JobPhase::Verifying => "verifies",
            JobPhase::Publishing => "puts in place",
            JobPhase::Unknown => "works",
        };
        self.show(label, progress.done, progress.total, progress.bytes);
    }

    /// Shows how far publishing is.
    pub fn publish(&self, progress: &PublishProgress) {
        let label = match progress.phase {
            PublishPhase::Hashing => "hashes files",
            PublishPhase::Uploading => "uploads",
            PublishPhase::Verifying => "verifies",
        };
        self.show(label, progress.files_done, progress.files_total, progress.bytes_done);
    }

    /// Shows how far a download is.
    pub fn open(&self, progress: &OpenProgress) {
        self.show("downloads", progress.files_done, progress.files_total, progress.bytes_done);
    }

    /// Takes the bar off the terminal.
    pub fn finish(&self) {
        self.0.finish_and_clear();
    }

    fn show(&self, label: &str, done: u64, total: u64, bytes: u64) {
        let size = if bytes > 0 { format!(", {}", indicatif::HumanBytes(bytes)) } else { String::new() };
        self.0.set_message(format!("{label}{size}"));
        let known = self.0.length().is_some();
        if total > 0 && !known {
            self.0.set_style(style("{spinner} {bar:30} {pos}/{len} {msg}"));
        } else if total == 0 && known {
            self.0.unset_length();
            self.0.set_style(style("{spinner} {pos} {msg}"));
        }
        if total > 0 {
            self.0.set_length(total);
        }
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.finish();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// How often a job has failed that is tried again; `None` of any other.
pub fn retry(job: &Job) -> Option<String> {
    let times = match (job.state, job.attempts) {
        (JobState::Queued, 1) => "once".to_owned(),
        (JobState::Queued, 2) => "twice".to_owned(),
        (JobState::Queued, attempts @ 3..) => format!("{attempts} times"),
        _ => return None,
    };
    Some(format!("failed {times} and is tried again"))
}

/// A text as a QR code for a terminal with a dark background; `None` if it is too long for one.
pub fn qr_code(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    Some(code.render::<Dense1x2>().dark_color(Dense1x2::Dark).light_color(Dense1x2::Light).build())
}

#[cfg(test)]
mod tests {
    use super::qr_code;

    #[test]
    fn a_code_is_as_wide_as_it_is_high() {
        let code = qr_code("hsp_0123456789").unwrap_or_default();
        let width = code.lines().next().map_or(0, |line| line.chars().count());
        // Two modules share a character cell, one above the other.
        assert_eq!(code.lines().count(), width.div_ceil(2));
        assert_eq!(qr_code(&"x".repeat(5_000)), None);
    }
}
