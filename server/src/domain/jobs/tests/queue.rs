//! What is queued, and who is served first.

use std::{collections::HashSet, time::Duration};

use futures::future::join_all;
use uuid::Uuid;

use super::world::{World, done, team};
use crate::{
    base::{error::Reason, ids::JobId},
    domain::jobs::{
        model::{JobState, OnConflict, Priority},
        store,
    },
};

#[tokio::test]
async fn a_job_exists_only_if_its_transaction_is_committed() {
    for world in World::each().await {
        let ctx = world.ctx();
        let tx = ctx.begin().await.unwrap();
        let new = World::new_job(team(1), "", OnConflict::Queue);
        crate::domain::jobs::enqueue(&ctx, &tx, new).await.unwrap();
        drop(tx);
        assert!(world.claim(1, 1).await.is_empty());
        let id = world.queue(team(1)).await;
        assert_eq!(world.claim(1, 1).await[0].job, id);
    }
}

#[tokio::test]
async fn concurrent_claims_never_lease_a_job_twice() {
    for world in World::each().await {
        for number in 0..30 {
            for _ in 0..2 {
                world.queue(team(number)).await;
            }
        }
        let claimers = (0..6).map(|number| {
            let world = &world;
            async move {
                let mut leases = Vec::new();
                loop {
                    let claimed = world.claim(number, 3).await;
                    if claimed.is_empty() {
                        return leases;
                    }
                    leases.extend(claimed);
                }
            }
        });
        let leases: Vec<_> = join_all(claimers).await.into_iter().flatten().collect();
        let jobs: HashSet<_> = leases.iter().map(|lease| lease.job).collect();
        let tokens: HashSet<_> = leases.iter().map(|lease| lease.token).collect();
        // A claimer that comes second may find the jobs locked, and leave before they are all claimed.
        let rest = world.claim(7, 60).await.len();
        assert_eq!((jobs.len(), tokens.len(), leases.len() + rest), (leases.len(), leases.len(), 60));
    }
}

#[tokio::test]
async fn teams_take_turns_whatever_one_of_them_floods() {
    for world in World::each().await {
        for _ in 0..8 {
            world.queue(team(1)).await;
        }
        let quiet = world.queue(team(2)).await;
        let first = world.claim(1, 2).await;
        assert!(first.iter().any(|lease| lease.job == quiet));
        // Four of the flood at the most run at a time.
        assert_eq!(world.claim(1, 10).await.len(), 3);
        assert!(world.claim(1, 10).await.is_empty());
    }
}

#[tokio::test]
async fn a_teams_jobs_go_by_priority_and_then_by_age() {
    for world in World::each().await {
        let mut expected = Vec::new();
        for priority in [Priority::Background, Priority::Normal, Priority::Interactive] {
            let mut new = World::new_job(team(1), "", OnConflict::Queue);
            new.priority = priority;
            expected.push(world.try_queue(new).await.unwrap().id);
        }
        expected.reverse();
        world.advance(Duration::from_secs(1));
        let mut late = World::new_job(team(1), "", OnConflict::Queue);
        late.priority = Priority::Interactive;
        expected.insert(1, world.try_queue(late).await.unwrap().id);
        let mut served = Vec::new();
        for _ in 0..4 {
            served.push(world.claim(1, 1).await[0].job);
        }
        assert_eq!(served, expected);
    }
}

#[tokio::test]
async fn one_job_of_a_key_runs_at_a_time_and_does_not_hold_up_others() {
    for world in World::each().await {
        for _ in 0..6 {
            world.try_queue(World::new_job(team(1), "repo:1", OnConflict::Queue)).await.unwrap();
        }
        let other = world.queue(team(1)).await;
        let claimed = world.claim(1, 10).await;
        assert_eq!(claimed.len(), 2);
        assert!(claimed.iter().any(|lease| lease.job == other));
        let keyed = claimed.into_iter().find(|lease| lease.job != other).unwrap();
        assert!(world.claim(2, 10).await.is_empty());
        world.commit(keyed, done()).await.unwrap();
        assert_eq!(world.claim(2, 10).await.len(), 1);
    }
}

#[tokio::test]
async fn a_second_job_of_a_key_meets_the_policy_that_it_names() {
    for world in World::each().await {
        let new = |on_conflict| World::new_job(team(1), "repo:1", on_conflict);
        let first = world.try_queue(new(OnConflict::Coalesce)).await.unwrap().id;
        assert_eq!(world.try_queue(new(OnConflict::Coalesce)).await.unwrap().id, first);
        let refused = world.try_queue(new(OnConflict::Reject)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::Conflict);

        let lease = world.start(1).await;
        let second = world.try_queue(new(OnConflict::Coalesce)).await.unwrap().id;
        assert_ne!(second, first, "what runs may have looked before the change");

        let third = world.try_queue(new(OnConflict::CancelInProgress)).await.unwrap().id;
        assert_eq!(world.state(second).await, JobState::Cancelled);
        assert_eq!(world.state(first).await, JobState::Cancelling);
        assert_eq!(world.diary.gave_up(second), [Reason::Cancelled]);
        assert!(world.claim(2, 1).await.is_empty(), "the first has not stopped yet");
        world.commit(lease, done()).await.unwrap();
        assert_eq!(world.claim(2, 1).await[0].job, third);
    }
}

#[tokio::test]
async fn racing_coalescers_end_up_with_one_job() {
    for world in World::each().await {
        let queued = join_all(
            (0..8).map(|_| world.try_queue(World::new_job(team(1), "repo:1", OnConflict::Coalesce))),
        );
        let jobs: HashSet<_> = queued.await.into_iter().map(|job| job.unwrap().id).collect();
        assert_eq!(jobs.len(), 1);
    }
}

#[tokio::test]
async fn the_queue_of_a_team_has_an_end() {
    for world in World::each().await {
        let ctx = world.ctx();
        let tx = ctx.begin().await.unwrap();
        let new = World::new_job(team(1), "", OnConflict::Queue);
        let row = |number: u128| store::QueuedJob {
            id: JobId(Uuid::from_u128(number)),
            work: &new.work,
            team: new.team,
            project: None,
            priority: new.priority,
            concurrency_key: None,
            requested_by: None,
            correlation: "test",
            created_at: ctx.clock.now(),
        };
        for number in 1..=3 {
            assert!(store::insert(&tx, &row(number), 3).await.unwrap());
        }
        assert!(!store::insert(&tx, &row(4), 3).await.unwrap());
        assert!(store::insert(&tx, &store::QueuedJob { team: team(2), ..row(5) }, 3).await.unwrap());
    }
}
