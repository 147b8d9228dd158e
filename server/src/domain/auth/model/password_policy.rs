//! Which passwords are acceptable.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;

use crate::{
    base::{
        error::{Error, Reason, Result},
        secret::SecretText,
    },
    domain::users::Email,
};

const CHARS_MIN: usize = 12;
const CHARS_MAX: usize = 256;
/// The shortest part of an address that a password must not hold.
const PART_CHARS_MIN: usize = 4;

/// The words that common passwords are made of, in lower case, one a line.
const COMMON_WORDS: &str = include_str!("common_words.txt");

/// A password in the form in which it is hashed: NFKC.
#[derive(Clone, Debug)]
pub(in crate::domain::auth) struct Password(SecretText);

impl Password {
    /// Brings `text` into that form, whatever it holds: for comparing with a hash.
    pub(in crate::domain::auth) fn given(text: &str) -> Self {
        Self(SecretText::new(text.nfkc().collect()))
    }

    /// Takes a new password for the account of `email`.
    ///
    /// # Errors
    /// `PASSWORD_POLICY` with every rule that it breaks.
    pub(in crate::domain::auth) fn chosen(text: &str, email: &Email) -> Result<Self> {
        let password = Self::given(text);
        let faults = faults(password.expose(), email);
        if faults.is_empty() {
            return Ok(password);
        }
        let refusal = Error::new(Reason::PasswordPolicy);
        Err(faults.into_iter().fold(refusal, |error, fault| error.at("password", fault)))
    }

    /// The text, for the one who hashes it.
    pub(in crate::domain::auth) fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn faults(password: &str, email: &Email) -> Vec<Cow<'static, str>> {
    let length = password.chars().count();
    let is_symbol = |c: char| !c.is_alphanumeric() && !c.is_control();
    let rules: [(bool, Cow<'static, str>); 7] = [
        (
            (CHARS_MIN..=CHARS_MAX).contains(&length),
            format!("must have {CHARS_MIN} to {CHARS_MAX} characters").into(),
        ),
        (password.chars().any(char::is_uppercase), "must hold an upper-case letter".into()),
        (password.chars().any(char::is_lowercase), "must hold a lower-case letter".into()),
        (password.chars().any(char::is_numeric), "must hold a digit".into()),
        (password.chars().any(is_symbol), "must hold a symbol".into()),
        (!resembles(password, email), "must not be similar to the e-mail address".into()),
        (!is_common(password), "must not be one that many people use".into()),
    ];
    rules.into_iter().filter(|(holds, _)| !holds).map(|(_, fault)| fault).collect()
}

/// Whether `password` holds a part of the address, or the other way round.
fn resembles(password: &str, email: &Email) -> bool {
    let password = password.to_lowercase();
    let local = email.as_str().split('@').next().unwrap_or_default();
    let mut parts = local.split(|c: char| !c.is_alphanumeric()).chain([local]);
    let long_enough = |part: &str| part.chars().count() >= PART_CHARS_MIN;
    parts.any(|part| long_enough(part) && password.contains(part)) || email.as_str().contains(&password)
}

/// Whether the letters of `password`, read without the usual disguises, are made of nothing but words that
/// common passwords are made of.
fn is_common(password: &str) -> bool {
    let password = password.to_lowercase();
    let without_tail = password.trim_end_matches(|c: char| !c.is_alphabetic());
    let letters: String = password.chars().filter(|c| c.is_alphabetic()).collect();
    let read = |text: &str| text.chars().filter_map(undisguised).collect::<String>();
    [letters, read(&password), read(without_tail)]
        .iter()
        .any(|text| !text.is_empty() && is_made_of_words(text))
}

/// Reads digits and symbols as the letters that they stand for.
const fn undisguised(c: char) -> Option<char> {
    match c {
        '0' => Some('o'),
        '1' | '!' | '|' => Some('i'),
        '3' => Some('e'),
        '4' | '@' => Some('a'),
        '5' | '$' => Some('s'),
        '7' => Some('t'),
        'a'..='z' => Some(c),
        _ => None,
    }
}

fn is_made_of_words(text: &str) -> bool {
    // `reached[n]`: the first n bytes are made of words.
    let mut reached = vec![false; text.len() + 1];
    reached[0] = true;
    for start in 0..text.len() {
        if !reached[start] {
            continue;
        }
        for word in COMMON_WORDS.lines().filter(|word| !word.is_empty()) {
            if text.get(start..).is_some_and(|rest| rest.starts_with(word)) {
                reached[start + word.len()] = true;
            }
        }
    }
    reached[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(password: &str) -> usize {
        match Password::chosen(password, &Email::new("ada.lovelace@example.com")) {
            Ok(_) => 0,
            Err(error) => {
                assert_eq!(error.reason(), Reason::PasswordPolicy);
                error.violations().len()
            }
        }
    }

    #[test]
    fn takes_good_passwords() {
        for good in
            ["Tr0ub4dor&3-xkcd", "vio1et-Giraffe.soup", "Пароль-и-ещё-7", "aB3$aB3$qP9!", "Zürich%42-fondue"]
        {
            assert_eq!(faults_of(good), 0, "{good}");
        }
    }

    #[test]
    fn names_every_rule_that_is_broken() {
        assert_eq!(faults_of("vioLet-7"), 1);
        assert_eq!(faults_of("violet-giraffe-7"), 1);
        assert_eq!(faults_of("VIOLET-GIRAFFE-7"), 1);
        assert_eq!(faults_of("Violet-Giraffes"), 1);
        assert_eq!(faults_of("VioletGiraffe77"), 1);
        assert_eq!(faults_of(&format!("aB3${}", "x".repeat(253))), 1);
        assert!(faults_of("") >= 5);
    }

    #[test]
    fn refuses_what_resembles_the_address() {
        for bad in ["Lovelace-soup-42", "xX-ADA.LOVELACE-42!", "Ada.Lovelace@example.com1"] {
            assert_eq!(faults_of(bad), 1, "{bad}");
        }
    }

    #[test]
    fn refuses_common_passwords_in_their_disguises() {
        for bad in [
            "Password1234!",
            "P@ssw0rd2024!",
            "Welcome-2-Summer",
            "Qwerty123456!",
            "ILoveYou-2025",
            "Admin@123456",
            "1234567890-Abc",
            "$uperM4n-2020",
        ] {
            assert_eq!(faults_of(bad), 1, "{bad}");
        }
    }

    #[test]
    fn the_same_text_in_another_form_is_the_same_password() {
        let composed = Password::given("Zu\u{308}rich\u{ff05}42");
        assert_eq!(composed.expose(), "Z\u{fc}rich%42");
    }
}
