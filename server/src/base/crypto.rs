//! Keys that are derived for one purpose each, and what the server does with them.

use aws_lc_rs::{
    aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    constant_time, digest, hkdf, hmac,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    entropy::Entropy,
    error::{Error, Result},
    secret::Secret,
};

/// SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Whether two byte strings are the same, in a time that depends on their lengths only.
#[must_use]
pub fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

/// What a derived key is for. Each purpose has a key of its own (HKDF-SHA-256, RFC 5869).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Authenticates refresh tokens.
    RefreshToken,
    /// Authenticates page tokens.
    PageToken,
    /// Signs the addresses of locally stored objects.
    BlobUrl,
    /// Looks up a sealed field without opening it.
    BlindIndex,
    /// Seals sensitive fields.
    Field,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::RefreshToken => b"hivesync refresh token v1",
            Self::PageToken => b"hivesync page token v1",
            Self::BlobUrl => b"hivesync blob url v1",
            Self::BlindIndex => b"hivesync blind index v1",
            Self::Field => b"hivesync field v1",
        }
    }
}

/// Derives every key of the server from its root secret.
#[derive(Clone)]
pub struct Keys {
    root: Secret,
}

struct Length32;

impl hkdf::KeyType for Length32 {
    fn len(&self) -> usize {
        32
    }
}

impl Keys {
    /// Keys derived from `root` (at least 32 bytes; the boot guard checks).
    #[must_use]
    pub fn new(root: Secret) -> Self {
        Self { root }
    }

    /// The 32-byte key for `purpose`.
    ///
    /// # Errors
    /// `INTERNAL` if the library refuses, which its contract rules out for this length.
    pub fn derive(&self, purpose: Purpose) -> Result<Secret> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hivesync");
        let mut key = vec![0; 32];
        salt.extract(self.root.expose())
            .expand(&[purpose.label()], Length32)
            .and_then(|okm| okm.fill(&mut key))
            .map_err(|_| Error::internal("key derivation failed"))?;
        Ok(Secret::new(key))
    }

    /// HMAC-SHA-256 of `message` under the key for `purpose`.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn mac(&self, purpose: Purpose, message: &[u8]) -> Result<[u8; 32]> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.derive(purpose)?.expose());
        let mut out = [0; 32];
        out.copy_from_slice(hmac::sign(&key, message).as_ref());
        Ok(out)
    }
}

/// Names the column and row that a sealed field stands in, so that a ciphertext moved elsewhere does
/// not open.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<'a> {
    /// The table.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The row's key.
    pub row: &'a [u8],
}

impl FieldName<'_> {
    fn associated_data(self) -> Vec<u8> {
        let mut data = Vec::with_capacity(64);
        for part in [self.table.as_bytes(), self.column.as_bytes(), self.row] {
            data.extend_from_slice(&(part.len() as u64).to_be_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// Seals sensitive fields at rest: `hse1.<key id>.<base64url>` with AES-256-GCM-SIV (RFC 8452).
#[derive(Clone)]
pub struct FieldCipher {
    key_id: String,
    key: Secret,
}

impl FieldCipher {
    /// Seals with the field key of `keys`.
    ///
    /// # Errors
    /// As [`Keys::derive`].
    pub fn new(keys: &Keys) -> Result<Self> {
        let key = keys.derive(Purpose::Field)?;
        let key_id = sha256(key.expose()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { key_id, key })
    }

    fn cipher(&self) -> Result<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM_SIV, self.key.expose())
            .map(LessSafeKey::new)
            .map_err(|_| Error::internal("the field key has a wrong length"))
    }

    /// Seals `plaintext` for `field`.
    ///
    /// # Errors
    /// `INTERNAL` if the library or the random number generator fails.
    pub fn seal(&self, entropy: &Entropy, field: FieldName<'_>, plaintext: &[u8]) -> Result<String> {
        let nonce: [u8; NONCE_LEN] = entropy.bytes()?;
        let mut sealed = plaintext.to_vec();
        self.cipher()?
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(field.associated_data()),
                &mut sealed,
            )
            .map_err(|_| Error::internal("sealing failed"))?;
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        Ok(format!("hse1.{}.{}", self.key_id, URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Opens what [`FieldCipher::seal`] made for the same `field`.
    ///
    /// # Errors
    /// `INTERNAL` if it was made with another key, for another field, or changed since.
    pub fn open(&self, field: FieldName<'_>, sealed: &str) -> Result<Vec<u8>> {
        let broken = || Error::internal("a sealed field does not open");
        let encoded = sealed
            .strip_prefix("hse1.")
            .and_then(|rest| rest.split_once('.'))
            .filter(|(key_id, _)| *key_id == self.key_id)
            .map(|(_, encoded)| encoded)
            .ok_or_else(broken)?;
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| broken())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(broken)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| broken())?;
        let mut buffer = sealed.to_vec();
        let plaintext = self
            .cipher()?
            .open_in_place(nonce, Aad::from(field.associated_data()), &mut buffer)
            .map_err(|_| broken())?;
        Ok(plaintext.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cipher() -> FieldCipher {
        FieldCipher::new(&Keys::new(Secret::new(vec![7; 32]))).unwrap()
    }

    fn field(row: &[u8]) -> FieldName<'_> {
        FieldName { table: "users", column: "email", row }
    }

    #[test]
    fn a_sealed_field_opens_only_in_its_place() {
        let sealed = cipher().seal(&Entropy::default(), field(b"1"), b"ada@example.com").unwrap();
        assert_eq!(cipher().open(field(b"1"), &sealed).unwrap(), b"ada@example.com");
        assert!(cipher().open(field(b"2"), &sealed).is_err());
        assert!(cipher().open(FieldName { column: "name", ..field(b"1") }, &sealed).is_err());
        assert!(!sealed.contains("ada"));
    }

    #[test]
    fn a_changed_or_foreign_ciphertext_does_not_open() {
        let sealed = cipher().seal(&Entropy::default(), field(b"1"), b"secret").unwrap();
        let other = FieldCipher::new(&Keys::new(Secret::new(vec![8; 32]))).unwrap();
        assert!(other.open(field(b"1"), &sealed).is_err());
        for bad in ["", "hse1.", "hse1.x.y", &sealed[..sealed.len() - 2], "hse2.00.AA"] {
            assert!(cipher().open(field(b"1"), bad).is_err());
        }
    }

    #[test]
    fn each_purpose_has_its_own_key() {
        let keys = Keys::new(Secret::new(vec![7; 32]));
        let one = keys.mac(Purpose::PageToken, b"x").unwrap();
        let two = keys.mac(Purpose::RefreshToken, b"x").unwrap();
        assert_ne!(one, two);
    }
}
