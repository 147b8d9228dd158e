//! Growing pauses with full jitter, so that workers which lost the same server do not return together.

use std::time::Duration;

use crate::entropy;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// The pauses between attempts, without end.
#[derive(Debug)]
pub(crate) struct Backoff {
    limit: Duration,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { limit: FIRST }
    }

    /// The next pause: anything up to a limit that doubles.
    pub(crate) fn next_pause(&mut self) -> Duration {
        let pause = entropy::jitter(self.limit);
        self.limit = (self.limit * 2).min(LONGEST);
        pause
    }

    /// Starts over, after a success.
    pub(crate) fn reset(&mut self) {
        self.limit = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::{Backoff, FIRST, LONGEST};

    #[test]
    fn grows_to_its_limit_and_starts_over() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_pause() <= FIRST);
        for _ in 0..100 {
            assert!(backoff.next_pause() <= LONGEST);
        }
        assert_eq!(backoff.limit, LONGEST);
        backoff.reset();
        assert_eq!(backoff.limit, FIRST);
    }
}
