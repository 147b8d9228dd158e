//! The token that opens a preview: PASETO v4.local, opaque, of one length.
//!
//! What it is bound to, a device's key or a user, and the audience stand in the implicit assertion, which is
//! authenticated and not sent: for anybody else the token does not even decrypt. Two keys can be live, the
//! first seals; the footer names the key by a fingerprint.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use pasetors::{
    Local,
    keys::SymmetricKey,
    token::UntrustedToken,
    version4::{LocalToken, V4},
};
use uuid::Uuid;

use crate::base::{
    clock::Timestamp,
    crypto,
    error::{Error, Reason, Result},
    ids::{DeviceId, PreviewId, ProjectId, UserId},
    secret::{Secret, SecretText},
};

/// What the payload begins with: type and version.
const TYPE: [u8; 4] = *b"hsp1";
/// The audience, and the domain of the implicit assertion.
const AUDIENCE: &str = "hivesync preview v1";
/// Bytes of a payload before its encoding.
const PAYLOAD_LEN: usize = 4 + 16 + 16 + 32 + 8 + 16 + 16 + 4;
/// Longer texts are not looked at.
const TOKEN_LEN_MAX: usize = 1024;

/// What a token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    pub project: ProjectId,
    pub preview: PreviewId,
    pub manifest_digest: [u8; 32],
    pub expires_at: Timestamp,
    /// Who published the preview.
    pub publisher: UserId,
    /// The only device that can open it, if there is but one.
    pub device: Option<DeviceId>,
    /// The project's epoch when the token was made.
    pub epoch: u32,
}

/// Whom a token opens for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bearer<'a> {
    /// The device whose key has this RFC 7638 thumbprint.
    Device { thumbprint: &'a str },
    /// Every device of this user.
    User(UserId),
}

impl Bearer<'_> {
    fn assertion(self) -> Vec<u8> {
        match self {
            Self::Device { thumbprint } => format!("{AUDIENCE}\0device\0{thumbprint}"),
            Self::User(user) => format!("{AUDIENCE}\0user\0{user}"),
        }
        .into_bytes()
    }
}

/// The keys that are live.
pub(super) struct TokenKeys(Vec<TokenKey>);

struct TokenKey {
    id: String,
    key: SymmetricKey<V4>,
}

