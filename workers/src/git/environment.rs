//! What git sees of the world: a fixed environment, and configuration that no file can change.
//!
//! Each entry closes a way by which a repository, a server or this machine's set-up could make git run
//! something, write somewhere or ask somebody. git ignores the keys that are newer than itself.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

/// Variables which are the same for every run.
const VARIABLES: [(&str, &str); 17] = [
    ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ("HOME", "/nonexistent"),
    ("LANG", "C.UTF-8"),
    ("TZ", "UTC"),
    ("XDG_CONFIG_HOME", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_SYSTEM", "/dev/null"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "/bin/false"),
    ("SSH_ASKPASS", "/bin/false"),
    // No ssh before there are deploy keys and known hosts to run it with.
    ("GIT_SSH_COMMAND", "/bin/false"),
    ("GIT_PROTOCOL_FROM_USER", "0"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
];

/// Configuration which is the same for every run. Given by the environment, it overrides every file.
const CONFIGURATION: [(&str, &str); 31] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "false"),
    ("core.protectHFS", "true"),
    ("core.protectNTFS", "true"),
    ("core.useReplaceRefs", "false"),
    ("core.alternateRefsCommand", "exit 0 #"),
    ("core.fsync", "objects,derived-metadata,reference"),
    ("credential.helper", ""),
    ("safe.bareRepository", "explicit"),
    ("protocol.version", "2"),
    ("transfer.fsckObjects", "true"),
    ("fetch.fsckObjects", "true"),
    // Harmless faults of old commits which many well-known repositories have.
    ("fetch.fsck.badTimezone", "ignore"),
    ("fetch.fsck.missingSpaceBeforeDate", "ignore"),
    ("fetch.fsck.zeroPaddedFilemode", "ignore"),
    ("transfer.credentialsInUrl", "die"),
    ("transfer.bundleURI", "false"),
    ("fetch.uriProtocols", ""),
    ("promisor.acceptFromServer", "none"),
    ("fetch.recurseSubmodules", "no"),
    ("submodule.recurse", "false"),
    ("fetch.unpackLimit", "1"),
    // What bounds memory: threads, of which git has up to 20 on a large machine, and the size from which on a file that
    // is no delta is checked piece by piece.
    ("pack.threads", "2"),
    ("core.bigFileThreshold", "64m"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "30"),
    ("init.templateDir", ""),
];

/// The whole environment of one run, in which git may speak `protocol` only. `pin` is the value of
/// `http.curloptResolve`; `alternate_objects` is a further place to read objects from.
pub(super) fn environment(
    protocol: &str,
    pin: Option<&str>,
    alternate_objects: Option<&Path>,
) -> Vec<(String, OsString)> {
    let mut environment: Vec<(String, OsString)> =
        VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    environment.push(("GIT_ALLOW_PROTOCOL".to_owned(), protocol.into()));
    if let Some(path) = alternate_objects {
        environment.push(("GIT_ALTERNATE_OBJECT_DIRECTORIES".to_owned(), quoted(path)));
    }
    let configuration = CONFIGURATION.iter().copied().chain(pin.map(|pin| ("http.curloptResolve", pin)));
    let mut count: usize = 0;
    for (key, value) in configuration {
        environment.push((format!("GIT_CONFIG_KEY_{count}"), key.into()));
        environment.push((format!("GIT_CONFIG_VALUE_{count}"), value.into()));
        count += 1;
    }
    environment.push(("GIT_CONFIG_COUNT".to_owned(), count.to_string().into()));
    environment
}

/// A path as one entry of a colon-separated list: git reads an entry that begins with a quotation mark as
/// a C string (git(1), `GIT_ALTERNATE_OBJECT_DIRECTORIES`).
fn quoted(path: &Path) -> OsString {
    let mut bytes = vec![b'"'];
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}
