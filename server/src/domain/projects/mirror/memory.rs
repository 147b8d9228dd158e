//! Memory that reads of mirrors take: so much of it in all, and so much for one reader, who waits for his own reads
//! before he waits for those of others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::base::{
    error::{Error, Reason, Result},
    ids::UserId,
};

/// How long a read waits for memory.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// What a reader is told to wait who got none.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Memory for one kind of reads.
pub(super) struct Budget {
    all: Arc<Semaphore>,
    own_kib_max: u32,
    /// What those who are reading have left of their shares.
    own: Mutex<HashMap<UserId, Weak<Semaphore>>>,
}

/// Memory that a read holds until it is dropped.
pub struct Memory {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Budget {
    /// `kib_max` KiB, at most `own_kib_max` of them for one reader.
    pub(super) fn new(kib_max: u32, own_kib_max: u32) -> Self {
        let all = Arc::new(Semaphore::new(kib_max as usize));
        Self { all, own_kib_max, own: Mutex::default() }
    }

    /// `kib` KiB for `reader`, but no more than the share of one.
    ///
    /// # Errors
    /// `OVERLOADED` if there are not so many free for five seconds.
    pub(super) async fn reserve(&self, reader: UserId, kib: u32) -> Result<Memory> {
        let kib = kib.min(self.own_kib_max);
        let reserved = async {
            let own = self.share_of(reader).acquire_many_owned(kib).await?;
            let all = self.all.clone().acquire_many_owned(kib).await?;
            Ok::<_, AcquireError>(Memory { _own: own, _all: all })
        };
        match tokio::time::timeout(WAIT_MAX, reserved).await {
            Ok(reserved) => reserved.map_err(Error::internal),
            Err(_) => Err(Error::new(Reason::Overloaded).retry_after(RETRY_AFTER)),
        }
    }

    fn share_of(&self, reader: UserId) -> Arc<Semaphore> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = own.get(&reader).and_then(Weak::upgrade) {
            return share;
        }
        own.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(self.own_kib_max as usize));
        own.insert(reader, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_keeps_his_share_leaves_the_rest_to_others() {
        let budget = Budget::new(100, 25);
        let [one, another] = [UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2))];
        let held = budget.reserve(one, 25).await.unwrap();
        let (refused, others) = tokio::join!(budget.reserve(one, 1), budget.reserve(another, 25));
        assert_eq!(refused.err().unwrap().reason(), Reason::Overloaded);
        drop((held, others.unwrap()));
        let _all_again = budget.reserve(one, u32::MAX).await.unwrap();
        assert_eq!(budget.own.lock().unwrap().len(), 1, "who reads nothing is forgotten");
    }
}
