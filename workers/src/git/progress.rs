//! git's progress lines, turned into ours.

use hivesync_proto::v1::{JobPhase, JobProgress};

/// Reads a line that git prints with `--progress`, such as
/// `Receiving objects:  42% (21/50), 1.20 MiB | 600.00 KiB/s`; none if it is something else.
#[must_use]
pub fn parse(line: &[u8]) -> Option<JobProgress> {
    let line = std::str::from_utf8(line).ok()?.trim();
    let (title, rest) = line.strip_prefix("remote: ").unwrap_or(line).split_once(':')?;
    let phase = match title {
        "Enumerating objects" | "Counting objects" | "Compressing objects" => JobPhase::Counting,
        "Receiving objects" => JobPhase::Receiving,
        "Resolving deltas" | "Indexing objects" => JobPhase::Resolving,
        "Checking connectivity" | "Checking objects" => JobPhase::Verifying,
        _ => return None,
    };
    let (done, total) = counts(rest)?;
    Some(JobProgress { phase: phase.into(), done, total, bytes: bytes(rest).unwrap_or_default() })
}

/// `42% (21/50)`, or a bare count while the total is unknown.
fn counts(rest: &str) -> Option<(u64, u64)> {
    if let Some((_, fraction)) = rest.split_once('(') {
        let (done, total) = fraction.split_once(')')?.0.split_once('/')?;
        return Some((done.parse().ok()?, total.parse().ok()?));
    }
    let count = rest.trim_start().split([',', ' ']).next()?;
    Some((count.parse().ok()?, 0))
}

/// `, 1.20 MiB |` or `, 512 bytes |`.
fn bytes(rest: &str) -> Option<u64> {
    let mut words = rest.split_once("),")?.1.split_ascii_whitespace();
    let number: f64 = words.next()?.parse().ok()?;
    let unit = match words.next()?.trim_end_matches(',') {
        "bytes" | "byte" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    // The cast saturates; a progress figure needs no more.
    Some((number * unit) as u64)
}

#[cfg(test)]
mod tests {
    use hivesync_proto::v1::{JobPhase, JobProgress};

    use super::parse;

    fn progress(phase: JobPhase, done: u64, total: u64, bytes: u64) -> Option<JobProgress> {
        Some(JobProgress { phase: phase.into(), done, total, bytes })
    }

    #[test]
    fn reads_what_git_prints() {
        for (line, expected) in [
            ("remote: Enumerating objects: 7, done.", progress(JobPhase::Counting, 7, 0, 0)),
            ("remote: Counting objects:  33% (1/3)        ", progress(JobPhase::Counting, 1, 3, 0)),
            ("Receiving objects:  50% (1/2)", progress(JobPhase::Receiving, 1, 2, 0)),
            (
                "Receiving objects:  42% (21/50), 1.50 KiB | 600.00 KiB/s",
                progress(JobPhase::Receiving, 21, 50, 1536),
            ),
            (
                "Receiving objects: 100% (3/3), 229 bytes | 229.00 KiB/s, done.",
                progress(JobPhase::Receiving, 3, 3, 229),
            ),
            ("Resolving deltas: 100% (1/1), done.", progress(JobPhase::Resolving, 1, 1, 0)),
            ("Checking connectivity: 12", progress(JobPhase::Verifying, 12, 0, 0)),
        ] {
            assert_eq!(parse(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn takes_no_notice_of_anything_else() {
        for line in [
            "",
            "remote: hello (1/2)",
            "Receiving objects: x",
            "Receiving objects: 1% (1/",
            "fatal: no",
            "a: (9/9)",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
        assert_eq!(parse(b"Receiving objects: \xff"), None);
    }
}
