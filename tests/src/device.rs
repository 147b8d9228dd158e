//! A device key under the test's control, for proofs that a well-behaved client would not make.

use hivesync_proto::device_proof::{self, Claims, Header, Jwk};
use p256::{
    SecretKey,
    ecdsa::{Signature, SigningKey, signature::Signer as _},
    elliptic_curve::{Generate as _, sec1::ToSec1Point as _},
};

/// A P-256 key pair.
pub struct Device {
    signing: SigningKey,
    jwk: Jwk,
}

impl Default for Device {
    fn default() -> Self {
        Self::new()
    }
}

impl Device {
    /// A device that no server has met.
    #[must_use]
    pub fn new() -> Self {
        let secret = SecretKey::generate();
        let point = secret.public_key().to_sec1_point(false);
        let x = point.x().expect("not the point at infinity");
        let y = point.y().expect("not compressed");
        let jwk = Jwk::P256 { x: (*x).into(), y: (*y).into() };
        Self { signing: SigningKey::from(&secret), jwk }
    }

    /// The proof that makes these claims, signed.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        let signing_input = device_proof::signing_input(&Header::new(self.jwk), claims);
        let signature: Signature = self.signing.sign(signing_input.as_bytes());
        device_proof::assemble(&signing_input, &signature.to_bytes())
    }
}
