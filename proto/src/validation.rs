//! The field rules of the contract, as code: one implementation of [`Validate`] for each message of
//! `hivesync.v1`, generated from its `buf.validate` annotations.
//!
//! Beyond what is annotated, every string but a password and a branch is of [plain](crate::text::is_plain)
//! characters and in NFC, and every enum value is one that the contract defines.

mod rule;

use std::fmt;

pub(crate) use rule::is_uuid;

/// How many violations are reported at the most; checking stops there.
pub const VIOLATIONS_MAX: usize = 20;

/// A field that breaks a rule of the contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where it is, such as `manifest.files[3].path`.
    pub field: String,
    /// The rule that it breaks, such as `string.max_bytes`.
    pub rule: &'static str,
    /// What is asked of the field. Never repeats the value.
    pub description: String,
}

/// Checks a message against the contract. Allocates nothing for a valid message of ASCII text.
///
/// # Errors
/// The violations in the order of the fields, at most [`VIOLATIONS_MAX`].
pub fn validate<M: Validate>(message: &M) -> Result<(), Vec<Violation>> {
    let mut found = Violations { list: Vec::new() };
    message.check(&FieldPath::ROOT, &mut found);
    if found.list.is_empty() { Ok(()) } else { Err(found.list) }
}

/// A message whose fields are under the rules of the contract.
pub trait Validate {
    /// Adds to `found` what is wrong with the message that is at `at`.
    fn check(&self, at: &FieldPath<'_>, found: &mut Violations);
}

/// What was found so far, bounded.
#[derive(Debug)]
pub struct Violations {
    list: Vec<Violation>,
}

impl Violations {
    fn is_full(&self) -> bool {
        self.list.len() >= VIOLATIONS_MAX
    }

    fn add(&mut self, at: &FieldPath<'_>, rule: &'static str, description: impl fmt::Display) {
        if !self.is_full() {
            self.list.push(Violation { field: at.to_string(), rule, description: description.to_string() });
        }
    }
}

/// The place of a field, as a chain through the stack: it costs nothing until it is printed.
#[derive(Clone, Copy, Debug)]
pub struct FieldPath<'a> {
    parent: Option<&'a FieldPath<'a>>,
    segment: Segment,
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Root,
    Name(&'static str),
    Index(usize),
}

impl FieldPath<'_> {
    const ROOT: FieldPath<'static> = FieldPath { parent: None, segment: Segment::Root };

    fn child(&self, name: &'static str) -> FieldPath<'_> {
        FieldPath { parent: Some(self), segment: Segment::Name(name) }
    }

    fn item(&self, index: usize) -> FieldPath<'_> {
        FieldPath { parent: Some(self), segment: Segment::Index(index) }
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            fmt::Display::fmt(parent, f)?;
        }
        let below_root = self.parent.is_none_or(|parent| matches!(parent.segment, Segment::Root));
        match self.segment {
            Segment::Root => Ok(()),
            Segment::Name(name) if below_root => f.write_str(name),
            Segment::Name(name) => write!(f, ".{name}"),
            Segment::Index(index) => write!(f, "[{index}]"),
        }
    }
}

#[allow(clippy::all, unused_qualifications, unused_parens, reason = "generated")]
mod generated {
    use super::{FieldPath, Validate, Violations, rule};

    include!(concat!(env!("OUT_DIR"), "/validation.rs"));
}