impl TokenKeys {
    /// The keys made of `secrets`, the sealing one first.
    ///
    /// # Errors
    /// `INTERNAL` if there is none.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self> {
        let keys: Vec<TokenKey> = secrets.iter().map(TokenKey::new).collect::<Result<_>>()?;
        if keys.is_empty() {
            return Err(Error::internal("there is no preview key"));
        }
        Ok(Self(keys))
    }

    /// Makes a token.
    ///
    /// # Errors
    /// `INTERNAL` if the library refuses.
    pub(super) fn seal(&self, claims: &Claims, bearer: Bearer<'_>) -> Result<SecretText> {
        let failed = || Error::internal("sealing a preview token failed");
        let TokenKey { id, key } = self.0.first().ok_or_else(failed)?;
        let payload = URL_SAFE_NO_PAD.encode(claims.encode());
        LocalToken::encrypt(key, payload.as_bytes(), Some(id.as_bytes()), Some(&bearer.assertion()))
            .map(SecretText::new)
            .map_err(|_| failed())
    }

    /// Opens a token for the first of `bearers` that it was made for. Whether its time is over is for the
    /// caller to see.
    ///
    /// # Errors
    /// `INVALID_PREVIEW_TOKEN`, whatever is wrong.
    pub(super) fn open(&self, token: &str, bearers: &[Bearer<'_>]) -> Result<Claims> {
        self.try_open(token, bearers).ok_or_else(|| Error::new(Reason::InvalidPreviewToken))
    }

    fn try_open(&self, token: &str, bearers: &[Bearer<'_>]) -> Option<Claims> {
        if token.len() > TOKEN_LEN_MAX {
            return None;
        }
        let token = UntrustedToken::<Local, V4>::try_from(token).ok()?;
        let key = self.0.iter().find(|key| key.id.as_bytes() == token.untrusted_footer())?;
        bearers.iter().find_map(|bearer| {
            let opened =
                LocalToken::decrypt(&key.key, &token, Some(key.id.as_bytes()), Some(&bearer.assertion()))
                    .ok()?;
            Claims::decode(&URL_SAFE_NO_PAD.decode(opened.payload()).ok()?)
        })
    }
}

impl TokenKey {
    /// The secret may be longer than a key: it is condensed, and the key's own digest names it.
    fn new(secret: &Secret) -> Result<Self> {
        let bytes = crypto::sha256(secret.expose());
        let fingerprint = crypto::sha256(&bytes);
        let id = fingerprint.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let key =
            SymmetricKey::from(&bytes).map_err(|_| Error::internal("a preview key has a wrong length"))?;
        Ok(Self { id, key })
    }
}

impl Claims {
    fn encode(&self) -> Vec<u8> {
        let device = self.device.map_or(Uuid::nil(), |device| device.0);
        let mut bytes = Vec::with_capacity(PAYLOAD_LEN);
        bytes.extend_from_slice(&TYPE);
        bytes.extend_from_slice(self.project.0.as_bytes());
        bytes.extend_from_slice(self.preview.0.as_bytes());
        bytes.extend_from_slice(&self.manifest_digest);
        bytes.extend_from_slice(&self.expires_at.as_micros().to_be_bytes());
        bytes.extend_from_slice(self.publisher.0.as_bytes());
        bytes.extend_from_slice(device.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        if take(&mut rest)? != TYPE {
            return None;
        }
        let claims = Self {
            project: ProjectId(Uuid::from_bytes(take(&mut rest)?)),
            preview: PreviewId(Uuid::from_bytes(take(&mut rest)?)),
            manifest_digest: take(&mut rest)?,
            expires_at: Timestamp::from_micros(i64::from_be_bytes(take(&mut rest)?)),
            publisher: UserId(Uuid::from_bytes(take(&mut rest)?)),
            device: Some(Uuid::from_bytes(take(&mut rest)?)).filter(|id| !id.is_nil()).map(DeviceId),
            epoch: u32::from_be_bytes(take(&mut rest)?),
        };
        rest.is_empty().then_some(claims)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(seeds: &[u8]) -> TokenKeys {
        let secrets: Vec<Secret> = seeds.iter().map(|seed| Secret::new(vec![*seed; 32])).collect();
        TokenKeys::new(&secrets).unwrap()
    }

    fn claims() -> Claims {
        Claims {
            project: ProjectId(Uuid::from_u128(1)),
            preview: PreviewId(Uuid::from_u128(2)),
            manifest_digest: [3; 32],
            expires_at: Timestamp::from_secs(1_800_000_000),
            publisher: UserId(Uuid::from_u128(4)),
            device: Some(DeviceId(Uuid::from_u128(5))),
            epoch: 6,
        }
    }

    const PHONE: Bearer<'_> = Bearer::Device { thumbprint: "phone" };

    #[test]
    fn a_token_says_what_was_sealed() {
        let anywhere = Claims { device: None, ..claims() };
        for claims in [claims(), anywhere] {
            let token = keys(&[1]).seal(&claims, PHONE).unwrap();
            assert_eq!(keys(&[1]).open(token.expose(), &[PHONE]).unwrap(), claims);
        }
    }

    #[test]
    fn every_failure_is_the_same() {
        let user = Bearer::User(claims().publisher);
        let token = keys(&[1]).seal(&claims(), PHONE).unwrap();
        let for_user = keys(&[1]).seal(&claims(), user).unwrap();
        let token = token.expose();
        let (body, footer) = token.rsplit_once('.').unwrap();
        let other_footer = format!("{body}.{}", URL_SAFE_NO_PAD.encode("00000000"));
        let mut tampered = token.to_owned();
        tampered.replace_range(20..21, if token[20..21] == *"A" { "B" } else { "A" });
        let long = "v4.local.".to_owned() + &"A".repeat(10_000);
        let other_device = Bearer::Device { thumbprint: "tablet" };
        let as_user_name = Bearer::Device { thumbprint: &claims().publisher.to_string() };
        let cases: [(&str, &TokenKeys, &[Bearer<'_>]); 14] = [
            ("", &keys(&[1]), &[PHONE]),
            ("not a token", &keys(&[1]), &[PHONE]),
            ("v4.local.", &keys(&[1]), &[PHONE]),
            ("v4.local.AAAA", &keys(&[1]), &[PHONE]),
            ("v4.public.AAAA", &keys(&[1]), &[PHONE]),
            (&long, &keys(&[1]), &[PHONE]),
            (&tampered, &keys(&[1]), &[PHONE]),
            (&other_footer, &keys(&[1]), &[PHONE]),
            (body, &keys(&[1]), &[PHONE]),
            (&format!("{body}.{footer}x"), &keys(&[1]), &[PHONE]),
            (token, &keys(&[2]), &[PHONE]),
            (token, &keys(&[1]), &[other_device, user]),
            (for_user.expose(), &keys(&[1]), &[PHONE, as_user_name]),
            (token, &keys(&[1]), &[]),
        ];
        for (token, keys, bearers) in cases {
            let error = keys.open(token, bearers).unwrap_err();
            assert_eq!(error.reason(), Reason::InvalidPreviewToken);
            assert!(error.cause().is_none() && error.violations().is_empty() && error.wait().is_none());
        }
    }

    #[test]
    fn the_key_can_be_rotated() {
        let token = keys(&[1]).seal(&claims(), PHONE).unwrap();
        assert_eq!(keys(&[2, 1]).open(token.expose(), &[PHONE]).unwrap(), claims());
        let token = keys(&[2, 1]).seal(&claims(), PHONE).unwrap();
        assert!(keys(&[1]).open(token.expose(), &[PHONE]).is_err(), "the first key seals");
    }

    #[test]
    fn all_tokens_have_one_length() {
        let lengths = [claims(), Claims { device: None, epoch: u32::MAX, ..claims() }].map(|claims| {
            let for_device = keys(&[1]).seal(&claims, PHONE).unwrap();
            let for_user = keys(&[1]).seal(&claims, Bearer::User(claims.publisher)).unwrap();
            assert_eq!(for_device.expose().len(), for_user.expose().len());
            for_user.expose().len()
        });
        assert_eq!(lengths[0], lengths[1]);
        assert!(lengths[0] < 320, "short enough for a QR code on a terminal: {}", lengths[0]);
    }

    #[test]
    fn two_tokens_for_the_same_are_not_the_same() {
        let keys = keys(&[1]);
        let (one, two) = (keys.seal(&claims(), PHONE).unwrap(), keys.seal(&claims(), PHONE).unwrap());
        assert_ne!(one.expose(), two.expose());
    }
}
