//! Whether whoever calls knows the workers' shared secret.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use hivesync_proto::worker_proof::{self, CHALLENGE_BYTES, CallProof};
use uuid::Uuid;

use super::message::Hello;
use crate::{
    base::{
        ctx::Ctx,
        error::{Error, Reason, Result},
        limit::{Claim, Decision, Rule},
    },
    domain::audit::{self, Entry, Outcome},
};

/// How far a worker's clock may be off.
const SKEW: Duration = Duration::from_secs(60);
/// Refusals of one address that are recorded.
const RECORDED: Rule = Rule::new("worker.refused.recorded", 30, Duration::from_secs(60));

/// Requires that a call of `method_path`, such as `/hivesync.v1.WorkerService/Commit`, was made by a worker.
/// `proof` is the call's metadata entry [`worker_proof::METADATA_KEY`]. A refusal is recorded.
///
/// # Errors
/// `INVALID_WORKER_PROOF` if the proof is missing, wrong, out of its time or was used before; `UNAVAILABLE`
/// if that cannot be found out.
pub async fn authenticate(ctx: &Ctx, proof: Option<&str>, method_path: &str) -> Result<()> {
    let Some(proof) = proof else { return Err(refuse(ctx, "no proof").await) };
    let now_secs = u64::try_from(ctx.clock.now().as_secs()).unwrap_or(0);
    let secret = ctx.config.worker_shared_secret.expose();
    let call = match CallProof::verify(proof, secret, method_path, now_secs, SKEW.as_secs()) {
        Ok(call) => call,
        Err(error) => return Err(refuse(ctx, &error.to_string()).await),
    };
    let key = format!("worker-call:{}:{}", call.incarnation_id, BASE64URL.encode(call.nonce));
    if ctx.kv.put_if_absent(&key, Vec::new(), SKEW * 2 + Duration::from_secs(1)).await? {
        Ok(())
    } else {
        Err(refuse(ctx, "the worker's proof was used before").await)
    }
}

/// Requires that `hello` answers `challenge`; the incarnation it comes from.
pub(super) async fn verify_hello(
    ctx: &Ctx,
    challenge: &[u8; CHALLENGE_BYTES],
    hello: &Hello,
) -> Result<Uuid> {
    let secret = ctx.config.worker_shared_secret.expose();
    let (worker_id, incarnation_id) = (&hello.worker_id, &hello.incarnation_id);
    match worker_proof::verify_session(secret, challenge, worker_id, incarnation_id, &hello.proof) {
        Ok(()) => incarnation_id.parse().map_err(|_| Error::invalid("incarnation_id", "must be a UUID")),
        Err(error) => Err(refuse(ctx, &error.to_string()).await),
    }
}

/// Records a refusal, and makes the answer. Anybody who reaches the listener can be refused, and entries
/// wait for each other: what goes beyond a steady trickle is counted only.
async fn refuse(ctx: &Ctx, why: &str) -> Error {
    metrics::counter!("hivesync_workers_refused_total").increment(1);
    let refusal = Error::new(Reason::InvalidWorkerProof).because(why.to_owned());
    let recorded = Claim::of_client(RECORDED, ctx.call.address);
    if let Decision::Denied { .. } = ctx.limiter.decide(&[recorded]).await {
        return refusal;
    }
    let entry = Entry::new("worker.refused").outcome(Outcome::Refused);
    if let Err(error) = audit::record(ctx, entry).await {
        return error;
    }
    refusal
}
