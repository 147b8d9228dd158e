//! The worker listener: who may be a worker, and what a worker cannot do.

use hivesync_proto::{
    v1::{self as pb, ErrorReason as Reason, commit_request::Outcome, lease::Work},
    worker_proof,
};
use hivesync_tests::{
    caller::Caller,
    on_each_backend,
    raw_worker::{RawWorker, call_proof},
    repository::Repository,
    wire::{Credentials, Refusal, Wire, refused, set},
    world::{WORKER_SECRET, World},
};
use uuid::Uuid;

const INFO: &str = "hivesync.v1.WorkerService/GetServerInfo";
const WRONG_SECRET: &str = "a secret of the right length that is wrong";

on_each_backend!(
    a_worker_proves_the_secret,
    a_proof_is_good_once,
    a_stream_needs_the_secret,
    results_need_the_lease,
    a_result_is_taken_once,
    a_result_of_another_kind_is_refused,
    a_lease_that_was_replaced_is_worth_nothing,
);

async fn workers_door(world: &World) -> Wire {
    world.wire_to(world.app().addresses.worker).await
}

async fn ask(wire: &Wire, proof: Option<&str>) -> Result<pb::GetServerInfoResponse, tonic::Status> {
    let mut request = wire.request(INFO, pb::GetServerInfoRequest {}, Credentials::default());
    if let Some(proof) = proof {
        set(&mut request, worker_proof::METADATA_KEY, proof);
    }
    wire.send(INFO, request).await.map(tonic::Response::into_inner)
}

async fn a_worker_proves_the_secret(world: World) {
    let wire = workers_door(&world).await;
    let proof = call_proof(&wire, "w", &Uuid::new_v4().to_string());
    let path = format!("/{INFO}");
    let late =
        worker_proof::CallProof { made_at_unix_secs: proof.made_at_unix_secs - 3_600, ..proof.clone() };
    let wrong = [
        None,
        Some("nonsense".to_owned()),
        Some(proof.sign(WRONG_SECRET.as_bytes(), &path)),
        Some(proof.sign(WORKER_SECRET.as_bytes(), "/hivesync.v1.WorkerService/Commit")),
        Some(late.sign(WORKER_SECRET.as_bytes(), &path)),
    ];
    for proof in wrong {
        let refusal = refused(ask(&wire, proof.as_deref()).await);
        assert_eq!(refusal.reason, Reason::InvalidWorkerProof, "{proof:?}");
    }
    let info = ask(&wire, Some(&proof.sign(WORKER_SECRET.as_bytes(), &path))).await.unwrap();
    assert_eq!(info.protocols, [1]);
}

async fn a_proof_is_good_once(world: World) {
    let wire = workers_door(&world).await;
    let proof = call_proof(&wire, "w", &Uuid::new_v4().to_string());
    let proof = proof.sign(WORKER_SECRET.as_bytes(), &format!("/{INFO}"));
    ask(&wire, Some(&proof)).await.unwrap();
    assert_eq!(refused(ask(&wire, Some(&proof)).await).reason, Reason::InvalidWorkerProof);
}

async fn a_stream_needs_the_secret(world: World) {
    let outcome = RawWorker::connect(workers_door(&world).await, "w", WRONG_SECRET).await;
    let refusal = Refusal::of(&outcome.err().expect("refused"));
    assert_eq!(refusal.reason, Reason::InvalidWorkerProof);
    assert!(RawWorker::connect(workers_door(&world).await, "w", WORKER_SECRET).await.is_ok());
}

/// A world whose only worker is raw, and a job that it has taken.
pub(super) async fn leased(world: World) -> (World, Caller, RawWorker, pb::Lease) {
    let backend = world.backend();
    drop(world);
    let world = World::without_worker(backend, &[]).await;
    let ada = world.caller("ada").await;
    let repository = Repository::sample();
    let project = ada.project("site", &repository.url()).await;
    let request =
        pb::SyncRepositoryRequest { project_id: project.id, idempotency_key: Uuid::new_v4().to_string() };
    let _: pb::Job = ada.get("hivesync.v1.ProjectService/SyncRepository", request).await;
    let mut worker =
        RawWorker::connect(workers_door(&world).await, "w", WORKER_SECRET).await.expect("a worker");
    let lease = worker.take().await;
    assert!(matches!(lease.work, Some(Work::RepoSync(_))), "{lease:?}");
    (world, ada, worker, lease)
}

