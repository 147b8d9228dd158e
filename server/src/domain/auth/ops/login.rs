//! Signs in with a password, on a device that proves its key.

use super::Tokens;
use crate::{
    base::{
        ctx::{Ctx, ProvenKey},
        db::Tx,
        error::{Error, Reason, Result},
        ids::{DeviceId, SessionId, UserId},
        outbox,
    },
    domain::{
        audit::{self, Entry, Outcome},
        auth::{
            event::DeviceAdded,
            limits,
            model::{
                device::{Device, Platform},
                password_policy::Password,
                session::Session,
            },
            passwords::{Comparison, Passwords},
            store::{credentials, devices, sessions},
        },
        users::{self, Email, Name, User},
    },
};

/// A request to sign in.
#[derive(Clone)]
pub(in crate::domain::auth) struct Login {
    pub email: Email,
    pub password: Password,
    pub device_name: Name,
    pub platform: Platform,
}

/// What is known of the account before the password is compared.
struct Account {
    user: User,
    password_hash: String,
}

/// Starts a session. Every outcome takes the same path: look up, charge, compare one password, and only
/// then look at what was found.
pub(in crate::domain::auth) async fn login(ctx: &Ctx, command: Login) -> Result<Tokens> {
    let key = ctx.proven_key()?.clone();
    let (account, device_is_known) = look_up(ctx, &command.email, &key).await?;
    let known_device = device_is_known.then_some(key.thumbprint.as_str());
    if let Err(error) = limits::charge_login(ctx, command.email.index(&ctx.keys)?, known_device).await {
        record_refusal(ctx, "auth.lockout", account.as_ref()).await?;
        return Err(error);
    }

    let passwords = ctx.ports.get::<Passwords>()?;
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let comparison = passwords.compare(ctx, &command.password, stored).await?;
    let (Some(account), Comparison::Same { outdated }) = (account.as_ref(), comparison) else {
        return refuse(ctx, account.as_ref(), Reason::InvalidCredentials).await;
    };
    let rehashed = if outdated { Some(passwords.hash(ctx, &command.password).await?) } else { None };

    let tx = ctx.begin().await?;
    // Held, so that no session begins while the account is being suspended.
    let Some(user) = users::find_held(&tx, account.user.id).await?.filter(User::is_enabled) else {
        drop(tx);
        return refuse(ctx, Some(account), Reason::InvalidCredentials).await;
    };
    if let Some(hash) = rehashed {
        credentials::rehash(&tx, user.id, &account.password_hash, hash).await?;
    }
    let Some((device, is_new)) = sign_in_device(ctx, &tx, user.id, &command, key).await? else {
        drop(tx);
        return refuse(ctx, Some(account), Reason::InvalidDeviceProof).await;
    };
    let session = begin_session(ctx, &tx, user.id, device).await?;
    if is_new {
        announce_device(ctx, &tx, user.id, device, &command.device_name).await?;
    }
    let entry = Entry::new("auth.login").user(user.id).device(device).subject(session.id.0);
    audit::append(ctx, &tx, entry);
    let tokens = Tokens::issue(ctx, &user, session)?;
    tx.commit().await?;
    Ok(tokens)
}

async fn look_up(ctx: &Ctx, email: &Email, key: &ProvenKey) -> Result<(Option<Account>, bool)> {
    let tx = ctx.read();
    // An address that nobody has costs the same queries, for an identifier that nobody has.
    let user = users::find_by_email(ctx, &tx, email).await?;
    let id = user.as_ref().map_or(UserId(uuid::Uuid::nil()), |user| user.id);
    let password_hash = credentials::find(&tx, id).await?;
    let device_is_known = devices::knows(&tx, id, &key.thumbprint).await?;
    let account = user.zip(password_hash).map(|(user, password_hash)| Account { user, password_hash });
    Ok((account, device_is_known))
}

async fn refuse(ctx: &Ctx, account: Option<&Account>, reason: Reason) -> Result<Tokens> {
    record_refusal(ctx, "auth.login", account).await?;
    Err(Error::new(reason))
}

async fn record_refusal(ctx: &Ctx, event: &'static str, account: Option<&Account>) -> Result<()> {
    let entry = Entry::new(event).outcome(Outcome::Refused);
    let entry = match account {
        Some(account) => entry.user(account.user.id),
        None => entry,
    };
    audit::record(ctx, entry).await
}

/// The device with `key`, and whether this is its first sign-in; none if it was revoked.
async fn sign_in_device(
    ctx: &Ctx,
    tx: &Tx,
    user: UserId,
    command: &Login,
    key: ProvenKey,
) -> Result<Option<(DeviceId, bool)>> {
    let now = ctx.clock.now();
    let device = Device {
        id: DeviceId(ctx.entropy.uuid(now)?),
        user,
        key,
        name: command.device_name.as_str().to_owned(),
        platform: command.platform,
        created_at: now,
        seen_at: now,
        revoked_at: None,
    };
    if devices::insert(tx, &device).await? {
        return Ok(Some((device.id, true)));
    }
    let known = devices::sign_in(tx, user, &device.key.thumbprint, &device.name, now).await?;
    Ok(known.map(|id| (id, false)))
}

async fn begin_session(ctx: &Ctx, tx: &Tx, user: UserId, device: DeviceId) -> Result<Session> {
    let now = ctx.clock.now();
    let session = Session::begin(SessionId(ctx.entropy.uuid(now)?), user, device, now);
    sessions::insert(tx, &session).await?;
    Ok(session)
}

async fn announce_device(ctx: &Ctx, tx: &Tx, user: UserId, device: DeviceId, name: &Name) -> Result<()> {
    let event = DeviceAdded { user, device, name: name.as_str().to_owned() };
    outbox::emit(ctx, tx, &event).await?;
    audit::append(ctx, tx, Entry::new("auth.device_added").user(user).device(device));
    Ok(())
}
