//! Lists and ends the caller's sessions.

use std::collections::HashMap;

use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::{Error, Reason, Result},
        ids::{DeviceId, SessionId, UserId},
        page::{Page, PageRequest},
    },
    domain::{
        audit::{self, Entry},
        auth::{
            access_tokens::AccessTokens,
            model::session::{HISTORY, Session},
            revocations,
            store::{
                devices,
                sessions::{self, Ending},
            },
        },
    },
};

/// The list's name in page tokens.
const SCOPE: &str = "auth.sessions";

/// Sessions that one round of the sweep forgets.
const BATCH: u64 = 500;

/// A page of sessions, and what their devices call themselves.
pub(in crate::domain::auth) struct Listed {
    pub sessions: Page<Session>,
    pub device_names: HashMap<DeviceId, String>,
}

/// Ends the session of the call, or all of its user.
pub(in crate::domain::auth) async fn logout(ctx: &Ctx, everywhere: bool) -> Result<()> {
    let caller = ctx.user()?;
    let (user, session) = (caller.id, caller.session);
    let (which, entry) = if everywhere {
        (Ending::OfUser, Entry::new("auth.logout_everywhere"))
    } else {
        (Ending::One(session), Entry::new("auth.logout"))
    };
    let tx = ctx.begin().await?;
    end(ctx, tx, user, which, entry.subject(session.0)).await
}

/// Ends one session of the caller.
pub(in crate::domain::auth) async fn revoke(ctx: &Ctx, id: SessionId) -> Result<()> {
    let user = ctx.user()?.id;
    let tx = ctx.begin().await?;
    let session = sessions::find(&tx, id).await?.filter(|session| session.user == user);
    session.ok_or_else(Error::not_found)?;
    end(ctx, tx, user, Ending::One(id), Entry::new("auth.session_revoked").subject(id.0)).await
}

/// The caller's live sessions, newest first.
pub(in crate::domain::auth) async fn list(ctx: &Ctx, request: PageRequest) -> Result<Listed> {
    let before = request.after(ctx, SCOPE)?.and_then(|key| uuid::Uuid::from_slice(&key).ok());
    let tx = ctx.read();
    let found =
        sessions::list(&tx, ctx.user()?.id, before.map(SessionId), request.size + 1, ctx.clock.now()).await?;
    let sessions = Page::cut(ctx, SCOPE, &request, found, |last| last.id.0.as_bytes().to_vec())?;
    let ids: Vec<_> = sessions.items.iter().map(|session| session.device).collect();
    Ok(Listed { device_names: devices::names(&tx, &ids).await?, sessions })
}

/// Ends sessions of `user`, records it, and refuses their access tokens from now on.
pub(super) async fn end(ctx: &Ctx, tx: Tx, user: UserId, which: Ending, entry: Entry) -> Result<()> {
    let now = ctx.clock.now();
    let ended = sessions::end(&tx, user, which, now).await?;
    audit::append(ctx, &tx, entry);
    tx.raise(revocations::TOPIC);
    tx.commit().await?;
    ctx.ports.get::<AccessTokens>()?.revocations().add(&ended, now);
    Ok(())
}

/// Requires that the caller's session goes on: for a call that lasts longer than its access token.
///
/// # Errors
/// `SESSION_ENDED` if the session was ended or has expired.
pub async fn require_live_session(ctx: &Ctx) -> Result<()> {
    let session = sessions::find(&ctx.read(), ctx.user()?.session).await?;
    match session {
        Some(session) if session.is_live(ctx.clock.now()) => Ok(()),
        _ => Err(Error::new(Reason::SessionEnded)),
    }
}

/// Forgets sessions that are over for long. What one round leaves, the next one finds.
///
/// # Errors
/// If the database does not answer.
pub async fn sweep(ctx: &Ctx) -> Result<()> {
    let tx = ctx.begin().await?;
    sessions::forget_history(&tx, ctx.clock.now() - HISTORY, BATCH).await?;
    tx.commit().await
}
