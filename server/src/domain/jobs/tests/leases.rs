//! At least once executed, at most once in effect.

use std::time::Duration;

use uuid::Uuid;

use super::world::{World, done, team, worker};
use crate::{
    base::{error::Reason, ids::ProjectId},
    domain::jobs::{
        model::{
            Connected, Ending, Failure, FailureClass, JobKind, JobState, LeaseId, LeaseToken, NewJob,
            OnConflict, Outcome, SyncOutcome, Timing, VerifyOutcome, Work,
        },
        ops, store,
    },
};

fn failed(class: FailureClass) -> Ending {
    Ending::Failed(Failure::new(class, Reason::RepositoryUnreachable))
}

async fn connect(world: &World, number: u8, incarnation: Uuid, held: &[LeaseToken]) -> Vec<LeaseToken> {
    let session = world.base.entropy.uuid(world.base.clock.now()).unwrap();
    connect_by(world, session, number, incarnation, held).await
}

async fn connect_by(
    world: &World,
    session: Uuid,
    number: u8,
    incarnation: Uuid,
    held: &[LeaseToken],
) -> Vec<LeaseToken> {
    let (name, _) = worker(number);
    let now = world.base.clock.now();
    let connected = Connected {
        worker_id: &name,
        incarnation_id: incarnation,
        session_id: session,
        build: "test/1",
        kinds: &JobKind::ALL,
        slots: 4,
        sandbox_tier: 3,
        now,
    };
    let resumed = ops::connect(&world.ctx(), &connected, held).await.unwrap();
    resumed.into_iter().map(|resumed| resumed.lease.token).collect()
}

#[tokio::test]
async fn a_repeated_commit_gets_the_stored_answer_and_changes_nothing() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        let commit = Uuid::from_u128(5);
        for _ in 0..3 {
            let state = ops::commit(&world.ctx(), lease, commit, done()).await.unwrap();
            assert_eq!(state, JobState::Succeeded);
        }
        assert_eq!(world.diary.commits_of(id), 1);
        let other = world.commit(lease, done()).await.unwrap_err();
        assert_eq!(other.reason(), Reason::Superseded);
    }
}

#[tokio::test]
async fn a_result_is_written_without_waiting_for_the_key_store() {
    let world = World::on_sqlite().await;
    let work = Work::RepoSync { project: ProjectId(Uuid::from_u128(1)) };
    let id =
        world.try_queue(NewJob { work, ..World::new_job(team(1), "", OnConflict::Queue) }).await.unwrap().id;
    let lease = world.start(1).await;
    let synced = SyncOutcome {
        default_branch: None,
        head_commit: None,
        ref_count: 0,
        objects_received: 3,
        bytes_received: 300,
        mirror_bytes: 300,
        unchanged: false,
    };
    let ending = Ending::Done(Outcome::RepoSync(synced));
    let commit = async { assert_eq!(world.commit(lease, ending).await.unwrap(), JobState::Succeeded) };
    assert!(!world.asks_within_a_transaction(commit).await);
    let kept = world.base.kv.get(&format!("job-progress:{id}:1")).await.unwrap();
    assert!(kept.is_some());
}

#[tokio::test]
async fn a_worker_that_comes_and_is_lost_is_recorded() {
    for world in World::each().await {
        let session = Uuid::from_u128(1);
        connect_by(&world, session, 1, worker(1).1, &[]).await;
        assert_eq!((world.audited("worker.connected").await, world.audited("worker.lost").await), (1, 0));
        ops::disconnect(&world.ctx(), session, &[], world.base.clock.now(), true).await.unwrap();
        assert_eq!(world.audited("worker.lost").await, 1);
    }
}

