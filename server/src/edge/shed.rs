//! Load shedding: beyond a number of things at work, a further one is refused at once instead of queued.

use std::{net::IpAddr, time::Duration};

use crate::base::{
    error::{Error, Reason, Result},
    limit::client_of,
    places::{self, Places},
};

/// What a caller is told to wait who gets no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What is at work at the same time, by client.
#[derive(Clone, Debug)]
pub struct Shed(Places<Option<IpAddr>>);

/// A place among what is at work; free again when it is dropped.
pub type Place = places::Place<Option<IpAddr>>;

impl Shed {
    /// `max` places, and at most `client_max` of them for one client: the others stay free however much it
    /// leaves unfinished.
    #[must_use]
    pub fn new(max: usize, client_max: usize) -> Self {
        Self(Places::new(max, client_max))
    }

    /// A place for the client at `address`.
    ///
    /// # Errors
    /// `OVERLOADED` if there is none.
    pub fn enter(&self, address: Option<IpAddr>) -> Result<Place> {
        let place = self.0.take(address.map(client_of));
        place.ok_or_else(|| Error::new(Reason::Overloaded).retry_after(RETRY_AFTER))
    }
}
