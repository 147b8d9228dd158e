//! Texts that strangers wrote, such as commit messages and file names, and what of them is shown.

/// Whether a character can be shown as it is, on a terminal too.
///
/// Not shown are control characters (C0, DEL and C1), some of which move the cursor, set the title or
/// answer for the user; line and paragraph separators; and the characters that change the direction of
/// writing, by which a text reads other than it is (Unicode Technical Report 36, 2.10). A line feed and a
/// tab are harmless; who shows one line asks for them separately.
#[must_use]
pub fn is_harmless(letter: char) -> bool {
    match letter {
        '\n' | '\t' => true,
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => false,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        letter => !letter.is_control(),
    }
}

/// Whether a character may stand in a name, or in any other text of one line that is sent: it is harmless,
/// does not end the line or jump along it, and is none that only hides, by which two names look the same. What
/// joins letters or emoji (U+200C, U+200D, variation selectors) may.
#[must_use]
pub fn is_plain(letter: char) -> bool {
    let joins = matches!(letter, '\u{200c}' | '\u{200d}' | '\u{180b}'..='\u{180d}' | '\u{fe00}'..='\u{fe0f}');
    is_harmless(letter) && !matches!(letter, '\n' | '\t') && (joins || !is_invisible(letter))
}

/// `Bidi_Control` and `Default_Ignorable_Code_Point` (Unicode 16, PropList.txt and
/// DerivedCoreProperties.txt), and the interlinear annotation marks. HFS+ ignores some of them when it
/// compares names.
pub(crate) fn is_invisible(letter: char) -> bool {
    matches!(letter,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::{is_harmless, is_plain};

    #[test]
    fn what_drives_a_terminal_is_not_harmless() {
        for letter in ['\0', '\u{7}', '\u{8}', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}', '\u{9d}'] {
            assert!(!is_harmless(letter), "{letter:?}");
        }
        for letter in ['\u{202e}', '\u{2067}', '\u{200f}', '\u{2028}'] {
            assert!(!is_harmless(letter), "{letter:?}");
        }
    }

    #[test]
    fn writing_is_harmless() {
        for letter in "aÄ語עبя\u{301}😀\u{200d}\n\t \u{fffd}".chars() {
            assert!(is_harmless(letter), "{letter:?}");
        }
        assert!("aÄ語עبя\u{301}❤\u{fe0f}👩\u{200d}🔧 \u{200c}".chars().all(is_plain));
    }
}
