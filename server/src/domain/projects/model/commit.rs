//! Commits, as a log shows them.

use hivesync_proto::text::is_harmless;

use super::CommitId;
use crate::base::{clock::Timestamp, ids::ProjectId, page::PageRequest};

/// Parents of a commit that are looked at.
pub const PARENTS_MAX: usize = 64;
/// Characters of an author's name that are shown.
const NAME_CHARS_MAX: usize = 100;
/// Characters of the first line of a message that are shown.
const SUBJECT_CHARS_MAX: usize = 200;
/// Characters of the rest of a message that are shown.
const BODY_CHARS_MAX: usize = 2_000;
/// The last second that a message of the contract can name.
const SECS_MAX: i64 = 253_402_300_799;

/// The wish to see a commit and what it descends from.
#[derive(Clone, Debug)]
pub struct ListCommits {
    /// The project.
    pub project: ProjectId,
    /// The commit to begin with; none for the head of the default branch.
    pub commit: Option<CommitId>,
    /// The page wanted.
    pub page: PageRequest,
}

/// A page of commits.
#[derive(Clone, Debug)]
pub struct CommitPage {
    /// Newest first.
    pub commits: Vec<Commit>,
    /// Continues the list; empty at its end.
    pub next: String,
    /// The commit that the list begins with.
    pub commit: CommitId,
    /// Whether the list ends here although there is more.
    pub truncated: bool,
}

/// A commit as it is shown: its texts are harmless and short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The commit.
    pub id: CommitId,
    /// What it directly descends from; at most [`PARENTS_MAX`].
    pub parents: Vec<CommitId>,
    /// The name of its author; at most 100 characters.
    pub author_name: String,
    /// When it was written, if that is a time.
    pub authored_at: Option<Timestamp>,
    /// When it was made, if that is a time.
    pub committed_at: Option<Timestamp>,
    /// The first line of its message; at most 200 characters.
    pub subject: String,
    /// The rest of its message; at most 2,000 characters.
    pub body: String,
    /// Whether any of this was shortened.
    pub shortened: bool,
}

/// A commit as somebody wrote it.
#[derive(Clone, Copy, Debug)]
pub struct WrittenCommit<'a> {
    /// What it directly descends from.
    pub parents: &'a [CommitId],
    /// The name of its author.
    pub author_name: &'a [u8],
    /// When it was written, in seconds since 1970.
    pub authored_secs: Option<i64>,
    /// When it was made, in seconds since 1970.
    pub committed_secs: Option<i64>,
    /// Its message.
    pub message: &'a [u8],
}

impl Commit {
    /// What is shown of a commit.
    #[must_use]
    pub fn new(id: CommitId, written: WrittenCommit<'_>) -> Self {
        let message = written.message.trim_ascii();
        let line_end = message.iter().position(|byte| *byte == b'\n').unwrap_or(message.len());
        let (first, rest) = message.split_at_checked(line_end).unwrap_or((message, b""));
        let (author_name, name_cut) = shown(written.author_name.trim_ascii(), NAME_CHARS_MAX);
        let (subject, subject_cut) = shown(first.trim_ascii_end(), SUBJECT_CHARS_MAX);
        let (body, body_cut) = shown(rest.trim_ascii_start(), BODY_CHARS_MAX);
        let parents: Vec<CommitId> = written.parents.iter().take(PARENTS_MAX).copied().collect();
        Self {
            id,
            shortened: name_cut || subject_cut || body_cut || parents.len() < written.parents.len(),
            parents,
            author_name,
            authored_at: written.authored_secs.and_then(moment),
            committed_at: written.committed_secs.and_then(moment),
            subject,
            body,
        }
    }
}

fn moment(secs: i64) -> Option<Timestamp> {
    (0..=SECS_MAX).contains(&secs).then(|| Timestamp::from_secs(secs))
}

/// At most `chars_max` characters of a text, harmless ones, and whether there were more. Line ends are line
/// feeds.
pub fn shown(text: &[u8], chars_max: usize) -> (String, bool) {
    let invalid = |chunk: &[u8]| (!chunk.is_empty()).then_some(char::REPLACEMENT_CHARACTER);
    let letters = text.utf8_chunks().flat_map(|chunk| chunk.valid().chars().chain(invalid(chunk.invalid())));
    let mut letters = letters.peekable();
    let mut shown = String::new();
    for _ in 0..chars_max {
        match letters.next() {
            None => return (shown, false),
            Some('\r') if letters.peek() == Some(&'\n') => {}
            Some(letter) if is_harmless(letter) => shown.push(letter),
            Some(_) => shown.push(char::REPLACEMENT_CHARACTER),
        }
    }
    (shown, letters.peek().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(author_name: &[u8], message: &[u8]) -> Commit {
        let written = WrittenCommit {
            parents: &[],
            author_name,
            authored_secs: Some(1_700_000_000),
            committed_secs: Some(1_700_000_000),
            message,
        };
        Commit::new(CommitId([1; 20]), written)
    }

    #[test]
    fn a_message_is_its_first_line_and_the_rest() {
        let cases: [(&[u8], &str, &str); 6] = [
            (b"One line", "One line", ""),
            (b"One line\n", "One line", ""),
            (b"\n\nSubject\n\nBody\n\n  indented\n", "Subject", "Body\n\n  indented"),
            (b"Subject\r\n\r\nOne\r\nTwo\r\n", "Subject", "One\nTwo"),
            (b"Subject\nat once", "Subject", "at once"),
            (b"", "", ""),
        ];
        for (message, subject, body) in cases {
            let commit = commit(b"Ada", message);
            assert_eq!((commit.subject.as_str(), commit.body.as_str()), (subject, body));
            assert!(!commit.shortened);
        }
    }

    #[test]
    fn nothing_drives_a_terminal() {
        let commit =
            commit(b"\x1b]0;owned\x07A\xffda\xc2\x9b", "\u{1b}[2Jx\ry\u{202e}z\n\u{9b}1m\tend".as_bytes());
        assert_eq!(commit.author_name, "\u{fffd}]0;owned\u{fffd}A\u{fffd}da\u{fffd}");
        assert_eq!(commit.subject, "\u{fffd}[2Jx\u{fffd}y\u{fffd}z");
        assert_eq!(commit.body, "\u{fffd}1m\tend");
    }

    #[test]
    fn texts_are_short() {
        let long = format!("{}\n\n{}", "ä".repeat(201), "b".repeat(4_000_000));
        let commit = commit("語".repeat(101).as_bytes(), long.as_bytes());
        assert_eq!(commit.author_name, "語".repeat(100));
        assert_eq!(commit.subject, "ä".repeat(200));
        assert_eq!(commit.body, "b".repeat(2_000));
        assert!(commit.shortened);
    }

    #[test]
    fn a_time_is_one_that_the_contract_can_name() {
        for (secs, expected) in
            [(0, Some(0)), (SECS_MAX, Some(SECS_MAX)), (-1, None), (SECS_MAX + 1, None), (i64::MAX, None)]
        {
            assert_eq!(moment(secs).map(Timestamp::as_secs), expected);
        }
    }
}
