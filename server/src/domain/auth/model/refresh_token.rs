//! Refresh tokens. At rest there is none: a token is a session, a generation, and a proof that this server
//! wrote them.
//!
//! `hsr_` and, as base64url: version (1 byte), session (16), generation (8, big-endian), the first half of
//! an HMAC-SHA-256 over those (16), and the first 4 bytes of the SHA-256 over all of it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::base::{
    crypto::{self, Keys, Purpose},
    error::Result,
    ids::SessionId,
    secret::SecretText,
};

const PREFIX: &str = "hsr_";
const VERSION: u8 = 1;
const SUBJECT_LEN: usize = 1 + 16 + 8;
const MAC_LEN: usize = 16;
const CHECKSUM_LEN: usize = 4;

/// What a refresh token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::auth) struct RefreshToken {
    /// The session it continues.
    pub session: SessionId,
    /// How often that session had been continued when the token was made.
    pub generation: i64,
}

impl RefreshToken {
    /// Writes the token. The same session and generation always give the same text.
    pub(in crate::domain::auth) fn write(self, keys: &Keys) -> Result<SecretText> {
        let mut bytes = self.subject().to_vec();
        bytes.extend_from_slice(&mac(keys, &bytes)?);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(SecretText::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Reads a token; `None` if this server did not write it.
    pub(in crate::domain::auth) fn read(keys: &Keys, text: &str) -> Result<Option<Self>> {
        let Some((subject, tag)) = text.strip_prefix(PREFIX).and_then(unwrap) else { return Ok(None) };
        if !crypto::equal(&tag, &mac(keys, &subject)?) {
            return Ok(None);
        }
        Ok(Self::of_subject(subject))
    }

    fn subject(self) -> [u8; SUBJECT_LEN] {
        let mut bytes = [VERSION; SUBJECT_LEN];
        bytes[1..17].copy_from_slice(self.session.0.as_bytes());
        bytes[17..].copy_from_slice(&self.generation.to_be_bytes());
        bytes
    }

    fn of_subject(bytes: [u8; SUBJECT_LEN]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        let (session, generation) = rest.split_first_chunk::<16>()?;
        (*version == VERSION).then_some(Self {
            session: SessionId(Uuid::from_bytes(*session)),
            generation: i64::from_be_bytes(generation.try_into().ok()?),
        })
    }
}

/// Splits what is encoded into what is authenticated and its authenticator, if the checksum holds.
fn unwrap(encoded: &str) -> Option<([u8; SUBJECT_LEN], [u8; MAC_LEN])> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let (checked, sum) = bytes.split_last_chunk::<CHECKSUM_LEN>()?;
    let (subject, tag) = checked.split_first_chunk::<SUBJECT_LEN>()?;
    let tag = tag.try_into().ok()?;
    (checksum(checked) == *sum).then_some((*subject, tag))
}

fn mac(keys: &Keys, subject: &[u8]) -> Result<[u8; MAC_LEN]> {
    let mac = keys.mac(Purpose::RefreshToken, subject)?;
    let mut half = [0; MAC_LEN];
    half.copy_from_slice(&mac[..MAC_LEN]);
    Ok(half)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_LEN] {
    let [a, b, c, d, ..] = crypto::sha256(bytes);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Secret;

    const TOKEN: RefreshToken = RefreshToken { session: SessionId(Uuid::from_u128(77)), generation: 3 };

    fn keys(seed: u8) -> Keys {
        Keys::new(Secret::new(vec![seed; 32]))
    }

    #[test]
    fn reads_what_it_wrote() {
        let text = TOKEN.write(&keys(1)).unwrap();
        assert!(text.expose().starts_with("hsr_"));
        assert_eq!(RefreshToken::read(&keys(1), text.expose()).unwrap(), Some(TOKEN));
        assert_eq!(TOKEN.write(&keys(1)).unwrap().expose(), text.expose());
    }

    #[test]
    fn refuses_what_another_server_wrote() {
        let text = TOKEN.write(&keys(2)).unwrap();
        assert_eq!(RefreshToken::read(&keys(1), text.expose()).unwrap(), None);
    }

    #[test]
    fn refuses_any_change() {
        let text = TOKEN.write(&keys(1)).unwrap();
        let bytes = URL_SAFE_NO_PAD.decode(text.expose().strip_prefix(PREFIX).unwrap()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&changed));
            assert_eq!(RefreshToken::read(&keys(1), &text).unwrap(), None, "bit {bit}");
        }
    }

    #[test]
    fn a_right_checksum_does_not_replace_the_proof() {
        let mut bytes = TOKEN.subject().to_vec();
        bytes.extend_from_slice(&[0; MAC_LEN]);
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(&bytes));
        assert_eq!(RefreshToken::read(&keys(1), &text).unwrap(), None);
    }

    #[test]
    fn refuses_what_is_no_token() {
        let good = TOKEN.write(&keys(1)).unwrap();
        let padded = format!("{}=", good.expose());
        let longer = format!("{}AAAA", good.expose());
        for text in ["", "hsr_", "hsr_!", "hsx_AAAA", &good.expose()[4..], &padded, &longer] {
            assert_eq!(RefreshToken::read(&keys(1), text).unwrap(), None, "{text}");
        }
    }
}
