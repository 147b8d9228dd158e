//! The key that makes a device more than a name: what it signs, nobody else can.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use hivesync_proto::device_proof::{self, Claims, Header, Jwk};
use p256::{
    FieldBytes, SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::{Generate as _, sec1::ToSec1Point as _},
};

use crate::{
    clock, entropy,
    error::{Error, Result, StorageErrorKind},
    secret::Secret,
};

/// A P-256 key pair.
pub(crate) struct DeviceKey {
    signing: SigningKey,
    jwk: Jwk,
}

impl DeviceKey {
    /// Makes a new key.
    pub(crate) fn generate() -> Self {
        Self::new(&SecretKey::generate())
    }

    fn new(secret: &SecretKey) -> Self {
        let point = secret.public_key().to_sec1_point(false);
        // A public key is not the point at infinity, and its uncompressed form has both coordinates.
        let coordinate = |bytes: Option<&FieldBytes>| bytes.copied().unwrap_or_default().into();
        let jwk = Jwk::P256 { x: coordinate(point.x()), y: coordinate(point.y()) };
        Self { signing: SigningKey::from(secret), jwk }
    }

    /// Reads a key that was stored.
    pub(crate) fn from_stored(stored: &Secret) -> Result<Self> {
        let corrupt = || Error::storage(StorageErrorKind::Corrupt);
        let bytes =
            zeroize::Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(stored.expose()).map_err(|_| corrupt())?);
        SecretKey::from_slice(&bytes).map(|secret| Self::new(&secret)).map_err(|_| corrupt())
    }

    /// The form to store, in a place that keeps secrets.
    pub(crate) fn to_stored(&self) -> Secret {
        let bytes = zeroize::Zeroizing::new(self.signing.to_bytes());
        Secret::new(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()))
    }

    /// A proof for one call (RFC 9449): to be sent once.
    pub(crate) fn prove(&self, htu: String, access_token: Option<&str>, nonce: Option<String>) -> String {
        let header = Header::new(self.jwk);
        let claims = Claims {
            jti: entropy::id().to_string(),
            htm: device_proof::METHOD.to_owned(),
            htu,
            iat: clock::now().unix_timestamp().unsigned_abs(),
            ath: access_token.map(device_proof::access_token_hash),
            nonce,
        };
        let signing_input = device_proof::signing_input(&header, &claims);
        let signature: Signature = self.signing.sign(signing_input.as_bytes());
        device_proof::assemble(&signing_input, &signature.to_bytes())
    }
}
