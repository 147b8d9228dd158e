//! Proof that a caller holds the private key of its device: the form of a DPoP JWT (RFC 9449), over gRPC.
//!
//! Only the form lives here. The SDK signs [`signing_input`] with the device's key and the server verifies
//! it, each with a library of its own.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use sha2::{Digest as _, Sha256};

/// The metadata entry that carries the proof.
pub const METADATA_KEY: &str = "dpop";
/// The metadata entry in which the server hands out a nonce for the next proof.
pub const NONCE_METADATA_KEY: &str = "dpop-nonce";
/// The value of the header member `typ` (RFC 9449, 4.2).
pub const TYPE: &str = "dpop+jwt";
/// The value of the claim `htm`: gRPC knows no other method.
pub const METHOD: &str = "POST";
/// The scheme in the claim `htu`, whatever the connection uses: a proxy may end TLS, and a proof that
/// was made for one scheme must not be lost to the other.
pub const SCHEME: &str = "https";
/// The longest proof, in bytes.
pub const PROOF_BYTES_MAX: usize = 4096;
/// The longest claim, in bytes. `htu` holds an authority and a method.
const CLAIM_BYTES_MAX: usize = 1024;
/// The bytes of a signature, by both algorithms (RFC 7518, 3.4; RFC 8032, 5.1.6).
const SIGNATURE_BYTES: usize = 64;

/// The public key of a device, as a JSON Web Key (RFC 7517).
///
/// Reading one refuses the private members. Whether the coordinates lie on the curve is for the library
/// that verifies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "JwkMembers", try_from = "JwkMembers")]
pub enum Jwk {
    /// A key on P-256 (RFC 7518, 6.2), for ES256.
    P256 {
        /// The first coordinate, big-endian.
        x: [u8; 32],
        /// The second coordinate, big-endian.
        y: [u8; 32],
    },
    /// An Ed25519 key (RFC 8037, 2), for EdDSA.
    Ed25519 {
        /// The encoded point (RFC 8032, 5.1.2).
        x: [u8; 32],
    },
}

impl Jwk {
    /// The SHA-256 thumbprint (RFC 7638), base64url: 43 characters that name the key.
    pub fn thumbprint(&self) -> String {
        // RFC 7638, 3.2: the required members in lexicographic order, without white space.
        let members = match self {
            Self::P256 { x, y } => {
                format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, encode(x), encode(y))
            }
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, encode(x)),
        };
        encode(&Sha256::digest(members))
    }

    /// The one algorithm the key may be used with.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::P256 { .. } => Algorithm::Es256,
            Self::Ed25519 { .. } => Algorithm::EdDsa,
        }
    }
}

/// A key as JSON has it.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
struct JwkMembers {
    kty: String,
    crv: String,
    x: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    /// The private and symmetric members (RFC 7518, 6.2.2, 6.3.2 and 6.4.1).
    #[serde(skip_serializing)]
    d: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    p: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    q: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    dp: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    dq: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    qi: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    oth: Option<IgnoredAny>,
    #[serde(skip_serializing)]
    k: Option<IgnoredAny>,
}

impl JwkMembers {
    fn is_private(&self) -> bool {
        [&self.d, &self.p, &self.q, &self.dp, &self.dq, &self.qi, &self.oth, &self.k]
            .into_iter()
            .any(Option::is_some)
    }
}

impl From<Jwk> for JwkMembers {
    fn from(key: Jwk) -> Self {
        let (kty, crv, x, y) = match key {
            Jwk::P256 { x, y } => ("EC", "P-256", x, Some(y)),
            Jwk::Ed25519 { x } => ("OKP", "Ed25519", x, None),
        };
        Self {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x: encode(&x),
            y: y.map(|y| encode(&y)),
            ..Self::default()
        }
    }
}

impl TryFrom<JwkMembers> for Jwk {
    type Error = ProofError;

