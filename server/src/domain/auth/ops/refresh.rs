//! Exchanges a refresh token for its successor.

use uuid::Uuid;

use super::Tokens;
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        outbox,
        secret::SecretText,
    },
    domain::{
        audit::{self, Entry, Outcome},
        auth::{
            access_tokens::AccessTokens,
            event::RefreshReused,
            limits,
            model::{
                refresh_token::RefreshToken,
                session::{Misuse, Presented, Session, Verdict},
            },
            revocations,
            store::{
                devices,
                sessions::{self, Ending},
            },
        },
        users,
    },
};

/// A request for the successor of a refresh token.
#[derive(Clone)]
pub(in crate::domain::auth) struct Refresh {
    pub token: SecretText,
    pub attempt: Uuid,
}

/// Continues a session. Whatever is wrong with the token, the answer is the same.
pub(in crate::domain::auth) async fn refresh(ctx: &Ctx, command: Refresh) -> Result<Tokens> {
    let thumbprint = &ctx.proven_key()?.thumbprint;
    let Some(token) = RefreshToken::read(&ctx.keys, command.token.expose())? else {
        return Err(ended("the refresh token is not one of ours"));
    };
    limits::charge_refresh(ctx, token.session).await?;
    let tx = ctx.begin().await?;
    match sessions::advance(&tx, token, command.attempt, thumbprint, ctx.clock.now()).await? {
        Some(session) => continue_session(ctx, tx, session).await,
        None => judge(ctx, tx, token, command.attempt, thumbprint).await,
    }
}

/// Hands out the tokens of `session`, to which its user may have lost the right.
async fn continue_session(ctx: &Ctx, tx: Tx, session: Session) -> Result<Tokens> {
    let user = users::find(&tx, session.user).await?.filter(users::User::is_enabled);
    let user = user.ok_or_else(|| ended("the account is shut"))?;
    devices::touch(&tx, session.device, ctx.clock.now()).await?;
    let entry = Entry::new("auth.refresh").user(session.user).device(session.device).subject(session.id.0);
    audit::append(ctx, &tx, entry);
    let tokens = Tokens::issue(ctx, &user, session)?;
    tx.commit().await?;
    Ok(tokens)
}

/// Decides about a token that is not the current one, or not the caller's.
async fn judge(ctx: &Ctx, tx: Tx, token: RefreshToken, attempt: Uuid, thumbprint: &str) -> Result<Tokens> {
    let session = sessions::find(&tx, token.session).await?;
    let session = session.ok_or_else(|| ended("there is no such session"))?;
    let device = devices::find(&tx, session.device).await?;
    let from_device =
        device.is_some_and(|device| device.revoked_at.is_none() && device.key.thumbprint == thumbprint);
    let presented = Presented { generation: token.generation, attempt, from_device };
    match session.judge(presented, ctx.clock.now()) {
        Verdict::Repeat => continue_session(ctx, tx, session).await,
        // It was not the current one a moment ago.
        Verdict::Advance => Err(Error::new(Reason::Conflict)),
        Verdict::Over => Err(ended("the session is over")),
        Verdict::Misuse(misuse) => {
            end_misused(ctx, tx, &session, misuse).await?;
            Err(ended(misuse.event()))
        }
    }
}

async fn end_misused(ctx: &Ctx, tx: Tx, session: &Session, misuse: Misuse) -> Result<()> {
    let Session { id, user, device, .. } = *session;
    let now = ctx.clock.now();
    let ended = sessions::end(&tx, user, Ending::One(id), now).await?;
    outbox::emit(ctx, &tx, &RefreshReused { user, session: id, device }).await?;
    let entry = Entry::new(misuse.event()).outcome(Outcome::Refused).user(user).device(device);
    audit::append(ctx, &tx, entry.subject(id.0));
    tx.raise(revocations::TOPIC);
    tx.commit().await?;
    ctx.ports.get::<AccessTokens>()?.revocations().add(&ended, now);
    Ok(())
}

fn ended(cause: &'static str) -> Error {
    Error::new(Reason::SessionEnded).because(cause)
}
