//! Refusals of the near past. A window that refuses now goes on refusing until its retry-after, whoever
//! asks, so that the answer can be repeated without asking the store.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Claim;

/// Refusals remembered at one time; more are asked of the store again.
const DENIALS_MAX: usize = 65_536;

/// How often a full memory is cleared of refusals that are over.
const PURGE_INTERVAL_MS: u64 = 1_000;

#[derive(Default)]
pub(super) struct Denials {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    until_by_key: HashMap<String, u64>,
    purge_from: u64,
}

impl Denials {
    /// The claim that is refused for longest, and for how many milliseconds.
    pub(super) fn find<'a>(&self, claims: &'a [Claim], now: u64) -> Option<(&'a Claim, u64)> {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = claims.iter().filter_map(|claim| {
            let wait = table.until_by_key.get(&claim.key)?.checked_sub(now)?;
            (wait > 0).then_some((claim, wait))
        });
        waits.max_by_key(|(_, wait)| *wait)
    }

    pub(super) fn remember(&self, key: &str, until: u64, now: u64) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.until_by_key.len() >= DENIALS_MAX && now >= table.purge_from {
            table.until_by_key.retain(|_, until| *until > now);
            table.purge_from = now + PURGE_INTERVAL_MS;
        }
        if table.until_by_key.len() < DENIALS_MAX {
            table.until_by_key.insert(key.to_owned(), until);
        }
    }
}
