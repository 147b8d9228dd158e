//! How often somebody may try. Charged before a password is hashed.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{
    base::{
        ctx::Ctx,
        error::Result,
        ids::SessionId,
        limit::{Claim, Rule},
    },
    domain::users::EmailIndex,
};

/// Sign-ins to an account from a device that it knows. A budget of its own, so that strangers cannot lock
/// the owner out.
const KNOWN_DEVICE: Rule = Rule::new("auth.login.known_device", 10, Duration::from_secs(300));
/// Sign-ins to an account from all other devices together.
const UNKNOWN_DEVICES: Rule = Rule::new("auth.login.unknown_devices", 10, Duration::from_secs(300));
/// Sign-ins from an address.
const LOGIN_ADDRESS: Rule = Rule::new("auth.login.address", 60, Duration::from_secs(300));
/// Registrations from an address.
const REGISTER_ADDRESS: Rule = Rule::new("auth.register.address", 60, Duration::from_secs(3_600));
/// Exchanges of a session's refresh tokens. A command line makes one each time it is run, since an access token
/// is never stored: this lets a script run two a second.
const REFRESH: Rule = Rule::new("auth.refresh.session", 600, Duration::from_secs(300));

/// Charges a sign-in to `account`; `known_device` is the thumbprint of the proven key if the account knows
/// that device.
pub(super) async fn charge_login(ctx: &Ctx, account: EmailIndex, known_device: Option<&str>) -> Result<()> {
    let account = URL_SAFE_NO_PAD.encode(account);
    let claim = match known_device {
        Some(thumbprint) => Claim::new(KNOWN_DEVICE, format_args!("{account}:{thumbprint}")),
        None => Claim::new(UNKNOWN_DEVICES, account),
    };
    ctx.charge(&[claim, Claim::of_client(LOGIN_ADDRESS, ctx.call.address)]).await
}

/// Charges a registration.
pub(super) async fn charge_register(ctx: &Ctx) -> Result<()> {
    ctx.charge(&[Claim::of_client(REGISTER_ADDRESS, ctx.call.address)]).await
}

/// Charges an exchange of a refresh token.
pub(super) async fn charge_refresh(ctx: &Ctx, session: SessionId) -> Result<()> {
    ctx.charge(&[Claim::new(REFRESH, session)]).await
}
