//! `hivesync.v1.AuthService`.

use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::{
    model::{
        device::{Device, Platform},
        password_policy::Password,
    },
    ops::{
        Tokens, devices,
        login::{Login, login},
        refresh::{Refresh, refresh},
        register::{Register, register},
        sessions,
    },
};
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Result},
        ids::{DeviceId, SessionId},
        page::PageRequest,
        rpc::serve,
    },
    domain::users::{Email, Name},
};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::auth_service_server::AuthService for Rpc {
    async fn register(
        &self,
        request: Request<pb::RegisterRequest>,
    ) -> Result<Response<pb::RegisterResponse>, Status> {
        serve(request, |ctx, message| async move {
            register(&ctx, message.try_into()?).await?;
            Ok(pb::RegisterResponse {})
        })
        .await
    }

    async fn login(&self, request: Request<pb::LoginRequest>) -> Result<Response<pb::SessionTokens>, Status> {
        serve(request, |ctx, message| async move { Ok(login(&ctx, message.try_into()?).await?.into()) }).await
    }

    async fn refresh(
        &self,
        request: Request<pb::RefreshRequest>,
    ) -> Result<Response<pb::SessionTokens>, Status> {
        serve(request, |ctx, message| async move { Ok(refresh(&ctx, message.try_into()?).await?.into()) })
            .await
    }

    async fn logout(
        &self,
        request: Request<pb::LogoutRequest>,
    ) -> Result<Response<pb::LogoutResponse>, Status> {
        serve(request, |ctx, message| async move {
            sessions::logout(&ctx, message.everywhere).await?;
            Ok(pb::LogoutResponse {})
        })
        .await
    }

    async fn list_sessions(
        &self,
        request: Request<pb::ListSessionsRequest>,
    ) -> Result<Response<pb::ListSessionsResponse>, Status> {
        serve(request, |ctx, message| async move {
            let listed =
                sessions::list(&ctx, PageRequest::new(message.page_size, message.page_token)).await?;
            render_sessions(&ctx, listed)
        })
        .await
    }

    async fn revoke_session(
        &self,
        request: Request<pb::RevokeSessionRequest>,
    ) -> Result<Response<pb::RevokeSessionResponse>, Status> {
        serve(request, |ctx, message| async move {
            sessions::revoke(&ctx, SessionId::parse("session_id", &message.session_id)?).await?;
            Ok(pb::RevokeSessionResponse {})
        })
        .await
    }

    async fn list_devices(
        &self,
        request: Request<pb::ListDevicesRequest>,
    ) -> Result<Response<pb::ListDevicesResponse>, Status> {
        serve(request, |ctx, message| async move {
            let page = devices::list(&ctx, PageRequest::new(message.page_size, message.page_token)).await?;
            let current = ctx.user()?.device;
            Ok(pb::ListDevicesResponse {
                devices: page.items.into_iter().map(|device| render_device(device, current)).collect(),
                next_page_token: page.next,
            })
        })
        .await
    }

    async fn revoke_device(
        &self,
        request: Request<pb::RevokeDeviceRequest>,
    ) -> Result<Response<pb::RevokeDeviceResponse>, Status> {
        serve(request, |ctx, message| async move {
            devices::revoke(&ctx, DeviceId::parse("device_id", &message.device_id)?).await?;
            Ok(pb::RevokeDeviceResponse {})
        })
        .await
    }
}

impl TryFrom<pb::RegisterRequest> for Register {
    type Error = Error;

    fn try_from(message: pb::RegisterRequest) -> Result<Self> {
        let email = Email::new(&message.email);
        Ok(Self {
            password: Password::chosen(&message.password, &email)?,
            display_name: Name::parse("display_name", &message.display_name)?,
            email,
        })
    }
}

impl TryFrom<pb::LoginRequest> for Login {
    type Error = Error;

    fn try_from(message: pb::LoginRequest) -> Result<Self> {
        let platform = match message.platform() {
            pb::Platform::Desktop => Platform::Desktop,
            pb::Platform::Ios => Platform::Ios,
            pb::Platform::Android => Platform::Android,
            pb::Platform::Web => Platform::Web,
            pb::Platform::Unspecified => return Err(Error::invalid("platform", "must be set")),
        };
        Ok(Self {
            email: Email::new(&message.email),
            password: Password::given(&message.password),
            device_name: Name::parse("device_name", &message.device_name)?,
            platform,
        })
    }
}

impl TryFrom<pb::RefreshRequest> for Refresh {
    type Error = Error;

    fn try_from(message: pb::RefreshRequest) -> Result<Self> {
        let attempt = Uuid::parse_str(&message.attempt_id)
            .map_err(|_| Error::invalid("attempt_id", "must be a UUID"))?;
        Ok(Self { token: message.refresh_token.into(), attempt })
    }
}

impl From<Tokens> for pb::SessionTokens {
    fn from(tokens: Tokens) -> Self {
        Self {
            access_token: tokens.access_token.expose().to_owned(),
            access_token_expires_in_secs: u32::try_from(tokens.access_token_life.as_secs())
                .unwrap_or(u32::MAX),
            refresh_token: tokens.refresh_token.expose().to_owned(),
            session_id: tokens.session.id.to_string(),
            user_id: tokens.session.user.to_string(),
            device_id: tokens.session.device.to_string(),
            session_expires_at: Some(tokens.session.expires_at.into()),
        }
    }
}

fn render_sessions(ctx: &Ctx, listed: sessions::Listed) -> Result<pb::ListSessionsResponse> {
    let current = ctx.user()?.session;
    let sessions::Listed { sessions, device_names } = listed;
    let page = sessions.map(|session| pb::Session {
        id: session.id.to_string(),
        device_id: session.device.to_string(),
        device_name: device_names.get(&session.device).cloned().unwrap_or_default(),
        created_at: Some(session.created_at.into()),
        refreshed_at: Some(session.rotated_at.into()),
        expires_at: Some(session.expires_at.into()),
        current: session.id == current,
    });
    Ok(pb::ListSessionsResponse { sessions: page.items, next_page_token: page.next })
}

fn render_device(device: Device, current: DeviceId) -> pb::Device {
    let platform = match device.platform {
        Platform::Desktop => pb::Platform::Desktop,
        Platform::Ios => pb::Platform::Ios,
        Platform::Android => pb::Platform::Android,
        Platform::Web => pb::Platform::Web,
    };
    pb::Device {
        id: device.id.to_string(),
        name: device.name,
        platform: platform.into(),
        key_thumbprint: device.key.thumbprint,
        created_at: Some(device.created_at.into()),
        seen_at: Some(device.seen_at.into()),
        current: device.id == current,
    }
}
