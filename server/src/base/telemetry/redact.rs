//! The last filter before a log line leaves the process.

use std::{borrow::Cow, sync::LazyLock};

use regex::{Captures, Regex};

/// What a secret is replaced with.
pub const MASK: &str = "***REDACTED***";

static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(
        r#"(?xi)
        (?P<jwt>   \b eyJ[\w-]{8,}\.[\w-]+\.[\w-]* )
      | (?P<token> \b hs[rp]_[\w-]{8,} | \b v4\.local\.[\w-]{8,} )
      | (?P<scheme>\b (?:bearer|basic|dpop)\s+ ) [\w.~+/=-]{8,}
      | (?P<url>   \b [a-z][a-z0-9+.-]*:// ) [^\s/@"']+ @
      | (?P<key>   \b (?:[\w-]*(?:api[_-]?key|secret|passw(?:or)?d|token|authorization|x-amz-signature|signature|credential)) \\*["']? \s* [=:] \s* \\*["']? (?:(?:bearer|basic|dpop)\s+)? ) [^\s"'&,}\\]{4,}
    "#,
    )
    .ok()
});

/// Masks JSON Web Tokens, bearer values, HiveSync's own tokens, credentials in URLs, and `key=value` pairs
/// whose key names a secret.
#[must_use]
pub fn redact(line: &str) -> Cow<'_, str> {
    let Some(secrets) = SECRETS.as_ref() else { return Cow::Borrowed(MASK) };
    secrets.replace_all(line, |found: &Captures<'_>| {
        let kept = ["scheme", "url", "key"].iter().find_map(|name| found.name(name));
        let tail = if found.name("url").is_some() { "@" } else { "" };
        format!("{}{MASK}{tail}", kept.map_or("", |kept| kept.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_wherever_they_stand() {
        for (line, secret) in [
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl from x", "eyJzdWIiOiIxIn0"),
            ("authorization: Bearer abcdefgh12345678", "abcdefgh12345678"),
            ("refresh hsr_AAAABBBBCCCCDDDD failed", "AAAABBBB"),
            ("preview v4.local.AAAABBBBCCCCDDDD", "AAAABBBB"),
            ("postgres://app:hunter2hunter2@db/x", "hunter2"),
            (r#"{"password":"hunter2hunter2"}"#, "hunter2"),
            // As it stands in a line of JSON, inside another field.
            (r#"{"cause":"{\"password\":\"hunter2hunter2\"}"}"#, "hunter2"),
            ("https://s3/x?X-Amz-Signature=deadbeefdeadbeef&a=b", "deadbeef"),
            ("api_key=abcd1234abcd", "abcd1234"),
            ("JWT_SECRET = abcd1234abcd", "abcd1234"),
        ] {
            let masked = redact(line);
            assert!(!masked.contains(secret), "{masked}");
            assert!(masked.contains(MASK), "{masked}");
        }
    }

    #[test]
    fn ordinary_lines_stay_as_they_are() {
        let line = r#"{"level":"INFO","event":"call.served","route":"hivesync.v1.AuthService/Login","ms":3}"#;
        assert_eq!(redact(line), line);
    }
}
