//! What happens elsewhere, told to those whom it concerns.

use async_trait::async_trait;

use super::{
    model::{Kind, News},
    ops::tell,
};
use crate::{
    base::{ctx::Ctx, db::Tx, error::Result, outbox::Handler},
    domain::{
        auth::{self, DeviceAdded, RefreshReused},
        previews::{PreviewFailed, PreviewReady},
        projects::{RepositorySyncFailed, RepositorySynced},
        teams::{self, MemberInvited, MemberJoined},
        users,
    },
};

/// Tells users about every event that it handles.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notify;

#[async_trait]
impl Handler<DeviceAdded> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: DeviceAdded) -> Result<()> {
        let news = News {
            kind: Kind::DeviceAdded,
            text: format!("“{}” signed in to your account for the first time.", event.name),
            team: None,
            project: None,
            subject: Some(event.device.0),
        };
        tell(ctx, tx, [event.user], &news).await
    }
}

#[async_trait]
impl Handler<RefreshReused> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: RefreshReused) -> Result<()> {
        let news = News {
            kind: Kind::SessionRevoked,
            text: "A session of yours was ended, because its token was used twice. If that was not you, \
                   change your password."
                .to_owned(),
            team: None,
            project: None,
            subject: Some(event.device.0),
        };
        tell(ctx, tx, [event.user], &news).await
    }
}

#[async_trait]
impl Handler<MemberInvited> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: MemberInvited) -> Result<()> {
        let news = News {
            kind: Kind::Invited,
            text: format!("You are invited to the team “{}”.", event.team_name),
            team: Some(event.team),
            project: None,
            subject: Some(event.invitation.0),
        };
        tell(ctx, tx, event.user, &news).await
    }
}

#[async_trait]
impl Handler<MemberJoined> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: MemberJoined) -> Result<()> {
        let names = users::display_names(tx, &[event.user]).await?;
        let name = names.get(&event.user).map_or("Somebody", String::as_str);
        let news = News {
            kind: Kind::MemberJoined,
            text: format!("{name} joined the team “{}”.", event.team_name),
            team: Some(event.team),
            project: None,
            subject: None,
        };
        let admins = teams::admin_ids(tx, event.team).await?;
        tell(ctx, tx, admins.into_iter().filter(|admin| *admin != event.user), &news).await
    }
}

#[async_trait]
impl Handler<RepositorySynced> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: RepositorySynced) -> Result<()> {
        let news = News {
            kind: Kind::RepositorySynced,
            text: format!("The repository of “{}” is up to date.", event.name),
            team: Some(event.team),
            project: Some(event.project),
            subject: Some(event.job.0),
        };
        let admins = teams::admin_ids(tx, event.team).await?;
        tell(ctx, tx, admins.into_iter().chain(event.requester), &news).await
    }
}

#[async_trait]
impl Handler<RepositorySyncFailed> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: RepositorySyncFailed) -> Result<()> {
        let text = match event.rejected {
            true => format!("The repository of “{}” holds something that is not accepted.", event.name),
            false => format!("The repository of “{}” could not be fetched.", event.name),
        };
        let news = News {
            kind: Kind::RepositorySyncFailed,
            text,
            team: Some(event.team),
            project: Some(event.project),
            subject: Some(event.job.0),
        };
        let admins = teams::admin_ids(tx, event.team).await?;
        tell(ctx, tx, admins.into_iter().chain(event.requester), &news).await
    }
}

#[async_trait]
impl Handler<PreviewReady> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: PreviewReady) -> Result<()> {
        let opener = match event.device {
            Some(device) => auth::find_device(tx, device).await?.map(|device| device.user),
            None => None,
        };
        let news = News {
            kind: Kind::PreviewReady,
            text: "A preview for you can be opened.".to_owned(),
            team: Some(event.team),
            project: Some(event.project),
            subject: Some(event.preview.0),
        };
        tell(ctx, tx, opener.into_iter().chain([event.publisher]), &news).await
    }
}

#[async_trait]
impl Handler<PreviewFailed> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: PreviewFailed) -> Result<()> {
        let news = News {
            kind: Kind::PreviewFailed,
            text: "A preview of yours could not be verified.".to_owned(),
            team: Some(event.team),
            project: Some(event.project),
            subject: Some(event.preview.0),
        };
        tell(ctx, tx, [event.publisher], &news).await
    }
}
