//! The front door: what the server does for those who may, and what it answers those who may not. One file per
//! slice, each test on both back ends.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests make their own identifiers")]

mod auth;
mod bounds;
mod browsers;
mod edge;
mod jobs;
mod notifications;
mod operators;
mod previews;
mod projects;
mod races;
mod teams;
mod tokens;
mod workers;

/// Paths that must not be taken anywhere.
const BAD_PATHS: [&str; 24] = [
    "..",
    "../etc/passwd",
    "a/../b",
    "a/./b",
    "./a",
    "/etc/passwd",
    "a//b",
    "a/",
    "a\\b",
    "C:\\windows",
    "a\0b",
    "a\nb",
    "cafe\u{301}",
    "a\u{202e}gpj.exe",
    "a\u{200b}b",
    "con",
    "aux.txt",
    "NUL",
    "a/COM1.log",
    ".git",
    ".git/config",
    "a/.GIT/hooks",
    "git~1/config",
    ".g\u{200c}it/config",
];
