//! Verifies that a caller holds the private key of a device: DPoP (RFC 9449) over gRPC.

#[cfg(test)]
mod tests;

use std::time::Duration;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hivesync_proto::device_proof::{self, Claims, Jwk, METHOD, ProofParts};

use crate::base::{
    clock::Timestamp,
    crypto,
    ctx::ProvenKey,
    error::{Error, Reason, Result},
    kv::Kv,
};

/// How old, or how far ahead of this server's clock, a proof may be.
const WINDOW: Duration = Duration::from_secs(60);
/// How long a proof is remembered: one dies `WINDOW` after its time, which may be `WINDOW` ahead, and the
/// clocks of the servers that share the memory differ a little.
const REMEMBERED: Duration = Duration::from_secs(2 * 60 + 5);

/// The call that a proof must have been made for.
#[derive(Clone, Copy, Debug)]
pub struct ProvenCall<'a> {
    /// Hosts with ports, by any of which the client may have addressed the server.
    pub authorities: &'a [&'a str],
    /// The gRPC path, such as `/hivesync.v1.AuthService/Refresh`.
    pub method_path: &'a str,
    /// The access token that goes along, if one does.
    pub access_token: Option<&'a str>,
    /// The present moment.
    pub now: Timestamp,
}

/// The key that made `proof` for `call`. Each proof is good once.
///
/// # Errors
/// `INVALID_DEVICE_PROOF` for anything but a fresh proof for this very call; `UNAVAILABLE` if nobody can say
/// whether it was used before.
pub async fn verify(kv: &Kv, proof: &str, call: ProvenCall<'_>) -> Result<ProvenKey> {
    let parts = ProofParts::parse(proof).map_err(refuse)?;
    check_signature(&parts)?;
    check_claims(&parts.claims, call).map_err(refuse)?;
    let jwk = parts.header.jwk;
    let thumbprint = jwk.thumbprint();
    let name = URL_SAFE_NO_PAD.encode(crypto::sha256(parts.claims.jti.as_bytes()));
    if !kv.put_if_absent(&format!("dpop:{thumbprint}:{name}"), Vec::new(), REMEMBERED).await? {
        return Err(refuse("the device proof was used before"));
    }
    Ok(ProvenKey { thumbprint, jwk: serde_json::to_string(&jwk).map_err(Error::internal)? })
}

fn check_signature(parts: &ProofParts<'_>) -> Result<()> {
    let message = parts.signing_input.as_bytes();
    let outcome = match parts.header.jwk {
        Jwk::P256 { x, y } => {
            // An uncompressed point (SEC 1, 2.3.3).
            let point = [&[4][..], &x, &y].concat();
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, &parts.signature)
        }
        Jwk::Ed25519 { x } => UnparsedPublicKey::new(&ED25519, x).verify(message, &parts.signature),
    };
    outcome.map_err(|_| refuse("the device proof is not signed by its key"))
}

fn check_claims(claims: &Claims, call: ProvenCall<'_>) -> Result<(), &'static str> {
    if claims.htm != METHOD {
        return Err("the device proof is for another HTTP method");
    }
    let is_target = |authority: &&str| device_proof::htu(authority, call.method_path) == claims.htu;
    if !call.authorities.iter().any(is_target) {
        return Err("the device proof is for another server or method");
    }
    let made_at = Timestamp::from_secs(i64::try_from(claims.iat).unwrap_or(i64::MAX));
    if made_at > call.now + WINDOW || made_at + WINDOW < call.now {
        return Err("the device proof is not of this minute");
    }
    if claims.ath != call.access_token.map(device_proof::access_token_hash) {
        return Err("the device proof is for another access token");
    }
    Ok(())
}

fn refuse(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(Reason::InvalidDeviceProof).because(cause)
}
