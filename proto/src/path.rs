//! Repository paths: the one form in which a path from a repository, a bundle or a request is used.

use std::{borrow::Borrow, fmt};

use unicode_normalization::{UnicodeNormalization as _, is_nfc};

use crate::text::is_invisible;

/// The longest path, in bytes of UTF-8.
pub const PATH_BYTES_MAX: usize = 512;
/// The deepest path, in components.
pub const PATH_DEPTH_MAX: usize = 32;

/// A path that names the same file, inside its root, on every system that HiveSync's clients run on.
///
/// It is relative, in NFC, separated by `/`, and has no component that Windows, macOS or git treats
/// specially. Ordered by bytes. Its `Debug` form hides it: paths do not belong in logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath(String);

impl RepositoryPath {
    /// Takes a path that keeps every rule, unchanged; nothing is ever repaired.
    ///
    /// # Errors
    /// The first rule that the path breaks.
    pub fn parse(path: &str) -> Result<Self, PathError> {
        if path.is_empty() {
            return Err(PathError::Empty);
        }
        if path.len() > PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        path.chars().try_for_each(check_char)?;
        if !is_nfc(path) {
            return Err(PathError::NotNormalized);
        }
        if path.split('/').count() > PATH_DEPTH_MAX {
            return Err(PathError::TooDeep);
        }
        path.split('/').try_for_each(check_component)?;
        Ok(Self(path.to_owned()))
    }

    /// Like [`parse`](Self::parse), for bytes such as those of a git tree.
    ///
    /// # Errors
    /// [`PathError::NotUtf8`], or the first rule that the path breaks.
    pub fn from_bytes(path: &[u8]) -> Result<Self, PathError> {
        Self::parse(std::str::from_utf8(path).map_err(|_| PathError::NotUtf8)?)
    }

    /// The path, as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names along the path; at least one.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }
}

impl fmt::Debug for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RepositoryPath(..)")
    }
}

impl AsRef<str> for RepositoryPath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for RepositoryPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The rule that a path breaks. The text is public and does not repeat the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PathError {
    /// There is no path.
    #[error("a path must not be empty")]
    Empty,
    /// It has more than [`PATH_BYTES_MAX`] bytes.
    #[error("a path has at most {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It has more than [`PATH_DEPTH_MAX`] components.
    #[error("a path has at most {PATH_DEPTH_MAX} components")]
    TooDeep,
    /// It is not UTF-8.
    #[error("a path must be UTF-8")]
    NotUtf8,
    /// It is not in NFC.
    #[error("a path must be in Unicode normalisation form C")]
    NotNormalized,
    /// It starts with `/`.
    #[error("a path must be relative")]
    Absolute,
    /// It has an empty component.
    #[error("a path must not have empty components")]
    EmptyComponent,
    /// It has a component `.` or `..`.
    #[error("a path must not have the components `.` and `..`")]
    DotComponent,
    /// It has a backslash.
    #[error("a path is separated by `/` and has no backslash")]
    Backslash,
    /// It has a control character or a line separator.
    #[error("a path must not have control characters")]
    Control,
    /// It has a bidirectional control, a zero-width or another invisible character.
    #[error("a path must not have invisible characters")]
    Invisible,
    /// It has a private-use character or a noncharacter.
    #[error("a path must not have private-use characters")]
    PrivateUse,
    /// It has one of `< > : " | ? *`, which Windows reserves.
    #[error("a path must not have any of the characters < > : \" | ? *")]
    ReservedCharacter,
    /// It has a component that is a device on Windows, such as `CON` or `nul.txt`.
    #[error("a path must not have a component that is a device on Windows")]
    ReservedName,
    /// It has a component that ends with a dot or a space, which Windows drops.
    #[error("a component of a path must not end with a dot or a space")]
    TrailingDotOrSpace,
    /// It has a component that some file system takes for `.git`.
    #[error("a path must not lead into a git directory")]
    GitDirectory,
}

/// NFKC and case folding, until neither changes anything: how APFS, HFS+ and NTFS, and readers of the
/// screen, may take two names for one. Upper-casing first joins what has several lower-case forms, such
/// as final sigma and long s.
pub(crate) fn fold(name: &str) -> String {
    if name.is_ascii() {
        return name.to_ascii_lowercase();
    }
    let once = |name: &str| -> String {
        name.nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
    };
    once(&once(name))
}

