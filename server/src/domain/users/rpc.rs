//! `hivesync.v1.UserService`.

use hivesync_proto::v1 as pb;
use tonic::{Request, Response, Status};

use super::{
    model::{Name, User},
    ops,
};
use crate::base::{actor::PlatformRole, ctx::Ctx, error::Result, rpc::serve};

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rpc;

#[tonic::async_trait]
impl pb::user_service_server::UserService for Rpc {
    async fn get_me(&self, request: Request<pb::GetMeRequest>) -> Result<Response<pb::User>, Status> {
        serve(request, |ctx, _| async move { render(&ctx, ops::get_me(&ctx).await?) }).await
    }

    async fn update_me(&self, request: Request<pb::UpdateMeRequest>) -> Result<Response<pb::User>, Status> {
        serve(request, |ctx, message| async move {
            let display_name = Name::parse("display_name", &message.display_name)?;
            render(&ctx, ops::update_me(&ctx, display_name).await?)
        })
        .await
    }
}

fn render(ctx: &Ctx, user: User) -> Result<pb::User> {
    let role = match user.role {
        PlatformRole::User => pb::PlatformRole::User,
        PlatformRole::Admin => pb::PlatformRole::Admin,
        PlatformRole::Service => pb::PlatformRole::Service,
    };
    Ok(pb::User {
        id: user.id.to_string(),
        email: user.email(&ctx.field_cipher)?.as_str().to_owned(),
        display_name: user.display_name,
        role: role.into(),
        personal_team_id: user.personal_team.to_string(),
        created_at: Some(user.created_at.into()),
    })
}
