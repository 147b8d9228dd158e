//! Whatever happens in whatever order: of the results of a job one at most takes effect, and no job is lost.

use std::time::Duration;

use uuid::Uuid;

use super::world::{World, done, team};
use crate::{
    base::{error::Reason, ids::JobId},
    domain::jobs::{
        model::{Connected, Ending, Failure, FailureClass, JobKind, JobState, LeaseId, OnConflict, Timing},
        ops,
    },
};

const WORKERS: u64 = 3;
const STEPS: u32 = 160;

/// SplitMix64 (S. Vigna, 2015): the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let count = u64::try_from(items.len()).ok().filter(|count| *count > 0)?;
        items.get(usize::try_from(self.roll(count)).ok()?).copied()
    }
}

/// Workers that forget nothing: every lease that was ever given may be used again.
struct Run<'a> {
    world: &'a World,
    dice: Dice,
    jobs: Vec<JobId>,
    leases: Vec<LeaseId>,
    incarnations: Vec<u128>,
}

impl Run<'_> {
    async fn step(&mut self) {
        match self.dice.roll(12) {
            0..=2 => self.queue().await,
            3..=5 => self.claim().await,
            6..=7 => self.commit().await,
            8 => self.release_or_cancel().await,
            9 => self.reconnect().await,
            10 => self.pass_time().await,
            _ => self.renew().await,
        }
    }

    async fn queue(&mut self) {
        let key = ["", "", "a", "b"][usize::try_from(self.dice.roll(4)).unwrap()];
        let policy = [OnConflict::Queue, OnConflict::Coalesce, OnConflict::CancelInProgress];
        let policy = self.dice.pick(&policy).unwrap();
        let team = team(u8::try_from(self.dice.roll(3)).unwrap());
        let id = self.world.try_queue(World::new_job(team, key, policy)).await.unwrap().id;
        if !self.jobs.contains(&id) {
            self.jobs.push(id);
        }
    }

    fn worker(&mut self) -> (String, Uuid) {
        let number = self.dice.roll(WORKERS);
        let incarnation = self.incarnations[usize::try_from(number).unwrap()];
        (format!("worker-{number}"), Uuid::from_u128(incarnation))
    }

    async fn claim(&mut self) {
        let (name, incarnation) = self.worker();
        let limit = usize::try_from(self.dice.roll(3)).unwrap() + 1;
        let claimed = ops::claim(&self.world.ctx(), &name, incarnation, &JobKind::ALL, limit).await.unwrap();
        for claimed in claimed {
            let lease = LeaseId { job: claimed.job.id, token: claimed.token };
            self.leases.push(lease);
            if self.dice.roll(4) > 0 {
                ops::accept(&self.world.ctx(), &[(lease, JobKind::Cleanup)]).await.unwrap();
            }
        }
    }

    async fn commit(&mut self) {
        let Some(lease) = self.dice.pick(&self.leases) else { return };
        let class = [FailureClass::AppError, FailureClass::Infra, FailureClass::NonRetryable];
        let ending = match self.dice.roll(4) {
            0 => Ending::Failed(Failure::new(self.dice.pick(&class).unwrap(), Reason::Internal)),
            _ => done(),
        };
        if let Err(error) = self.world.commit(lease, ending).await {
            assert_eq!(error.reason(), Reason::Superseded);
        }
    }

    async fn release_or_cancel(&mut self) {
        if self.dice.roll(2) == 0 {
            let Some(lease) = self.dice.pick(&self.leases) else { return };
            let _ = ops::release(&self.world.ctx(), lease).await;
        } else if let Some(job) = self.dice.pick(&self.jobs) {
            self.world.cancel(job).await;
        }
    }

    /// A worker restarts, or comes back with some of what it holds.
    async fn reconnect(&mut self) {
        let number = self.dice.roll(WORKERS);
        let slot = usize::try_from(number).unwrap();
        if self.dice.roll(2) == 0 {
            self.incarnations[slot] += 1_000;
        }
        let held: Vec<_> = self.leases.iter().map(|lease| lease.token).collect();
        let held = &held[usize::try_from(self.dice.roll(held.len() as u64 + 1)).unwrap()..];
        let now = self.world.base.clock.now();
        let connected = Connected {
            worker_id: &format!("worker-{number}"),
            incarnation_id: Uuid::from_u128(self.incarnations[slot]),
            session_id: self.world.base.entropy.uuid(now).unwrap(),
            build: "test/1",
            kinds: &JobKind::ALL,
            slots: 4,
            sandbox_tier: 3,
            now,
        };
        ops::connect(&self.world.ctx(), &connected, held).await.unwrap();
    }

    async fn pass_time(&mut self) {
        self.world.advance(Duration::from_secs(self.dice.roll(40)));
        self.world.sweep().await;
    }

    async fn renew(&mut self) {
        let until = self.world.base.clock.now() + Timing::STANDARD.written_ahead();
        ops::renew(&self.world.ctx(), &self.leases, until).await.unwrap();
    }

    /// Lets every job come to its end.
    async fn wind_up(&mut self) {
        for _ in 0..200 {
            self.world.advance(Duration::from_secs(3_600));
            self.world.sweep().await;
            let leases = self.world.claim(9, 50).await;
            for lease in &leases {
                self.world.commit(*lease, done()).await.unwrap();
            }
            if leases.is_empty() {
                return;
            }
        }
        panic!("the queue does not run dry");
    }
}

#[tokio::test]
async fn one_effect_at_most_and_no_job_lost() {
    for seed in 0..4 {
        let worlds = if seed == 0 { World::each().await } else { vec![World::on_sqlite().await] };
        for world in worlds {
            let incarnations = (1..=u128::from(WORKERS)).collect();
            let (jobs, leases) = (Vec::new(), Vec::new());
            let mut run = Run { world: &world, dice: Dice(seed), jobs, leases, incarnations };
            for _ in 0..STEPS {
                run.step().await;
            }
            run.wind_up().await;
            assert!(run.jobs.len() > 10);
            for id in &run.jobs {
                let state = world.state(*id).await;
                let effects = world.diary.commits_of(*id);
                assert!(state.is_terminal(), "seed {seed}: a job is {state:?}");
                assert_eq!(effects, u32::from(state == JobState::Succeeded), "seed {seed}: {state:?}");
                let given_up = world.diary.gave_up(*id).len();
                assert_eq!(given_up, usize::from(state != JobState::Succeeded), "seed {seed}: {state:?}");
            }
        }
    }
}