#[tokio::test]
async fn a_lease_that_was_claimed_anew_opens_nothing() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let stale = world.start(1).await;
        let first_epoch = world.job(id).await.lease_epoch;
        world.advance(Timing::STANDARD.written_ahead() + Duration::from_secs(1));
        world.sweep().await;
        assert_eq!(world.state(id).await, JobState::Queued);
        let fresh = world.start(2).await;
        assert!(world.job(id).await.lease_epoch > first_epoch);

        assert_eq!(world.commit(stale, done()).await.unwrap_err().reason(), Reason::Superseded);
        assert_eq!(ops::release(&world.ctx(), stale).await.unwrap_err().reason(), Reason::Superseded);
        assert_eq!(world.diary.commits_of(id), 0);
        assert_eq!(world.commit(fresh, done()).await.unwrap(), JobState::Succeeded);
        assert_eq!(world.diary.commits_of(id), 1);
        assert_eq!(world.job(id).await.tally.attempts, 2);
    }
}

#[tokio::test]
async fn a_token_of_another_job_or_of_nobody_opens_nothing() {
    for world in World::each().await {
        world.queue(team(1)).await;
        world.queue(team(2)).await;
        let (one, two) = (world.start(1).await, world.start(1).await);
        for lease in
            [LeaseId { job: one.job, token: two.token }, LeaseId { job: one.job, token: LeaseToken([0; 16]) }]
        {
            assert_eq!(world.commit(lease, done()).await.unwrap_err().reason(), Reason::Superseded);
        }
    }
}

#[tokio::test]
async fn a_result_of_another_kind_is_refused_and_the_lease_goes_on() {
    for world in World::each().await {
        world.queue(team(1)).await;
        let lease = world.start(1).await;
        let foreign = Outcome::PreviewVerify(VerifyOutcome { verified: Vec::new(), rejected: Vec::new() });
        let error = world.commit(lease, Ending::Done(foreign)).await.unwrap_err();
        assert_eq!(error.reason(), Reason::InvalidRequest);
        assert_eq!(world.commit(lease, done()).await.unwrap(), JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_result_that_the_slice_refuses_fails_the_job() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        world.diary.refuse_results(Some(Reason::Unavailable));
        assert_eq!(world.commit(lease, done()).await.unwrap_err().reason(), Reason::Unavailable);
        assert_eq!(world.state(id).await, JobState::Running);
        world.diary.refuse_results(Some(Reason::QuotaExceeded));
        assert_eq!(world.commit(lease, done()).await.unwrap(), JobState::Failed);
        assert_eq!(world.job(id).await.failure, Some(Reason::QuotaExceeded));
        assert_eq!(world.diary.gave_up(id), [Reason::QuotaExceeded]);
    }
}

#[tokio::test]
async fn a_result_may_overtake_the_acceptance() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.claim(1, 1).await[0];
        assert_eq!(world.commit(lease, done()).await.unwrap(), JobState::Succeeded);
        let over = ops::accept(&world.ctx(), &[(lease, JobKind::Cleanup)]).await.unwrap();
        assert_eq!(over, [lease]);
        assert_eq!(world.job(id).await.tally.attempts, 1);
    }
}

#[tokio::test]
async fn a_lease_that_nobody_accepted_burns_no_attempt() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        for _ in 0..8 {
            let lease = world.claim(1, 1).await[0];
            ops::give_back(&world.ctx(), lease, Duration::ZERO).await.unwrap();
        }
        world.claim(1, 1).await;
        world.advance(Timing::STANDARD.ttl + Duration::from_secs(1));
        world.sweep().await;
        let job = world.job(id).await;
        assert_eq!((job.state, job.tally.attempts, job.tally.infra_failures), (JobState::Queued, 0, 0));
        assert_eq!(job.lease_epoch, 9);
    }
}

#[tokio::test]
async fn a_failed_attempt_is_tried_again_after_a_pause_until_there_were_five() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        for attempt in 1..=5 {
            world.advance(Duration::from_secs(600));
            let lease = world.start(1).await;
            let state = world.commit(lease, failed(FailureClass::AppError)).await.unwrap();
            assert_eq!(state, if attempt < 5 { JobState::Queued } else { JobState::Failed }, "{attempt}");
        }
        assert_eq!(world.diary.gave_up(id), [Reason::RepositoryUnreachable]);
        assert_eq!(world.job(id).await.failure, Some(Reason::RepositoryUnreachable));
    }
}

