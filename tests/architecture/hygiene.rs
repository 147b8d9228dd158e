//! What no file of the repository may hold: the paths of somebody's machine, unfinished work, private keys.

use std::fs;

use crate::source::{repository, tracked};

/// Put together here, so that this file does not hold them itself.
fn forbidden() -> Vec<(String, &'static str)> {
    vec![
        (["/wo", "rk/"].concat(), "a path of one machine"),
        (["/ro", "ot/"].concat(), "a path of one machine"),
        (["/ho", "me/"].concat(), "a path of one machine"),
        (["/Use", "rs/"].concat(), "a path of one machine"),
        (["TO", "DO"].concat(), "unfinished work"),
        (["FIX", "ME"].concat(), "unfinished work"),
        (["<<<<", "<<< "].concat(), "an unresolved merge"),
        (["PRIVATE KEY", "-----"].concat(), "a private key"),
    ]
}

/// Why a text must not be kept, line by line.
fn faults(text: &str) -> Vec<String> {
    let forbidden = forbidden();
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| {
            forbidden
                .iter()
                .filter(|(words, _)| line.contains(words.as_str()) && !names_it_only(line))
                .map(move |(_, why)| format!("{}: {why}", index + 1))
        })
        .collect()
}

/// What `sdk-ffi/bindings` writes.
fn is_binding(name: &str) -> bool {
    ["hivesync_ffi.py", "hivesync_ffi.kt", "HiveSyncFFI.swift", "HiveSyncFFIFFI.h"]
        .iter()
        .any(|binding| name.starts_with("sdk-ffi/") && name.ends_with(binding))
}

/// Code that looks for private keys names their first line, in quotes.
fn names_it_only(line: &str) -> bool {
    line.contains("\"-----BEGIN")
}

#[test]
fn no_file_holds_what_it_must_not() {
    let mut found = Vec::new();
    for name in tracked("") {
        // Files of other people, and those that their programs write, keep their words.
        if name.starts_with("proto/buf/") || name == "Cargo.lock" || is_binding(&name) {
            continue;
        }
        if let Ok(text) = fs::read_to_string(repository().join(&name)) {
            found.extend(faults(&text).into_iter().map(|fault| format!("{name}:{fault}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn each_word_is_seen() {
    for (words, why) in forbidden() {
        assert_eq!(faults(&format!("first\n  {words}x")), [format!("2: {why}")]);
    }
}
