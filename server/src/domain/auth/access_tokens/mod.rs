//! Access tokens: JWTs in the profile of RFC 9068, that live for minutes and are verified without asking
//! anybody.

mod cache;
mod keyring;
mod revocations;
#[cfg(test)]
mod tests;

use std::time::Duration;

use jsonwebtoken::Header;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::base::{
    actor::{PlatformRole, User},
    clock::Timestamp,
    config, crypto,
    entropy::Entropy,
    error::{Error, Reason, Result},
    ids::{DeviceId, SessionId, UserId},
    secret::SecretText,
};
use cache::{Cache, Verified};
use keyring::Keyring;
use revocations::Revocations;

/// The value of the header member `typ` (RFC 9068, 2.1).
const TYPE: &str = "at+jwt";
/// How the user was authenticated (RFC 8176): with a password, and a proof of the device's key.
const METHODS: [&str; 2] = ["pwd", "pop"];
/// How far the clocks of two servers may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(5);
/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 4_096;

/// What a token says (RFC 9068, 2.2). Nothing in it is personal.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: UserId,
    sid: SessionId,
    did: DeviceId,
    jti: Uuid,
    iat: i64,
    nbf: i64,
    exp: i64,
    auth_time: i64,
    amr: Vec<String>,
    roles: Vec<String>,
}

/// A token, and how long it lives.
#[derive(Debug)]
pub(super) struct Minted {
    pub token: SecretText,
    pub life: Duration,
}

/// Makes and verifies access tokens.
pub struct AccessTokens {
    issuer: String,
    audience: String,
    life: Duration,
    keyring: Keyring,
    verified: Cache,
    revocations: Revocations,
}

impl AccessTokens {
    /// Reads the keys that `config` names.
    ///
    /// # Errors
    /// `INTERNAL` if a key cannot be read or used; the cause names its file.
    pub fn new(config: &config::Tokens) -> Result<Self> {
        Ok(Self {
            issuer: config.issuer.clone(),
            audience: config.audience.clone(),
            life: config.life,
            keyring: Keyring::read(config)?,
            verified: Cache::default(),
            revocations: Revocations::new(config.life + LEEWAY),
        })
    }

    /// The sessions whose tokens are refused.
    pub(super) const fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Whether `session` was ended, as far as this server knows: it learns of it within a second.
    #[must_use]
    pub fn has_ended(&self, session: SessionId) -> bool {
        self.revocations.holds(session)
    }

    /// Makes a token for `user`, who signed in at `signed_in_at` and whose session ends at `session_ends_at`.
    pub(super) fn mint(
        &self,
        entropy: &Entropy,
        now: Timestamp,
        user: &User,
        (signed_in_at, session_ends_at): (Timestamp, Timestamp),
    ) -> Result<Minted> {
        let life = self.life.min(session_ends_at.since(now));
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.id,
            sid: user.session,
            did: user.device,
            jti: entropy.uuid(now)?,
            iat: now.as_secs(),
            nbf: now.as_secs(),
            exp: (now + life).as_secs(),
            auth_time: signed_in_at.as_secs(),
            amr: METHODS.map(str::to_owned).to_vec(),
            roles: vec![user.role.as_str().to_owned()],
        };
        let key = self.keyring.signing();
        let header =
            Header { typ: Some(TYPE.to_owned()), kid: Some(key.id.clone()), ..Header::new(key.algorithm) };
        let token = jsonwebtoken::encode(&header, &claims, &key.encoding).map_err(Error::internal)?;
        Ok(Minted { token: token.into(), life })
    }

    /// Who holds `token`, at `now`. Asks nobody, so that it can stand in front of every call.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for anything but a token that this server made, for this audience, and that has
    /// not expired; `SESSION_ENDED` for one whose session was ended.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<User> {
        let refuse = |why: &'static str| Error::new(Reason::Unauthenticated).because(why);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(refuse("the access token is too long"));
        }
        let digest = crypto::sha256(token.as_bytes());
        let verified = match self.verified.find(&digest) {
            Some(verified) => verified,
            None => {
                let verified = self.verify_anew(token, now)?;
                self.verified.remember(digest, verified.clone());
                verified
            }
        };
        if now >= verified.expires_at + LEEWAY {
            return Err(refuse("the access token has expired"));
        }
        if self.has_ended(verified.user.session) {
            return Err(Error::new(Reason::SessionEnded));
        }
        Ok(verified.user)
    }

    fn verify_anew(&self, token: &str, now: Timestamp) -> Result<Verified> {
        let refuse = |why: &'static str| Error::new(Reason::Unauthenticated).because(why);
        let key = JoseHeader::of(token)
            .filter(|header| header.typ == TYPE)
            .and_then(|header| self.keyring.find(&header.kid))
            .ok_or_else(|| refuse("the access token has a foreign header"))?;
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &key.validation)
            .map_err(|error| Error::new(Reason::Unauthenticated).because(error))?
            .claims;
        let expires_at = Timestamp::from_secs(claims.exp);
        if now >= expires_at + LEEWAY {
            return Err(refuse("the access token has expired"));
        }
        let latest = (now + LEEWAY).as_secs();
        if claims.iat > latest || claims.nbf > latest {
            return Err(refuse("the access token is not valid yet"));
        }
        let role = match claims.roles.as_slice() {
            [role] => PlatformRole::parse(role),
            _ => None,
        };
        let role = role.ok_or_else(|| refuse("the access token names no known role"))?;
        let user = User { id: claims.sub, session: claims.sid, device: claims.did, role };
        Ok(Verified { user, expires_at })
    }
}

/// The whole header of a token of ours. One with anything else in it, such as a key or an address of one,
/// is not ours.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JoseHeader {
    typ: String,
    kid: String,
    #[serde(rename = "alg")]
    _alg: String,
}

impl JoseHeader {
    fn of(token: &str) -> Option<Self> {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let bytes = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}
