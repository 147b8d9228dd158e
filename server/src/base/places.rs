//! Places: so many of something at a time, and so many of them for each holder.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Places for holders that are told apart by `K`. Clones share them.
#[derive(Clone, Debug)]
pub struct Places<K> {
    max: usize,
    own_max: usize,
    taken: Arc<Mutex<Taken<K>>>,
}

#[derive(Debug)]
struct Taken<K> {
    all: usize,
    by_holder: HashMap<K, usize>,
}

impl<K: Eq + Hash + Clone> Places<K> {
    /// `max` places, at most `own_max` of them for one holder.
    #[must_use]
    pub fn new(max: usize, own_max: usize) -> Self {
        let taken = Taken { all: 0, by_holder: HashMap::new() };
        Self { max, own_max, taken: Arc::new(Mutex::new(taken)) }
    }

    /// A place for `holder`, if there is one, to be held while it is used.
    #[must_use]
    pub fn take(&self, holder: K) -> Option<Place<K>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.by_holder.get(&holder).copied().unwrap_or(0);
        if taken.all >= self.max || own >= self.own_max {
            return None;
        }
        taken.all += 1;
        taken.by_holder.insert(holder.clone(), own + 1);
        Some(Place { holder, taken: self.taken.clone() })
    }
}

/// One place; free again when it is dropped.
#[derive(Debug)]
pub struct Place<K: Eq + Hash> {
    holder: K,
    taken: Arc<Mutex<Taken<K>>>,
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_holder.get_mut(&self.holder) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_holder.remove(&self.holder)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_leaves_places_for_others() {
        let places = Places::new(8, 2);
        let held: Vec<_> = (0..2).map(|_| places.take("one").unwrap()).collect();
        assert!(places.take("one").is_none());
        assert!(places.take("another").is_some());
        drop(held);
        assert!(places.take("one").is_some());
        assert!(places.taken.lock().unwrap().by_holder.is_empty());
    }

    #[test]
    fn all_holders_together_have_so_many() {
        let places = Places::new(8, 2);
        let held: Vec<_> = (0..8).map(|number| places.take(number).unwrap()).collect();
        assert!(places.take(9).is_none());
        drop(held);
        assert!(places.take(9).is_some());
    }
}
