//! Which mirrors there are, whether or not anybody knows of them.

use std::{fs, path::Path};

use crate::base::ids::ProjectId;

/// The most mirrors that are named at a time.
const NAMED_MAX: usize = 1_000;

/// The projects whose mirrors stand in `repos` and whose identifiers end with the byte `last`, which is random. At
/// most 1,000, in no order. Blocks.
pub fn standing(repos: &Path, last: u8) -> Vec<ProjectId> {
    // What cannot be read now is read another time.
    let entries = fs::read_dir(repos).into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<ProjectId>().ok());
    ids.filter(|id| id.0.as_bytes().last() == Some(&last)).take(NAMED_MAX).collect()
}
