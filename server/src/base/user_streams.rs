//! Streams that look into the database as long as they live, of which a user has so many.

use std::time::Duration;

use super::{
    error::{Error, Reason, Result},
    ids::UserId,
    places::{Place, Places},
};

/// Streams of one kind that a user may have on this server.
const STREAMS_PER_USER_MAX: usize = 16;
/// When a client that has too many may try again.
const RETRY_AFTER: Duration = Duration::from_secs(20);

/// The streams of one kind that this server holds, by user.
#[derive(Clone, Debug)]
pub struct UserStreams(Places<UserId>);

impl Default for UserStreams {
    fn default() -> Self {
        Self(Places::new(usize::MAX, STREAMS_PER_USER_MAX))
    }
}

impl UserStreams {
    /// A place for one more stream of `user`, to be held while it lives.
    ///
    /// # Errors
    /// `RATE_LIMITED` if the user has 16 of them.
    pub fn open(&self, user: UserId) -> Result<Place<UserId>> {
        self.0.take(user).ok_or_else(|| Error::new(Reason::RateLimited).retry_after(RETRY_AFTER))
    }
}
