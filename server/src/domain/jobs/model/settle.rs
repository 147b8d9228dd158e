//! How a lease ends, and where that leaves its job.

use std::time::Duration;

use super::{Failure, FailureClass, JobPhase, JobState, Next, Outcome, Progress, Tally};
use crate::base::error::Reason;

/// How a lease ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a result.
    Done(Outcome),
    /// Without one.
    Failed(Failure),
    /// The job is given back, and may start again after a pause.
    Returned(Duration),
}

impl Ending {
    /// How far the job came, in the figures of its result.
    #[must_use]
    pub fn reached(&self) -> Option<Progress> {
        let (done, bytes) = match self {
            Self::Done(Outcome::RepoSync(sync)) => (sync.objects_received, sync.bytes_received),
            Self::Done(Outcome::PreviewVerify(verify)) => (verify.verified.len() as u64, 0),
            _ => return None,
        };
        Some(Progress { phase: JobPhase::Publishing, done, total: done, bytes })
    }
}

/// Where an ended lease leaves its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// In the queue again, from after a pause on.
    Queued(Duration),
    /// With its result in place.
    Succeeded,
    /// Given up.
    Failed(Reason),
    /// Stopped as asked.
    Cancelled,
}

impl Settled {
    /// The state that this is.
    #[must_use]
    pub const fn state(self) -> JobState {
        match self {
            Self::Queued(_) => JobState::Queued,
            Self::Succeeded => JobState::Succeeded,
            Self::Failed(_) => JobState::Failed,
            Self::Cancelled => JobState::Cancelled,
        }
    }
}

/// Where `ending` leaves a job that is leased in `state`, and counts it. A result that comes while the job
/// is being cancelled still counts: the work is done. `random` is uniform over its whole range.
pub fn settle(state: JobState, tally: &mut Tally, ending: &Ending, random: u64) -> Settled {
    let asked_to_stop = state == JobState::Cancelling;
    match ending {
        Ending::Done(_) => Settled::Succeeded,
        _ if asked_to_stop => Settled::Cancelled,
        Ending::Returned(pause) => Settled::Queued(*pause),
        Ending::Failed(failure) => match tally.after(&as_judged(failure), random) {
            Next::Retry(pause) => Settled::Queued(pause),
            Next::GiveUp(reason) => Settled::Failed(reason),
        },
    }
}

/// A worker that stopped a job which nobody asked it to stop has failed it.
fn as_judged(failure: &Failure) -> Failure {
    match failure.class {
        FailureClass::Cancelled => Failure { class: FailureClass::Infra, ..failure.clone() },
        _ => failure.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::jobs::model::CleanupOutcome;

    fn settled(state: JobState, ending: &Ending) -> Settled {
        settle(state, &mut Tally { attempts: 1, infra_failures: 0 }, ending, 0)
    }

    fn failed(class: FailureClass) -> Ending {
        Ending::Failed(Failure::new(class, Reason::Internal))
    }

    #[test]
    fn a_result_counts_even_while_the_job_is_being_cancelled() {
        let done = Ending::Done(Outcome::Cleanup(CleanupOutcome { mirrors_removed: 0, bytes_freed: 0 }));
        assert_eq!(settled(JobState::Running, &done), Settled::Succeeded);
        assert_eq!(settled(JobState::Cancelling, &done), Settled::Succeeded);
    }

    #[test]
    fn a_job_that_is_being_cancelled_is_not_tried_again() {
        for class in [FailureClass::AppError, FailureClass::Infra, FailureClass::Cancelled] {
            assert_eq!(settled(JobState::Cancelling, &failed(class)), Settled::Cancelled, "{class:?}");
        }
        assert_eq!(settled(JobState::Cancelling, &Ending::Returned(Duration::ZERO)), Settled::Cancelled);
    }

    #[test]
    fn a_job_that_nobody_asked_to_stop_is_tried_elsewhere() {
        assert_eq!(
            settled(JobState::Running, &failed(FailureClass::Cancelled)),
            Settled::Queued(Duration::ZERO)
        );
    }

    #[test]
    fn a_job_that_was_given_back_waits_its_pause_and_counts_nothing() {
        let mut tally = Tally { attempts: 4, infra_failures: 2 };
        let pause = Duration::from_secs(1);
        assert_eq!(
            settle(JobState::Running, &mut tally, &Ending::Returned(pause), 0),
            Settled::Queued(pause)
        );
        assert_eq!(tally, Tally { attempts: 4, infra_failures: 2 });
    }
}