#[tokio::test]
async fn a_rate_limited_job_waits_as_long_as_it_was_told() {
    for world in World::each().await {
        world.queue(team(1)).await;
        let lease = world.start(1).await;
        let mut failure = Failure::new(FailureClass::RateLimited, Reason::RateLimited);
        failure.retry_after = Some(Duration::from_secs(60));
        world.commit(lease, Ending::Failed(failure)).await.unwrap();
        world.advance(Duration::from_secs(55));
        assert!(world.claim(1, 1).await.is_empty());
        let due = store::next_due(&world.ctx().read(), world.base.clock.now()).await.unwrap();
        assert!(due.is_some());
        world.advance(Duration::from_secs(15));
        assert_eq!(world.claim(1, 1).await.len(), 1);
    }
}

#[tokio::test]
async fn a_job_that_takes_its_workers_with_it_is_put_aside() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        for _ in 0..3 {
            world.advance(Duration::from_secs(60));
            world.start(1).await;
            world.advance(Timing::STANDARD.written_ahead() + Duration::from_secs(1));
            world.sweep().await;
        }
        assert_eq!(world.state(id).await, JobState::Failed);
        assert_eq!(world.diary.gave_up(id).len(), 1);
    }
}

#[tokio::test]
async fn a_time_limit_ends_the_job_for_good() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        world.advance(JobKind::Cleanup.time_limit() + Timing::STANDARD.overtime + Duration::from_secs(1));
        let until = world.base.clock.now() + Duration::from_secs(10);
        ops::renew(&world.ctx(), &[lease], until).await.unwrap();
        world.sweep().await;
        let job = world.job(id).await;
        assert_eq!((job.state, job.failure), (JobState::Failed, Some(Reason::DeadlineExceeded)));
        assert_eq!(world.commit(lease, done()).await.unwrap_err().reason(), Reason::Superseded);
    }
}

#[tokio::test]
async fn a_renewed_lease_outlives_its_first_term() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        for _ in 0..5 {
            world.advance(Duration::from_secs(6));
            let until = world.base.clock.now() + Timing::STANDARD.written_ahead();
            let renewed = ops::renew(&world.ctx(), &[lease], until).await.unwrap();
            assert_eq!(renewed, [(lease.token, JobState::Running)]);
            world.sweep().await;
        }
        assert_eq!(world.state(id).await, JobState::Running);
    }
}

#[tokio::test]
async fn cancelling_ends_a_queued_job_at_once_and_a_running_one_when_it_has_stopped() {
    for world in World::each().await {
        let queued = world.queue(team(1)).await;
        assert_eq!(world.cancel(queued).await, JobState::Cancelled);
        assert_eq!(world.cancel(queued).await, JobState::Cancelled);
        assert_eq!(world.diary.gave_up(queued), [Reason::Cancelled]);

        let running = world.queue(team(1)).await;
        let lease = world.start(1).await;
        assert_eq!(world.cancel(running).await, JobState::Cancelling);
        let (name, incarnation) = worker(1);
        let told = store::cancelling(&world.ctx().read(), &name, incarnation).await.unwrap();
        assert_eq!(told, [lease]);
        assert_eq!(world.commit(lease, failed(FailureClass::Cancelled)).await.unwrap(), JobState::Cancelled);
        assert_eq!(world.diary.gave_up(running), [Reason::Cancelled]);

        let finished = world.queue(team(1)).await;
        let lease = world.start(1).await;
        world.cancel(finished).await;
        assert_eq!(world.commit(lease, done()).await.unwrap(), JobState::Succeeded);
        assert_eq!(world.cancel(finished).await, JobState::Succeeded);
        assert_eq!(world.diary.commits_of(finished), 1);
    }
}

#[tokio::test]
async fn a_worker_that_does_not_stop_loses_the_job() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        world.cancel(id).await;
        world.advance(Timing::STANDARD.cancel + Duration::from_secs(1));
        world.sweep().await;
        assert_eq!(world.state(id).await, JobState::Cancelled);
        assert_eq!(world.commit(lease, done()).await.unwrap_err().reason(), Reason::Superseded);
    }
}

