//! Who calls: the access token, the proof of the device key, or the worker's proof, as the policy wants.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::{
    permits,
    policy::{Audience, Row},
};
use crate::{
    base::{
        actor::Actor,
        ctx::{Ctx, ProvenKey},
        error::{Error, Reason, Result},
    },
    domain::{
        auth::{
            AccessTokens,
            device_proof::{self, ProvenCall},
        },
        jobs::dispatch,
    },
};

/// Who a call is made by.
pub struct Identity {
    /// The caller.
    pub actor: Actor,
    /// The device key that the caller proved to hold, if the policy asks for it.
    pub proven_key: Option<ProvenKey>,
}

/// Finds out who calls.
#[derive(Clone)]
pub struct Authenticator {
    tokens: Arc<AccessTokens>,
    authorities: Arc<[String]>,
}

impl Authenticator {
    /// Accepts the access tokens of `tokens`, and device proofs made for one of `authorities` (host and
    /// port as clients connect to them).
    #[must_use]
    pub fn new(tokens: Arc<AccessTokens>, authorities: Vec<String>) -> Self {
        Self { tokens, authorities: authorities.into() }
    }

    /// Who makes the request with these `parts`, which goes to `row`. The context does not know yet.
    ///
    /// # Errors
    /// `UNAUTHENTICATED`, `INVALID_DEVICE_PROOF`, `INVALID_WORKER_PROOF` or `PERMISSION_DENIED`.
    pub async fn identify(&self, ctx: &Ctx, row: &Row, parts: &Parts) -> Result<Identity> {
        let headers = &parts.headers;
        let (actor, access_token) = match row.audience {
            Audience::Public | Audience::Everywhere => (Actor::Anonymous, None),
            Audience::User | Audience::Operator => {
                let token = bearer(headers).ok_or_else(|| Error::new(Reason::Unauthenticated))?;
                (Actor::User(self.tokens.verify(token, ctx.clock.now())?), Some(token))
            }
            Audience::Worker => {
                let proof = text(headers, hivesync_proto::worker_proof::METADATA_KEY);
                dispatch::authenticate(ctx, proof, parts.uri.path()).await?;
                (Actor::Worker, None)
            }
        };
        if !permits(row, &actor) {
            return Err(Error::new(Reason::PermissionDenied));
        }
        let proven_key = if row.device_proof {
            let proof = text(headers, hivesync_proto::device_proof::METADATA_KEY)
                .ok_or_else(|| Error::new(Reason::InvalidDeviceProof))?;
            let authorities: Vec<&str> = self.authorities.iter().map(String::as_str).collect();
            let now = ctx.clock.now();
            let call =
                ProvenCall { authorities: &authorities, method_path: parts.uri.path(), access_token, now };
            Some(device_proof::verify(&ctx.kv, proof, call).await?)
        } else {
            None
        };
        Ok(Identity { actor, proven_key })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