pub(super) fn synced(lease: &pb::Lease) -> pb::CommitRequest {
    pb::CommitRequest {
        job_id: lease.job_id.clone(),
        lease_token: lease.lease_token.clone(),
        commit_id: Uuid::new_v4().to_string(),
        outcome: Some(Outcome::RepoSync(pb::RepoSyncResult {
            default_branch: "main".to_owned(),
            head_commit: "1".repeat(40),
            ref_count: 1,
            objects_received: 3,
            bytes_received: 300,
            mirror_bytes: 300,
            unchanged: false,
        })),
    }
}

async fn results_need_the_lease(world: World) {
    let (_world, ada, worker, lease) = leased(world).await;
    let others = [
        pb::CommitRequest { lease_token: vec![7; 16], ..synced(&lease) },
        pb::CommitRequest { job_id: Uuid::now_v7().to_string(), ..synced(&lease) },
    ];
    for commit in others {
        assert_eq!(refused(worker.commit(commit).await).reason, Reason::Superseded);
    }
    let job: pb::Job =
        ada.get("hivesync.v1.JobService/GetJob", pb::GetJobRequest { job_id: lease.job_id }).await;
    assert_eq!(job.state(), pb::JobState::Running);
}

async fn a_result_is_taken_once(world: World) {
    let (_world, ada, worker, lease) = leased(world).await;
    let commit = synced(&lease);
    assert_eq!(worker.commit(commit.clone()).await.unwrap().state(), pb::JobState::Succeeded);
    // The answer was lost: the same result gets the same answer, another one none.
    assert_eq!(worker.commit(commit).await.unwrap().state(), pb::JobState::Succeeded);
    assert_eq!(refused(worker.commit(synced(&lease)).await).reason, Reason::Superseded);
    let job: pb::Job =
        ada.get("hivesync.v1.JobService/GetJob", pb::GetJobRequest { job_id: lease.job_id }).await;
    assert_eq!(job.state(), pb::JobState::Succeeded);
}

async fn a_result_of_another_kind_is_refused(world: World) {
    let (_world, ada, worker, lease) = leased(world).await;
    let verified = pb::PreviewVerifyResult { verified: vec![vec![1; 32]], rejected: Vec::new() };
    let commit = pb::CommitRequest { outcome: Some(Outcome::PreviewVerify(verified)), ..synced(&lease) };
    assert_eq!(refused(worker.commit(commit).await).reason, Reason::InvalidRequest);
    let commit = pb::CommitRequest { outcome: None, ..synced(&lease) };
    assert_eq!(refused(worker.commit(commit).await).reason, Reason::InvalidRequest);
    let job: pb::Job =
        ada.get("hivesync.v1.JobService/GetJob", pb::GetJobRequest { job_id: lease.job_id }).await;
    assert_eq!(job.state(), pb::JobState::Running);
}

async fn a_lease_that_was_replaced_is_worth_nothing(world: World) {
    let (world, _ada, stale, lease) = leased(world).await;
    // The worker starts anew under its name: what it held before is leased again, to it or another.
    let mut fresh =
        RawWorker::connect(workers_door(&world).await, "w", WORKER_SECRET).await.expect("a worker");
    let again = fresh.take().await;
    assert_eq!(again.job_id, lease.job_id);
    assert!(again.lease_epoch > lease.lease_epoch);
    assert_ne!(again.lease_token, lease.lease_token);
    assert_eq!(refused(stale.commit(synced(&lease)).await).reason, Reason::Superseded);
    assert_eq!(fresh.commit(synced(&again)).await.unwrap().state(), pb::JobState::Succeeded);
}