    fn try_from(members: JwkMembers) -> Result<Self, ProofError> {
        if members.is_private() {
            return Err(ProofError::PrivateKey);
        }
        let x = coordinate(&members.x)?;
        match (members.kty.as_str(), members.crv.as_str(), &members.y) {
            ("EC", "P-256", Some(y)) => Ok(Self::P256 { x, y: coordinate(y)? }),
            ("OKP", "Ed25519", None) => Ok(Self::Ed25519 { x }),
            _ => Err(ProofError::Key),
        }
    }
}

fn coordinate(text: &str) -> Result<[u8; 32], ProofError> {
    decode(text).and_then(|bytes| bytes.try_into().ok()).ok_or(ProofError::Key)
}

/// A signature algorithm of a device key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; the signature is r and s, 32 bytes each.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// The JOSE header of a proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`TYPE`].
    pub typ: String,
    /// The algorithm of `jwk`.
    pub alg: Algorithm,
    /// The key that signs.
    pub jwk: Jwk,
    /// Extensions that a reader must understand (RFC 7515, 4.1.11); HiveSync knows none.
    #[serde(default, skip_serializing)]
    crit: Option<Never>,
}

impl Header {
    /// The header of a proof by `jwk`.
    pub fn new(jwk: Jwk) -> Self {
        Self { typ: TYPE.to_owned(), alg: jwk.algorithm(), jwk, crit: None }
    }
}

/// Something no value of which is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Never {}

/// The claims of a proof (RFC 9449, 4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Names this proof; at least 96 random bits, never used again.
    pub jti: String,
    /// [`METHOD`].
    pub htm: String,
    /// The RPC, by [`htu`].
    pub htu: String,
    /// When the proof was made, in seconds of Unix time.
    pub iat: u64,
    /// [`access_token_hash`] of the access token that goes along, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
    /// The nonce that the server asked for, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<String>,
}

/// The claim `htu` of an RPC, such as `https://api.example.com/hivesync.v1.AuthService/Refresh`.
///
/// `authority` is host and port as the client addresses the server (`:authority`), compared without regard
/// to case; `method_path` is the gRPC path with its leading slash.
pub fn htu(authority: &str, method_path: &str) -> String {
    format!("{SCHEME}://{}{method_path}", authority.to_ascii_lowercase())
}

/// The claim `ath`: the SHA-256 of the access token's ASCII text, base64url.
pub fn access_token_hash(access_token: &str) -> String {
    encode(&Sha256::digest(access_token))
}

/// What the device's key signs (RFC 7515, 5.1).
pub fn signing_input(header: &Header, claims: &Claims) -> String {
    // Structures of strings and numbers always serialise.
    let part = |json: serde_json::Result<Vec<u8>>| encode(&json.unwrap_or_default());
    format!("{}.{}", part(serde_json::to_vec(header)), part(serde_json::to_vec(claims)))
}

/// The proof, from what was signed and its signature.
pub fn assemble(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", encode(signature))
}

/// A proof taken apart. **Not verified**: neither the signature nor any claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofParts<'a> {
    /// The header; its algorithm is the one of its key.
    pub header: Header,
    /// The claims, as the caller makes them.
    pub claims: Claims,
    /// What `signature` must sign.
    pub signing_input: &'a str,
    /// The signature, 64 bytes by both algorithms.
    pub signature: [u8; SIGNATURE_BYTES],
}

