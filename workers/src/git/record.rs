//! What git did in a run, as it wrote it down itself: the `event` format of Trace2 (git's
//! `Documentation/technical/api-trace2`), of which only the start of each process is read.
//!
//! Over `https`, it is the server that chooses how git fetches: if it answers like a file server, git falls back to the
//! "dumb" protocol, for which no configuration checks objects (`fetch.fsckObjects`), and which none forbids. What lies
//! on the disk thereafter looks the same. But the pack goes through `git index-pack` in either case, and is checked
//! if that is told to. `fetch --depth` would refuse the dumb protocol too, but makes git walk the whole history at each
//! fetch, and accept from the server where that history ends.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use serde::Deserialize;

use crate::sandbox::Command;

/// The largest record that is believed. One of a fetch has some 20 KiB, whatever is fetched.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// By which options `git index-pack` checks objects; a list of exceptions may follow.
const CHECKS: [&str; 2] = ["--strict", "--fsck-objects"];

/// A line of a record.
#[derive(Deserialize)]
struct Event {
    event: String,
    #[serde(default)]
    argv: Vec<String>,
}

/// Makes a run write its record to a file, whose path is absolute.
pub fn keep(command: &mut Command, path: &Path) {
    command.environment.push(("GIT_TRACE2_EVENT".to_owned(), path.into()));
}

/// How many packs git took in and checked; none if it took in one that it did not check, or if the record cannot be
/// understood.
///
/// # Errors
/// If the record is not there, or cannot be read.
pub fn checked_packs(path: &Path) -> io::Result<Option<usize>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Ok(None);
    }
    Ok(count_checked(&String::from_utf8_lossy(&bytes)))
}

fn count_checked(record: &str) -> Option<usize> {
    let mut count = 0;
    for line in record.lines() {
        let Event { event, argv } = serde_json::from_str(line).ok()?;
        if event != "start" || !argv.iter().any(|argument| argument == "index-pack") {
            continue;
        }
        let is_checked = argv.iter().any(|argument| {
            let option = argument.split_once('=').map_or(argument.as_str(), |(option, _)| option);
            CHECKS.contains(&option)
        });
        if !is_checked {
            return None;
        }
        count += 1;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::count_checked;

    const FETCH: &str = r#"{"event":"start","sid":"1","argv":["git","--git-dir","/a","fetch","--strict"]}"#;
    const CHECKED: &str =
        r#"{"event":"start","sid":"1/2","argv":["/b/git","index-pack","--stdin","--strict=x=ignore"]}"#;
    const UNCHECKED: &str =
        r#"{"event":"start","sid":"1/3","argv":["/b/git","index-pack","--stdin","--strictly"]}"#;
    const CHILD: &str = r#"{"event":"child_start","sid":"1","argv":["git","index-pack","--stdin"]}"#;

    #[test]
    fn counts_the_packs_that_were_checked() {
        for (lines, count) in [
            (&[][..], Some(0)),
            (&[FETCH, CHILD], Some(0)),
            (&[FETCH, CHILD, CHECKED], Some(1)),
            (&[CHECKED, CHECKED], Some(2)),
            (&[CHECKED, UNCHECKED], None),
            (&[UNCHECKED, CHECKED], None),
            (&[CHECKED, "{"], None),
        ] {
            assert_eq!(count_checked(&lines.join("\n")), count, "{lines:?}");
        }
    }
}
