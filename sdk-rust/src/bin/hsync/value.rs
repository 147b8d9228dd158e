//! Values of the command line that can be judged without a server.

use uuid::Uuid;

/// Digits of the name of a commit.
const COMMIT_DIGITS: usize = 40;

/// An id, as lists show it.
pub(crate) fn id(text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|_| "it is no id, such as 0192f0c4-5e1a-7b2c-9d3e-4f5061728394".to_owned())
}

/// The whole name of a commit.
pub(crate) fn commit(text: &str) -> Result<String, String> {
    let is_whole = text.len() == COMMIT_DIGITS && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_whole.then(|| text.to_owned()).ok_or_else(|| {
        "a commit has 40 hexadecimal digits, as `hsync repo log --full` shows them; names such as HEAD mean \
         nothing here"
            .to_owned()
    })
}

/// Seconds that a preview can be opened.
pub(crate) fn lifetime_secs(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(secs @ (0 | 600..=1800)) => Ok(secs),
        _ => Err("it must be 600 to 1800, or 0 to leave it to the server".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{commit, lifetime_secs};

    #[test]
    fn only_whole_names_of_commits_are_taken() {
        let name = "0123456789abcdefABCDEF0123456789abcdef01";
        assert_eq!(commit(name).as_deref(), Ok(name));
        for wrong in ["", "HEAD", "abc", &name[1..], &name.replace('0', "g"), &format!("{name}0")] {
            assert!(commit(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lifetimes_are_those_of_the_contract() {
        for (text, taken) in
            [("0", true), ("600", true), ("1800", true), ("5", false), ("1801", false), ("x", false)]
        {
            assert_eq!(lifetime_secs(text).is_ok(), taken, "{text}");
        }
    }
}