impl<'a> ProofParts<'a> {
    /// Takes a proof apart, without verifying it.
    ///
    /// # Errors
    /// Why the text is not a proof.
    pub fn parse(proof: &'a str) -> Result<Self, ProofError> {
        if proof.len() > PROOF_BYTES_MAX {
            return Err(ProofError::TooLong);
        }
        let (signing_input, signature) = proof.rsplit_once('.').ok_or(ProofError::Malformed)?;
        let (header, claims) = signing_input.split_once('.').ok_or(ProofError::Malformed)?;
        let header: Header = json(header)?;
        let claims: Claims = json(claims)?;
        if header.typ != TYPE {
            return Err(ProofError::Type);
        }
        if header.alg != header.jwk.algorithm() {
            return Err(ProofError::Algorithm);
        }
        let texts = [
            Some(&claims.jti),
            Some(&claims.htm),
            Some(&claims.htu),
            claims.ath.as_ref(),
            claims.nonce.as_ref(),
        ];
        if texts.into_iter().flatten().any(|text| text.is_empty() || text.len() > CLAIM_BYTES_MAX) {
            return Err(ProofError::Malformed);
        }
        let signature =
            decode(signature).and_then(|bytes| bytes.try_into().ok()).ok_or(ProofError::Malformed)?;
        Ok(Self { header, claims, signing_input, signature })
    }
}

/// Why a text is not a proof. For the log; the caller is only told that the proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum ProofError {
    /// It is longer than [`PROOF_BYTES_MAX`].
    #[error("the proof is too long")]
    TooLong,
    /// It is not a compact JWS with the header and the claims of a proof.
    #[error("the proof is malformed")]
    Malformed,
    /// `typ` is not [`TYPE`].
    #[error("the token is not a device proof")]
    Type,
    /// `alg` is not the algorithm of the key.
    #[error("the algorithm does not fit the key")]
    Algorithm,
    /// The key is of no supported kind, or not well formed.
    #[error("the key is not a P-256 or Ed25519 public key")]
    Key,
    /// The key comes with private members.
    #[error("the key is not public")]
    PrivateKey,
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, ProofError> {
    let bytes = decode(part).ok_or(ProofError::Malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| ProofError::Malformed)
}

fn encode(bytes: &[u8]) -> String {
    BASE64URL.encode(bytes)
}

fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64URL.decode(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use serde_json::{Value, json};

    use super::*;

    /// The key of the example in RFC 9449, 4.1.
    const RFC_9449_KEY: &str = r#"{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}"#;

    fn claims() -> Claims {
        Claims {
            jti: "-BwC3ESc6acc2lTc".to_owned(),
            htm: METHOD.to_owned(),
            htu: htu("API.example.com:443", "/hivesync.v1.AuthService/Refresh"),
            iat: 1_562_262_616,
            ath: Some(access_token_hash("token")),
            nonce: None,
        }
    }

    fn key() -> Jwk {
        serde_json::from_str(RFC_9449_KEY).unwrap()
    }

    fn proof_of(header: &Value, claims: &Value) -> String {
        let part = |value: &Value| encode(value.to_string().as_bytes());
        assemble(&format!("{}.{}", part(header), part(claims)), &[7; 64])
    }

    fn parse_header(change: impl FnOnce(&mut Value)) -> Result<(), ProofError> {
        let mut header = serde_json::to_value(Header::new(key())).unwrap();
        change(&mut header);
        ProofParts::parse(&proof_of(&header, &serde_json::to_value(claims()).unwrap())).map(|_| ())
    }

    #[test]
    fn names_keys_as_the_standards_do() {
        // RFC 9449, 6.1 (`jkt`), and RFC 8037, A.3.
        assert_eq!(key().thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        let ed25519: Jwk = serde_json::from_str(
            r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        )
        .unwrap();
        assert_eq!(ed25519.thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(ed25519.algorithm(), Algorithm::EdDsa);
        // RFC 9449, 7.1 (`ath`).
        assert_eq!(
            access_token_hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"),
            "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
        );
    }

    #[test]
    fn gives_back_what_was_assembled() {
        for jwk in [key(), Jwk::Ed25519 { x: [3; 32] }] {
            let input = signing_input(&Header::new(jwk), &claims());
            let proof = assemble(&input, &[9; 64]);
            let parts = ProofParts::parse(&proof).unwrap();
            assert_eq!(parts.header, Header::new(jwk));
            assert_eq!(parts.claims, claims());
            assert_eq!(parts.claims.htu, "https://api.example.com:443/hivesync.v1.AuthService/Refresh");
            assert_eq!((parts.signing_input, parts.signature), (input.as_str(), [9; 64]));
        }
    }

    #[test]
    fn refuses_private_and_foreign_keys() {
        for member in ["d", "p", "q", "dp", "dq", "qi", "k", "oth"] {
            let mut jwk: Value = serde_json::from_str(RFC_9449_KEY).unwrap();
            jwk[member] = json!("AAAA");
            let error = serde_json::from_value::<Jwk>(jwk).unwrap_err().to_string();
            assert_eq!(error, ProofError::PrivateKey.to_string(), "{member}");
        }
        let x = encode(&[1; 32]);
        let refused = [
            json!({}),
            json!({"kty": "RSA", "n": x, "e": "AQAB"}),
            json!({"kty": "oct", "k": x}),
            json!({"kty": "EC", "crv": "P-384", "x": x, "y": x}),
            json!({"kty": "EC", "crv": "P-256", "x": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": x, "y": x}),
            json!({"kty": "OKP", "crv": "X25519", "x": x}),
            json!({"kty": "EC", "crv": "Ed25519", "x": x}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": encode(&[1; 31])}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": format!("{x}=")}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": 7}),
        ];
        for jwk in refused {
            assert!(serde_json::from_value::<Jwk>(jwk.clone()).is_err(), "{jwk}");
        }
    }

    #[test]
    fn refuses_headers_that_lie() {
        assert_eq!(parse_header(|_| {}), Ok(()));
        assert_eq!(parse_header(|header| header["typ"] = json!("JWT")), Err(ProofError::Type));
        assert_eq!(parse_header(|header| header["alg"] = json!("EdDSA")), Err(ProofError::Algorithm));
        for algorithm in ["none", "HS256", "RS256", "es256", "ES384", ""] {
            assert_eq!(parse_header(|header| header["alg"] = json!(algorithm)), Err(ProofError::Malformed));
        }
        assert_eq!(parse_header(|header| header["crit"] = json!(["b64"])), Err(ProofError::Malformed));
        assert_eq!(parse_header(|header| header["jwk"]["d"] = json!("AAAA")), Err(ProofError::Malformed));
        assert_eq!(parse_header(|header| header["jwk"] = json!(null)), Err(ProofError::Malformed));
    }

    #[test]
    fn refuses_what_is_not_a_proof() {
        let good = assemble(&signing_input(&Header::new(key()), &claims()), &[7; 64]);
        let repeated = good.replacen('.', ".e30.", 1);
        let padded = format!("{good}=");
        let short = assemble(&signing_input(&Header::new(key()), &claims()), &[7; 63]);
        let unsigned = assemble(&signing_input(&Header::new(key()), &claims()), &[]);
        for text in ["", ".", "..", "a.b.c", &repeated, &padded, &short, &unsigned] {
            assert_eq!(ProofParts::parse(text).err(), Some(ProofError::Malformed), "{text}");
        }
        assert_eq!(ProofParts::parse(&"a".repeat(PROOF_BYTES_MAX + 1)).err(), Some(ProofError::TooLong));

        let header = serde_json::to_value(Header::new(key())).unwrap();
        let valid = serde_json::to_value(claims()).unwrap();
        for (member, value) in [
            ("jti", json!("")),
            ("jti", json!(7)),
            ("jti", json!("j".repeat(CLAIM_BYTES_MAX + 1))),
            ("iat", json!(-1)),
            ("iat", json!("1")),
            ("iat", json!(1.5)),
            ("htu", json!(null)),
            ("htm", json!("")),
        ] {
            let mut claims = valid.clone();
            claims[member] = value;
            assert_eq!(
                ProofParts::parse(&proof_of(&header, &claims)).err(),
                Some(ProofError::Malformed),
                "{member}"
            );
        }
    }
}
