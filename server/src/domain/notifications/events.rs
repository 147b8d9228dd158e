//! What happens elsewhere, told to those whom it concerns: for each event, who hears of it and what is said.

use async_trait::async_trait;

use super::{
    model::{Kind, News},
    ops::tell,
};
use crate::{
    base::{
        ctx::Ctx,
        db::Tx,
        error::Result,
        ids::{TeamId, UserId},
        outbox::{Event, Handler},
    },
    domain::{
        auth::{self, DeviceAdded, RefreshReused},
        previews::{PreviewFailed, PreviewReady},
        projects::{RepositorySyncFailed, RepositorySynced},
        teams::{self, MemberInvited, MemberJoined},
        users,
    },
};

/// Tells users about every event that is [`Newsworthy`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Notify;

#[async_trait]
impl<E: Event + Newsworthy> Handler<E> for Notify {
    async fn handle(&self, ctx: &Ctx, tx: &Tx, event: E) -> Result<()> {
        let (hearers, news) = event.news(tx).await?;
        tell(ctx, tx, hearers, &news).await
    }
}

/// An event that users are told of.
#[async_trait]
pub trait Newsworthy {
    /// Who hears of it, and what. Whoever is named twice hears it once.
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)>;
}

/// Who hears of a job of `team`: its owner and admins, and who asked for it. Somebody who has left the team meanwhile
/// learns nothing of it any more.
async fn admins_and(tx: &Tx, team: TeamId, requester: Option<UserId>) -> Result<Vec<UserId>> {
    let mut hearers = teams::admin_ids(tx, team).await?;
    hearers.extend(teams::members_among(tx, team, requester).await?);
    Ok(hearers)
}

#[async_trait]
impl Newsworthy for DeviceAdded {
    async fn news(self, _: &Tx) -> Result<(Vec<UserId>, News)> {
        let text = format!("“{}” signed in to your account for the first time.", self.name);
        Ok((vec![self.user], News::new(Kind::DeviceAdded, text).about(self.device.0)))
    }
}

#[async_trait]
impl Newsworthy for RefreshReused {
    async fn news(self, _: &Tx) -> Result<(Vec<UserId>, News)> {
        let text = "A session of yours was ended, because its token was used twice. If that was not you, \
                    change your password.";
        Ok((vec![self.user], News::new(Kind::SessionRevoked, text).about(self.device.0)))
    }
}

#[async_trait]
impl Newsworthy for MemberInvited {
    async fn news(self, _: &Tx) -> Result<(Vec<UserId>, News)> {
        let text = format!("You are invited to the team “{}”.", self.team_name);
        let news = News::new(Kind::Invited, text).in_team(self.team).about(self.invitation.0);
        Ok((self.user.into_iter().collect(), news))
    }
}

#[async_trait]
impl Newsworthy for MemberJoined {
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)> {
        let names = users::display_names(tx, &[self.user]).await?;
        let name = names.get(&self.user).map_or("Somebody", String::as_str);
        let text = format!("{name} joined the team “{}”.", self.team_name);
        let mut hearers = teams::admin_ids(tx, self.team).await?;
        hearers.retain(|admin| *admin != self.user);
        Ok((hearers, News::new(Kind::MemberJoined, text).in_team(self.team)))
    }
}

#[async_trait]
impl Newsworthy for RepositorySynced {
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)> {
        let text = format!("The repository of “{}” is up to date.", self.name);
        let news = News::new(Kind::RepositorySynced, text).in_team(self.team).in_project(self.project);
        Ok((admins_and(tx, self.team, self.requester).await?, news.about(self.job.0)))
    }
}

#[async_trait]
impl Newsworthy for RepositorySyncFailed {
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)> {
        let what = if self.rejected {
            "is too large, or holds something that is not accepted"
        } else {
            "could not be fetched"
        };
        let text = format!("The repository of “{}” {what}.", self.name);
        let news = News::new(Kind::RepositorySyncFailed, text).in_team(self.team).in_project(self.project);
        Ok((admins_and(tx, self.team, self.requester).await?, news.about(self.job.0)))
    }
}

#[async_trait]
impl Newsworthy for PreviewReady {
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)> {
        let opener = match self.device {
            Some(device) => auth::find_device(tx, device).await?.map(|device| device.user),
            None => None,
        };
        let news = News::new(Kind::PreviewReady, "A preview for you can be opened.").in_team(self.team);
        let news = news.in_project(self.project).about(self.preview.0);
        let hearers = opener.into_iter().chain([self.publisher]);
        Ok((teams::members_among(tx, self.team, hearers).await?, news))
    }
}

#[async_trait]
impl Newsworthy for PreviewFailed {
    async fn news(self, tx: &Tx) -> Result<(Vec<UserId>, News)> {
        let news = News::new(Kind::PreviewFailed, "A preview of yours could not be verified.");
        let news = news.in_team(self.team).in_project(self.project).about(self.preview.0);
        Ok((teams::members_among(tx, self.team, [self.publisher]).await?, news))
    }
}
