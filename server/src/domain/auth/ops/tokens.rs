//! The tokens that a sign-in or an exchange hands out.

use std::time::Duration;

use crate::{
    base::{actor, ctx::Ctx, error::Result, secret::SecretText},
    domain::{
        auth::{
            access_tokens::AccessTokens,
            model::{refresh_token::RefreshToken, session::Session},
        },
        users::User,
    },
};

/// The tokens of a session.
#[derive(Debug)]
pub(in crate::domain::auth) struct Tokens {
    pub session: Session,
    pub access_token: SecretText,
    pub access_token_life: Duration,
    pub refresh_token: SecretText,
}

impl Tokens {
    /// Makes the current tokens of `session`.
    pub(super) fn issue(ctx: &Ctx, user: &User, session: Session) -> Result<Self> {
        let holder =
            actor::User { id: session.user, session: session.id, device: session.device, role: user.role };
        let span = (session.created_at, session.expires_at);
        let access = ctx.ports.get::<AccessTokens>()?.mint(&ctx.entropy, ctx.clock.now(), &holder, span)?;
        let refresh = RefreshToken { session: session.id, generation: session.generation };
        Ok(Self {
            refresh_token: refresh.write(&ctx.keys)?,
            access_token: access.token,
            access_token_life: access.life,
            session,
        })
    }
}
