//! The rules, one function each: they report what is wrong and never repeat the value.

#![allow(dead_code, reason = "which of the rules are in use is the contract's choice")]

use unicode_normalization::is_nfc;
use url::Host;

use super::{FieldPath, Violations};
use crate::text::is_plain;

type At<'a> = &'a FieldPath<'a>;

pub(super) fn missing(at: At<'_>, found: &mut Violations) {
    found.add(at, "required", "must be set");
}

/// Only [plain](is_plain) characters, and NFC: what is shown, compared or stored as a name has one form only.
pub(super) fn clean_text(value: &str, at: At<'_>, found: &mut Violations) {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return;
    }
    if !value.chars().all(is_plain) {
        let asked = "must not contain control characters, nor any that hide or turn the text around";
        found.add(at, "text.control", asked);
    }
    if !is_nfc(value) {
        found.add(at, "text.nfc", "must be in Unicode normalisation form C");
    }
}

pub(super) fn no_nul(value: &str, at: At<'_>, found: &mut Violations) {
    if value.contains('\0') {
        found.add(at, "text.nul", "must not contain NUL");
    }
}

/// Lengths of text are in characters (Unicode scalar values), as in `buf.validate`.
pub(super) fn string_min_len(value: &str, min: u64, at: At<'_>, found: &mut Violations) {
    if is_shorter(value.chars().count(), min) {
        found.add(at, "string.min_len", format_args!("must have at least {min} characters"));
    }
}

pub(super) fn string_max_len(value: &str, max: u64, at: At<'_>, found: &mut Violations) {
    if is_longer(value.chars().count(), max) {
        found.add(at, "string.max_len", format_args!("must have at most {max} characters"));
    }
}

pub(super) fn string_max_bytes(value: &str, max: u64, at: At<'_>, found: &mut Violations) {
    if is_longer(value.len(), max) {
        found.add(at, "string.max_bytes", format_args!("must have at most {max} bytes"));
    }
}

pub(super) fn email(value: &str, at: At<'_>, found: &mut Violations) {
    if !is_email(value) {
        found.add(at, "string.email", "must be an e-mail address");
    }
}

pub(super) fn uuid(value: &str, at: At<'_>, found: &mut Violations) {
    if !is_uuid(value) {
        found.add(at, "string.uuid", "must be a UUID of 36 characters");
    }
}

pub(super) fn bytes_min_len(len: usize, min: u64, at: At<'_>, found: &mut Violations) {
    if is_shorter(len, min) {
        found.add(at, "bytes.min_len", format_args!("must have at least {min} bytes"));
    }
}

pub(super) fn bytes_max_len(len: usize, max: u64, at: At<'_>, found: &mut Violations) {
    if is_longer(len, max) {
        found.add(at, "bytes.max_len", format_args!("must have at most {max} bytes"));
    }
}

pub(super) fn bytes_len(len: usize, wanted: u64, at: At<'_>, found: &mut Violations) {
    if is_shorter(len, wanted) || is_longer(len, wanted) {
        found.add(at, "bytes.len", format_args!("must have exactly {wanted} bytes"));
    }
}

pub(super) fn uint_gte(value: u64, min: u64, at: At<'_>, found: &mut Violations) {
    if value < min {
        found.add(at, "uint.gte", format_args!("must be at least {min}"));
    }
}

pub(super) fn uint_lte(value: u64, max: u64, at: At<'_>, found: &mut Violations) {
    if value > max {
        found.add(at, "uint.lte", format_args!("must be at most {max}"));
    }
}

pub(super) fn known<E: TryFrom<i32>>(value: i32, at: At<'_>, found: &mut Violations) {
    if E::try_from(value).is_err() {
        found.add(at, "enum.defined_only", "must be a value that the contract defines");
    }
}

pub(super) fn not_in(value: i32, refused: &[i32], at: At<'_>, found: &mut Violations) {
    if refused.contains(&value) {
        found.add(at, "enum.not_in", "must be one of the values that are allowed here");
    }
}

pub(super) fn min_items(len: usize, min: u64, at: At<'_>, found: &mut Violations) {
    if is_shorter(len, min) {
        found.add(at, "repeated.min_items", format_args!("must have at least {min} items"));
    }
}

pub(super) fn max_items(len: usize, max: u64, at: At<'_>, found: &mut Violations) {
    if is_longer(len, max) {
        found.add(at, "repeated.max_items", format_args!("must have at most {max} items"));
    }
}

fn is_shorter(len: usize, min: u64) -> bool {
    u64::try_from(len).is_ok_and(|len| len < min)
}

fn is_longer(len: usize, max: u64) -> bool {
    u64::try_from(len).map_or(true, |len| len > max)
}

/// The 36 characters of RFC 9562, section 4, in either case: not the braced, `urn:` or bare forms.
pub(crate) fn is_uuid(value: &str) -> bool {
    value.len() == 36
        && value.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// A mailbox of RFC 5321 without quoted local parts, comments and address literals, at a domain of at
/// least two labels: ASCII, or one that IDNA turns into ASCII.
fn is_email(value: &str) -> bool {
    let Some((local, domain)) = value.split_once('@') else { return false };
    // RFC 5321, 4.5.3.1.1 and 4.5.3.1.3: 64 octets of local part, 254 of address (a path has 256).
    value.len() <= 254 && local.len() <= 64 && local.split('.').all(is_atom) && is_domain(domain)
}

/// An `Atom` of RFC 5322, 3.2.3.
fn is_atom(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
}

fn is_domain(domain: &str) -> bool {
    if domain.is_ascii() {
        return is_ascii_domain(domain);
    }
    // `Host` undoes percent-encoding, which has no place in an address.
    !domain.contains('%')
        && matches!(Host::parse(domain), Ok(Host::Domain(domain)) if is_ascii_domain(&domain))
}

/// RFC 1123, 2.1, and RFC 1035, 2.3.4. The last label is not a number, or it might be an IPv4 address.
fn is_ascii_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 253
        && domain.split('.').all(is_label)
        && domain.rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|byte| byte.is_ascii_digit()))
}