#[tokio::test]
async fn a_restarted_worker_has_lost_its_leases_at_once() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        assert!(connect(&world, 1, Uuid::from_u128(99), &[lease.token]).await.is_empty());
        assert_eq!(world.state(id).await, JobState::Queued);
        assert_eq!(world.job(id).await.tally.infra_failures, 1);
        assert_eq!(world.commit(lease, done()).await.unwrap_err().reason(), Reason::Superseded);
        assert_eq!(world.claim(2, 1).await.len(), 1);
    }
}

#[tokio::test]
async fn a_worker_that_comes_back_goes_on_with_what_it_holds() {
    for world in World::each().await {
        for _ in 0..3 {
            world.queue(team(1)).await;
        }
        let (kept, dropped) = (world.start(1).await, world.start(1).await);
        let unheard = world.claim(1, 1).await[0];
        let (_, incarnation) = worker(1);
        let held = [kept.token, LeaseToken([3; 16])];
        assert_eq!(connect(&world, 1, incarnation, &held).await, [kept.token]);
        assert_eq!(world.state(kept.job).await, JobState::Running);
        assert_eq!(world.state(dropped.job).await, JobState::Queued);
        assert_eq!(world.job(unheard.job).await.tally.infra_failures, 0);
        assert_eq!(world.commit(kept, done()).await.unwrap(), JobState::Succeeded);
    }
}

#[tokio::test]
async fn another_worker_does_not_come_into_a_lease_by_naming_it() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        let (_, incarnation) = worker(2);
        assert!(connect(&world, 2, incarnation, &[lease.token]).await.is_empty());
        assert_eq!(world.state(id).await, JobState::Running);
    }
}

#[tokio::test]
async fn a_released_job_starts_again_elsewhere() {
    for world in World::each().await {
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        ops::release(&world.ctx(), lease).await.unwrap();
        assert_eq!(world.claim(2, 1).await[0].job, id);
    }
}

#[tokio::test]
async fn the_epochs_of_a_key_grow_over_all_its_jobs() {
    for world in World::each().await {
        let queue = async || {
            let job = World::new_job(team(1), "mirror:1", OnConflict::Queue);
            world.try_queue(job).await.unwrap().id
        };
        let (first, second) = (queue().await, queue().await);
        let mut epochs = Vec::new();
        for ending in [failed(FailureClass::Infra), done(), done()] {
            let lease = world.start(1).await;
            epochs.push((lease.job, world.job(lease.job).await.lease_epoch));
            world.commit(lease, ending).await.unwrap();
        }
        assert_eq!(epochs, [(first, 1), (first, 2), (second, 3)]);
    }
}

#[tokio::test]
async fn the_end_of_an_old_stream_does_not_shorten_what_a_new_one_renews() {
    for world in World::each().await {
        let (_, incarnation) = worker(1);
        let (old, new) = (Uuid::from_u128(1), Uuid::from_u128(2));
        connect_by(&world, old, 1, incarnation, &[]).await;
        let id = world.queue(team(1)).await;
        let lease = world.start(1).await;
        let promised_until = world.base.clock.now() + Duration::from_secs(1);
        assert_eq!(connect_by(&world, new, 1, incarnation, &[lease.token]).await, [lease.token]);
        ops::disconnect(&world.ctx(), old, &[lease], promised_until, false).await.unwrap();
        world.advance(Timing::STANDARD.ttl);
        world.sweep().await;
        assert_eq!(world.state(id).await, JobState::Running);
        world.commit(lease, done()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_cannot_be_ended_holds_up_no_other() {
    for world in World::each().await {
        let ids = [world.queue(team(1)).await, world.queue(team(2)).await];
        for id in ids {
            world.start(1).await;
            world.cancel(id).await;
        }
        world.diary.stumble_over(ids[0]);
        world.advance(Timing::STANDARD.cancel + Duration::from_secs(1));
        world.sweep().await;
        assert_eq!(world.state(ids[0]).await, JobState::Cancelling);
        assert_eq!(world.state(ids[1]).await, JobState::Cancelled);
    }
}
