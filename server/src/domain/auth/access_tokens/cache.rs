//! Tokens that were found good. Whoever is signed in sends the same token with every call, and a signature
//! costs more than a look-up.

use std::{
    collections::HashMap,
    mem,
    sync::{PoisonError, RwLock},
};

use crate::base::{actor::User, clock::Timestamp};

/// Tokens in each of the two halves.
const HALF_MAX: usize = 32_768;

/// What a good token said.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    pub user: User,
    pub expires_at: Timestamp,
}

/// Remembers good tokens by their digest. When the new half is full it becomes the old one, and what was
/// old is forgotten.
#[derive(Default)]
pub(super) struct Cache(RwLock<Halves>);

#[derive(Default)]
struct Halves {
    new: HashMap<[u8; 32], Verified>,
    old: HashMap<[u8; 32], Verified>,
}

impl Cache {
    pub(super) fn find(&self, digest: &[u8; 32]) -> Option<Verified> {
        let halves = self.0.read().unwrap_or_else(PoisonError::into_inner);
        halves.new.get(digest).or_else(|| halves.old.get(digest)).cloned()
    }

    pub(super) fn remember(&self, digest: [u8; 32], verified: Verified) {
        let mut halves = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if halves.new.len() >= HALF_MAX {
            halves.old = mem::take(&mut halves.new);
        }
        halves.new.insert(digest, verified);
    }
}
