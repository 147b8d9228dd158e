//! The keys of access tokens. Each key has one algorithm, whatever a token's header says.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::{
    hmac,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Validation};
use rustls_pemfile::Item;

use super::LEEWAY;
use crate::base::{
    config,
    error::{Error, Result},
    secret::Secret,
};

/// The fewest bytes of an RSA modulus: 2,048 bits (RFC 7518, 3.3).
const RSA_MODULUS_BYTES_MIN: usize = 256;
/// The bytes in front of the RSAPrivateKey in a PKCS #8 structure of at least 2,048 bits: a sequence, its
/// version, the algorithm `rsaEncryption`, and the header of an octet string (RFC 5208, 5; RFC 8017, A.1).
const PKCS8_RSA_HEADER_LEN: usize = 26;

/// A key, and the one algorithm that it is used with.
pub(super) struct Key {
    pub id: String,
    pub algorithm: Algorithm,
    pub encoding: EncodingKey,
    pub decoding: DecodingKey,
    pub validation: Validation,
}

/// Every key that verifies, and the one that signs.
pub(super) struct Keyring {
    keys: HashMap<String, Arc<Key>>,
    signing: Arc<Key>,
}

impl Keyring {
    /// Reads the secret and the PEM files that `config` names. The file that is last by name signs; without
    /// any, the secret.
    pub(super) fn read(config: &config::Tokens) -> Result<Self> {
        let mut parts: Vec<Parts> = config.secret.iter().map(Parts::of_secret).collect();
        for path in config.keys_dir.iter().map(|dir| pem_files(dir)).collect::<Result<Vec<_>>>()?.concat() {
            parts.push(Parts::of_file(&path).ok_or_else(|| unusable(&path))?);
        }
        let keys: Vec<_> = parts.into_iter().map(|parts| Arc::new(parts.key(config))).collect();
        let signing = keys.last().cloned().ok_or_else(|| Error::internal("there is no key for tokens"))?;
        Ok(Self { keys: keys.into_iter().map(|key| (key.id.clone(), key)).collect(), signing })
    }

    /// The key that signs.
    pub(super) fn signing(&self) -> &Key {
        &self.signing
    }

    /// The key `id`.
    pub(super) fn find(&self, id: &str) -> Option<&Key> {
        self.keys.get(id).map(Arc::as_ref)
    }
}

struct Parts {
    id: String,
    algorithm: Algorithm,
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Parts {
    fn of_secret(secret: &Secret) -> Self {
        let secret = secret.expose();
        let name = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"hivesync key id");
        let hex: String = name.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        Self {
            id: format!("hs256-{hex}"),
            algorithm: Algorithm::HS256,
            encoding: EncodingKey::from_secret(secret),
            decoding: DecodingKey::from_secret(secret),
        }
    }

    fn of_file(path: &Path) -> Option<Self> {
        let id = path.file_stem()?.to_str()?.to_owned();
        let pem = Secret::new(fs::read(path).ok()?);
        let (item, _) = rustls_pemfile::read_one_from_slice(pem.expose()).ok()??;
        match item {
            Item::Pkcs8Key(key) => Self::of_pkcs8(id, key.secret_pkcs8_der()),
            Item::Pkcs1Key(key) => Self::of_rsa(id, key.secret_pkcs1_der()),
            _ => None,
        }
    }

    fn of_pkcs8(id: String, der: &[u8]) -> Option<Self> {
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            return Some(Self {
                id,
                algorithm: Algorithm::EdDSA,
                encoding: EncodingKey::from_ed_der(der),
                decoding: DecodingKey::from_ed_der(pair.public_key().as_ref()),
            });
        }
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            return Some(Self {
                id,
                algorithm: Algorithm::ES256,
                encoding: EncodingKey::from_ec_der(der),
                decoding: DecodingKey::from_ec_der(pair.public_key().as_ref()),
            });
        }
        RsaKeyPair::from_pkcs8(der).ok()?;
        Self::of_rsa(id, der.get(PKCS8_RSA_HEADER_LEN..)?)
    }

    fn of_rsa(id: String, pkcs1: &[u8]) -> Option<Self> {
        let pair = RsaKeyPair::from_der(pkcs1).ok()?;
        (pair.public_modulus_len() >= RSA_MODULUS_BYTES_MIN).then(|| Self {
            id,
            algorithm: Algorithm::RS256,
            encoding: EncodingKey::from_rsa_der(pkcs1),
            decoding: DecodingKey::from_rsa_der(pair.public_key().as_ref()),
        })
    }

    fn key(self, config: &config::Tokens) -> Key {
        let mut validation = Validation::new(self.algorithm);
        validation.leeway = LEEWAY.as_secs();
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[&config.issuer]);
        validation.set_audience(&[&config.audience]);
        // The library reads the system's clock; these are compared with the server's own.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let Self { id, algorithm, encoding, decoding } = self;
        Key { id, algorithm, encoding, decoding, validation }
    }
}

fn pem_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .map_err(|error| Error::internal(format!("{}: {error}", directory.display())))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    paths.sort();
    Ok(paths)
}

fn unusable(path: &Path) -> Error {
    Error::internal(format!("{}: is not a private key for EdDSA, ES256 or RS256 in PKCS #8", path.display()))
}
