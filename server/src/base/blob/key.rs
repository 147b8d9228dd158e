//! The names of objects.

use std::fmt;

use object_store::path::Path;

/// The name of an object: 128 random bits, which say nothing about what it holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectKey(u128);

impl ObjectKey {
    /// The name made of these random bytes.
    #[must_use]
    pub fn random(entropy: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(entropy))
    }

    /// Reads a name: exactly 32 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() != 32 || !text.bytes().all(is_digit) {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }

    /// Where the object stands: a folder for the first byte, so that no folder grows without end.
    pub(super) fn location(self) -> Path {
        let (folder, file) = self.parts();
        Path::from_iter([folder, file])
    }

    /// The folder and the file of the object.
    pub(super) fn parts(self) -> (String, String) {
        let name = self.to_string();
        let (folder, file) = name.split_at(2);
        (folder.to_owned(), file.to_owned())
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