fn check_char(letter: char) -> Result<(), PathError> {
    match letter {
        '\\' => Err(PathError::Backslash),
        '<' | '>' | ':' | '"' | '|' | '?' | '*' => Err(PathError::ReservedCharacter),
        '\u{2028}' | '\u{2029}' => Err(PathError::Control),
        letter if letter.is_ascii() && !letter.is_ascii_control() => Ok(()),
        letter if letter.is_control() => Err(PathError::Control),
        letter if is_invisible(letter) => Err(PathError::Invisible),
        letter if is_private_use(letter) => Err(PathError::PrivateUse),
        _ => Ok(()),
    }
}

/// General category Co, and the noncharacters (The Unicode Standard, 23.5 and 23.7).
fn is_private_use(letter: char) -> bool {
    matches!(letter,
        '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(letter) & 0xfffe == 0xfffe
}

/// Judges a component by its folded form, so that no look-alike passes.
fn check_component(component: &str) -> Result<(), PathError> {
    let folded = fold(component);
    match folded.as_str() {
        "" => return Err(PathError::EmptyComponent),
        "." | ".." => return Err(PathError::DotComponent),
        _ => {}
    }
    if is_git_directory(&folded) {
        return Err(PathError::GitDirectory);
    }
    if is_windows_device(&folded) {
        return Err(PathError::ReservedName);
    }
    if folded.ends_with(['.', ' ']) {
        return Err(PathError::TrailingDotOrSpace);
    }
    Ok(())
}

/// `.git` and its short names on NTFS, `git~1` and so on, behind which Windows drops dots and spaces.
fn is_git_directory(folded: &str) -> bool {
    let name = folded.trim_end_matches(['.', ' ']);
    let is_short_name = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    name == ".git" || name.strip_prefix("git~").is_some_and(is_short_name)
}

/// The names that Windows gives to devices in every directory and under every extension (Microsoft
/// Learn, "Naming Files, Paths, and Namespaces"). Folding has made digits of the superscripts.
fn is_windows_device(folded: &str) -> bool {
    let stem = folded.split('.').next().unwrap_or_default().trim_end_matches(' ');
    let is_port = |number: &str| number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit());
    matches!(stem, "con" | "prn" | "aux" | "nul" | "conin$" | "conout$" | "clock$")
        || stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt")).is_some_and(is_port)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn accepts_ordinary_paths_unchanged() {
        let longest = "a/".repeat(PATH_DEPTH_MAX - 1) + "b";
        let paths = [
            "a",
            "README.md",
            "src/main.rs",
            ".gitignore",
            ".gitmodules",
            ".github/workflows/ci.yml",
            "a b/c d.txt",
            ".env",
            "...a",
            "git",
            "git~",
            "git~x",
            "a.git",
            ".gitx",
            "console",
            "com",
            "com10",
            "lpt",
            "null.txt",
            "auxiliary",
            "conf/nul_.txt",
            "東京/写真.png",
            "Ångström.md",
            "naïve/😀.txt",
            "a：b",
            "~",
            "-rf",
            "$HOME",
            "%2e%2e",
            longest.as_str(),
        ];
        for path in paths {
            assert_eq!(RepositoryPath::parse(path).as_ref().map(RepositoryPath::as_str), Ok(path));
        }
    }

    #[test]
    fn refuses_every_attack_for_its_reason() {
        use PathError::*;
        let (long, deep) = ("a".repeat(PATH_BYTES_MAX + 1), "a/".repeat(PATH_DEPTH_MAX) + "b");
        let table = [
            ("", Empty),
            (&long, TooLong),
            (&deep, TooDeep),
            ("/etc/passwd", Absolute),
            ("//host/share", Absolute),
            ("a//b", EmptyComponent),
            ("a/", EmptyComponent),
            (".", DotComponent),
            ("..", DotComponent),
            ("../a", DotComponent),
            ("a/../b", DotComponent),
            ("a/./b", DotComponent),
            ("a/..", DotComponent),
            ("\u{2025}/a", DotComponent),
            ("\u{ff0e}\u{ff0e}/a", DotComponent),
            ("a\\b", Backslash),
            ("..\\a", Backslash),
            ("\\\\host\\share", Backslash),
            ("a\0b", Control),
            ("a\nb", Control),
            ("a\rb", Control),
            ("a\x1bb", Control),
            ("a\x7fb", Control),
            ("a\u{85}b", Control),
            ("a\u{2028}b", Control),
            ("a\u{202e}gpj.exe", Invisible),
            ("a\u{2066}b", Invisible),
            ("a\u{200b}b", Invisible),
            ("a\u{200d}b", Invisible),
            ("\u{feff}a", Invisible),
            ("a\u{ad}b", Invisible),
            ("a\u{fe0f}", Invisible),
            ("a\u{e0041}", Invisible),
            ("a\u{61c}b", Invisible),
            ("a\u{3164}b", Invisible),
            ("a\u{e000}", PrivateUse),
            ("a\u{f8ff}", PrivateUse),
            ("a\u{100000}", PrivateUse),
            ("a\u{ffff}", PrivateUse),
            ("a\u{fdd0}", PrivateUse),
            ("e\u{301}", NotNormalized),
            ("\u{212b}", NotNormalized),
            ("C:/a", ReservedCharacter),
            ("C:a", ReservedCharacter),
            ("a:b", ReservedCharacter),
            ("a*", ReservedCharacter),
            ("a?", ReservedCharacter),
            ("<a>", ReservedCharacter),
            ("a|b", ReservedCharacter),
            ("a\"b", ReservedCharacter),
            (".git::$INDEX_ALLOCATION/config", ReservedCharacter),
            ("CON", ReservedName),
            ("con", ReservedName),
            ("a/NUL.txt", ReservedName),
            ("nul .txt", ReservedName),
            ("aux.tar.gz", ReservedName),
            ("PRN/x", ReservedName),
            ("COM1", ReservedName),
            ("COM\u{b9}", ReservedName),
            ("lpt\u{b2}.log", ReservedName),
            ("COM0", ReservedName),
            ("CONIN$", ReservedName),
            ("conout$.x", ReservedName),
            ("\u{ff23}ON", ReservedName),
            ("clock$", ReservedName),
            ("a.", TrailingDotOrSpace),
            ("a /b", TrailingDotOrSpace),
            ("a...", TrailingDotOrSpace),
            (" ", TrailingDotOrSpace),
            ("...", TrailingDotOrSpace),
            (".git", GitDirectory),
            (".git/config", GitDirectory),
            ("a/.GIT/hooks/post-checkout", GitDirectory),
            (".Git", GitDirectory),
            ("git~1", GitDirectory),
            ("GIT~1/config", GitDirectory),
            ("git~2", GitDirectory),
            (".git.", GitDirectory),
            (".git ", GitDirectory),
            (".git. .", GitDirectory),
            ("git~1.", GitDirectory),
            (".g\u{200c}it", Invisible),
            (".gi\u{200d}t/config", Invisible),
            ("\u{ff0e}git", GitDirectory),
            (".g\u{131}t", GitDirectory),
        ];
        for (path, reason) in table {
            assert_eq!(RepositoryPath::parse(path).err(), Some(reason), "{path:?}");
        }
    }

    #[test]
    fn refuses_bytes_that_are_not_utf8() {
        for bytes in [&b"a\xffb"[..], b"a\xc0\xaf..", b"\xed\xa0\x80"] {
            assert_eq!(RepositoryPath::from_bytes(bytes), Err(PathError::NotUtf8));
        }
        assert!(RepositoryPath::from_bytes("a/ü".as_bytes()).is_ok());
    }

    #[test]
    fn folds_what_a_file_system_may_take_for_one_name() {
        let pairs = [
            ("README.md", "readme.MD"),
            ("Straße", "STRASSE"),
            ("ﬁle", "FILE"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("ſ", "S"),
            ("①", "1"),
            ("Ａ", "a"),
            ("K", "k"),
        ];
        for (one, other) in pairs {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("a"), fold("b"));
    }

    #[test]
    fn judges_every_character_alike_wherever_it_stands() {
        // Without the ideographs and the Hangul syllables, which are many and all alike.
        let code_points = (0..0x3400).chain(0xd800..0x2_0000).chain(0xe_0000..0xe_1000);
        for letter in code_points.filter_map(char::from_u32).filter(|letter| *letter != '/') {
            let verdicts =
                [format!("x{letter}x"), format!("y/x{letter}x/z")].map(|path| RepositoryPath::parse(&path));
            assert_eq!(verdicts[0].is_ok(), verdicts[1].is_ok(), "{letter:?}");
            if let [Ok(path), _] = &verdicts {
                assert!(!letter.is_control());
                let folded = fold(path.as_str());
                assert_eq!(fold(&folded), folded, "{letter:?}");
            }
        }
    }

    #[test]
    fn hides_the_path_from_logs() {
        let path = RepositoryPath::parse("secret/plan.txt").unwrap();
        assert!(!format!("{path:?}").contains("secret"));
    }
}
