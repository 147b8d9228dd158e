//! Who calls: the access token, the proof of the device key, or the worker's proof, as the policy wants.

use std::sync::Arc;

use http::{HeaderMap, header::AUTHORIZATION, request::Parts};

use super::policy::{Audience, Row};
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
    /// `UNAUTHENTICATED`, `INVALID_WORKER_PROOF` or `PERMISSION_DENIED`.
    pub async fn identify(&self, ctx: &Ctx, row: &Row, parts: &Parts) -> Result<Actor> {
        let headers = &parts.headers;
        let actor = match row.audience {
            Audience::Public | Audience::Everywhere | Audience::Local => Actor::Anonymous,
            Audience::User | Audience::Person | Audience::Operator => {
                let token = bearer(headers).ok_or_else(|| Error::new(Reason::Unauthenticated))?;
                Actor::User(self.tokens.verify(token, ctx.clock.now())?)
            }
            Audience::Worker => {
                let proof = text(headers, hivesync_proto::worker_proof::METADATA_KEY);
                dispatch::authenticate(ctx, proof, parts.uri.path()).await?;
                Actor::Worker
            }
        };
        if row.permits(&actor) { Ok(actor) } else { Err(Error::new(Reason::PermissionDenied)) }
    }

    /// The device key that the caller of `row` proves to hold, if the policy asks for it. Anybody can make
    /// proofs, and each is remembered, so the call was counted before.
    ///
    /// # Errors
    /// `INVALID_DEVICE_PROOF`.
    pub async fn prove(&self, ctx: &Ctx, row: &Row, parts: &Parts) -> Result<Option<ProvenKey>> {
        if !row.device_proof {
            return Ok(None);
        }
        let headers = &parts.headers;
        let proof = text(headers, hivesync_proto::device_proof::METADATA_KEY)
            .ok_or_else(|| Error::new(Reason::InvalidDeviceProof))?;
        let authorities: Vec<&str> = self.authorities.iter().map(String::as_str).collect();
        let access_token = matches!(ctx.actor, Actor::User(_)).then(|| bearer(headers)).flatten();
        let (method_path, now) = (parts.uri.path(), ctx.clock.now());
        let call = ProvenCall { authorities: &authorities, method_path, access_token, now };
        device_proof::verify(&ctx.kv, proof, call).await.map(Some)
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
