//! The live stream of one client.

use std::{future::Future, pin::Pin, time::Duration};

use futures::{Stream, stream};
use tokio_util::sync::CancellationToken;

use super::{
    super::{
        model::{Notification, Sequence},
        store,
    },
    topic_of,
};
use crate::{
    base::{
        clock,
        ctx::Ctx,
        error::{Error, Reason, Result},
        ids::UserId,
        places::Place,
        signal::Listener,
        user_streams::UserStreams,
    },
    domain::auth::{self, SESSIONS_ENDED},
};

/// Notifications of one message.
const BATCH_MAX: u64 = 64;
/// How long a stream is silent at most.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(20);
/// How often a stream looks into the database without a wake-up.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Where a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what comes from now on.
    Now,
    /// After this number.
    After(u64),
}

/// One message of a stream.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Oldest first; none in a sign of life.
    pub notifications: Vec<Notification>,
    /// Where the sequence stood.
    pub sequence: Sequence,
    /// Where the stream is: resume after this number.
    pub cursor: i64,
}

struct Live {
    ctx: Ctx,
    user: UserId,
    cursor: i64,
    is_opened: bool,
    news: Listener,
    sessions_ended: Listener,
    sign_of_life: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopping: CancellationToken,
    _place: Place<UserId>,
}

/// Streams the caller's notifications. The first message is empty and says that the stream stands; it ends
/// with an error only.
///
/// # Errors
/// `RATE_LIMITED` if the user has 16 streams on this server; while it runs, `SESSION_ENDED` when the
/// caller's session is over and `UNAVAILABLE` when the server stops.
pub async fn stream(
    ctx: &Ctx,
    streams: &UserStreams,
    start: Start,
) -> Result<impl Stream<Item = Result<Batch>> + Send + use<>> {
    let user = ctx.user()?.id;
    let place = streams.open(user)?;
    // Listening comes before looking: what is told in between wakes the stream.
    let news = ctx.signals.listen(topic_of(user));
    let sessions_ended = ctx.signals.listen(SESSIONS_ENDED);
    let sequence = store::sequence(&ctx.read(), user).await?;
    let live = Live {
        ctx: ctx.clone(),
        user,
        cursor: match start {
            Start::Now => sequence.last,
            Start::After(number) => sequence.cursor(number),
        },
        is_opened: false,
        news,
        sessions_ended,
        sign_of_life: sign_of_life(),
        stopping: ctx.tasks.stopping(),
        _place: place,
    };
    Ok(stream::unfold(Some(live), |live| async {
        let mut live = live?;
        match live.next().await {
            Ok(batch) => Some((Ok(batch), Some(live))),
            Err(error) => Some((Err(error), None)),
        }
    }))
}

fn sign_of_life() -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(clock::sleep(SIGN_OF_LIFE_EVERY))
}

impl Live {
    async fn next(&mut self) -> Result<Batch> {
        if !self.is_opened {
            self.is_opened = true;
            return self.say(Vec::new()).await;
        }
        loop {
            if self.stopping.is_cancelled() {
                return Err(Error::new(Reason::Unavailable));
            }
            auth::require_live_session(&self.ctx).await?;
            let found = store::following(&self.ctx.read(), self.user, self.cursor, BATCH_MAX).await?;
            if !found.is_empty() {
                return self.say(found).await;
            }
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => {}
                () = &mut self.sign_of_life => return self.say(Vec::new()).await,
                () = self.sessions_ended.wait() => {}
                () = self.news.wait_at_most(LOOK_EVERY) => {}
            }
        }
    }

    async fn say(&mut self, notifications: Vec<Notification>) -> Result<Batch> {
        self.sign_of_life = sign_of_life();
        if let Some(last) = notifications.last() {
            self.cursor = last.sequence;
        }
        let sequence = store::sequence(&self.ctx.read(), self.user).await?;
        Ok(Batch { notifications, sequence, cursor: self.cursor })
    }
}
