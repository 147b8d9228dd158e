//! Files that a person reviews: what they hold may only change on purpose.

use std::{env, fs, path::Path};

/// Compares `found` with the file of this name, from the root of the repository. With `HIVESYNC_TEST_BLESS=1`, writes
/// it.
#[track_caller]
pub(crate) fn assert_same(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    if env::var_os("HIVESYNC_TEST_BLESS").is_some() {
        fs::write(&path, found).expect("writable");
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    for (line, (kept, found)) in (1..).zip(kept.lines().zip(found.lines())) {
        assert_eq!(
            found, kept,
            "{name}:{line} differs; if that is meant, run again with HIVESYNC_TEST_BLESS=1"
        );
    }
    assert_eq!(
        found.lines().count(),
        kept.lines().count(),
        "{name} has another length; if that is meant, run again with HIVESYNC_TEST_BLESS=1"
    );
}
