//! Load shedding: beyond a number of calls at work, a further one is refused at once instead of queued.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use crate::base::error::{Error, Reason, Result};

/// The part of all places that one client may take: the others stay free however many calls it leaves
/// unfinished.
const CLIENT_SHARE: usize = 4;
/// What a caller is told to wait who gets no place.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The calls at work.
#[derive(Clone)]
pub struct Shed {
    calls_max: usize,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_client: HashMap<Option<IpAddr>, usize>,
}

impl Shed {
    /// Takes at most `calls_max` calls at a time, and at most a quarter of them from one address.
    #[must_use]
    pub fn new(calls_max: usize) -> Self {
        Self { calls_max, taken: Arc::default() }
    }

    /// A place for a call from `client`, to be held while the call is at work.
    ///
    /// # Errors
    /// `OVERLOADED` if there is none.
    pub fn enter(&self, client: Option<IpAddr>) -> Result<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_client.get(&client).copied().unwrap_or(0);
        if taken.all >= self.calls_max || own >= self.calls_max.div_ceil(CLIENT_SHARE) {
            return Err(Error::new(Reason::Overloaded).retry_after(RETRY_AFTER));
        }
        taken.all += 1;
        taken.by_client.insert(client, own + 1);
        Ok(Place { client, taken: self.taken.clone() })
    }
}

/// A place among the calls at work; free again when it is dropped.
pub struct Place {
    client: Option<IpAddr>,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_client.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_client.remove(&self.client)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn client(number: u8) -> Option<IpAddr> {
        Some(Ipv4Addr::new(192, 0, 2, number).into())
    }

    #[test]
    fn one_client_leaves_places_for_others() {
        let shed = Shed::new(8);
        let held: Vec<_> = (0..2).map(|_| shed.enter(client(1)).unwrap()).collect();
        assert!(shed.enter(client(1)).is_err());
        assert!(shed.enter(client(2)).is_ok());
        drop(held);
        assert!(shed.enter(client(1)).is_ok());
        assert!(shed.taken.lock().unwrap().by_client.is_empty());
    }

    #[test]
    fn all_clients_together_have_so_many() {
        let shed = Shed::new(8);
        let held: Vec<_> = (0..8).map(|number| shed.enter(client(number)).unwrap()).collect();
        assert!(shed.enter(client(9)).is_err());
        drop(held);
        assert!(shed.enter(client(9)).is_ok());
    }
}
