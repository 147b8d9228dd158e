//! Accounts, their addresses and names.

use unicode_normalization::UnicodeNormalization as _;

use crate::base::{
    actor::PlatformRole,
    clock::Timestamp,
    crypto::{FieldCipher, FieldName, Keys, Purpose},
    entropy::Entropy,
    error::{Error, Result},
    ids::{TeamId, UserId},
};

/// An e-mail address in the form in which it is compared: NFKC, lower case, without surrounding space.
#[derive(Clone, PartialEq, Eq)]
pub struct Email(String);

/// Stands for an address in an index: HMAC-SHA-256 under a key of its own.
pub type EmailIndex = [u8; 32];

impl Email {
    /// Brings `text` into the form in which addresses are compared. The contract has judged its syntax
    /// wherever an address is taken in.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().nfkc().flat_map(char::to_lowercase).nfkc().collect())
    }

    /// The normal form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands for the address in an index.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn index(&self, keys: &Keys) -> Result<EmailIndex> {
        keys.mac(Purpose::BlindIndex, self.0.as_bytes())
    }
}

/// What somebody or something is called, without surrounding space. The contract has judged its characters
/// wherever a name is taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    /// Takes the field `field` of a request.
    ///
    /// # Errors
    /// `INVALID_REQUEST` naming the field.
    pub fn parse(field: &'static str, text: &str) -> Result<Self> {
        match text.trim() {
            "" => Err(Error::invalid(field, "must not be blank")),
            name => Ok(Self(name.to_owned())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// The address, sealed.
    pub(super) email: String,
    /// How the user is shown to others.
    pub display_name: String,
    /// What the user may do on the platform.
    pub role: PlatformRole,
    /// The team that was made with the account.
    pub personal_team: TeamId,
    /// When the account was made.
    pub created_at: Timestamp,
    /// When it was shut, if it was.
    pub disabled_at: Option<Timestamp>,
}

impl User {
    /// A new account, with its address sealed.
    ///
    /// # Errors
    /// As [`FieldCipher::seal`].
    pub fn new(
        cipher: &FieldCipher,
        entropy: &Entropy,
        (id, personal_team): (UserId, TeamId),
        email: &Email,
        display_name: &Name,
        now: Timestamp,
    ) -> Result<Self> {
        Ok(Self {
            id,
            email: cipher.seal(entropy, email_field(&id), email.as_str().as_bytes())?,
            display_name: display_name.as_str().to_owned(),
            role: PlatformRole::User,
            personal_team,
            created_at: now,
            disabled_at: None,
        })
    }

    /// The address to sign in with.
    ///
    /// # Errors
    /// `INTERNAL` if it does not open.
    pub fn email(&self, cipher: &FieldCipher) -> Result<Email> {
        let bytes = cipher.open(email_field(&self.id), &self.email)?;
        String::from_utf8(bytes).map(Email).map_err(|_| Error::internal("a sealed address is not text"))
    }

    /// Whether the account may be used.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.disabled_at.is_none()
    }
}

fn email_field(id: &UserId) -> FieldName<'_> {
    FieldName { table: "users", column: "email", row: id.0.as_bytes() }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::base::secret::Secret;

    #[test]
    fn addresses_are_compared_without_regard_to_case_and_form() {
        let same = ["Ada@Example.com", " ada@example.com ", "\u{ff21}da@example.com"];
        assert!(same.iter().all(|text| Email::new(text) == Email::new("ada@example.com")));
        assert!(Email::new("ada@example.org") != Email::new("ada@example.com"));
    }

    #[test]
    fn an_address_is_sealed_for_its_row() {
        let keys = Keys::new(Secret::new(vec![3; 32]));
        let cipher = FieldCipher::new(&keys).unwrap();
        let ids = (UserId(Uuid::from_u128(1)), TeamId(Uuid::from_u128(2)));
        let email = Email::new("ada@example.com");
        let name = Name::parse("display_name", "Ada").unwrap();
        let user =
            User::new(&cipher, &Entropy::default(), ids, &email, &name, Timestamp::from_secs(1)).unwrap();
        assert!(!format!("{user:?}").contains("example.com"));
        assert!(user.email(&cipher).unwrap() == email);
        let moved = User { id: UserId(Uuid::from_u128(9)), ..user };
        assert!(moved.email(&cipher).is_err());
    }

    #[test]
    fn a_name_has_no_space_around_it() {
        assert_eq!(Name::parse("name", "  Ada L \u{3000}").unwrap().as_str(), "Ada L");
        for blank in ["", "   ", "\u{3000}"] {
            assert!(Name::parse("name", blank).is_err(), "{blank:?}");
        }
    }
}
