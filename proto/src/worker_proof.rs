//! How a worker proves that it knows the shared secret, without sending it: HMAC-SHA-256 (RFC 2104).
//!
//! A stream is proven over a challenge of the server. A unary call carries a proof of its own, over the
//! method, the time and a nonce; that a nonce is used once is for the server to remember.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::validation::is_uuid;

/// The metadata entry that carries the proof of a unary call.
pub const METADATA_KEY: &str = "hivesync-worker-proof";
/// The bytes of the server's challenge.
pub const CHALLENGE_BYTES: usize = 32;
/// The bytes of the nonce of a call.
pub const NONCE_BYTES: usize = 16;
/// The bytes of a proof over a challenge.
pub const MAC_BYTES: usize = 32;

const SESSION_DOMAIN: &str = "hivesync-worker-session-v1";
const CALL_DOMAIN: &str = "hivesync-worker-call-v1";
const VERSION: &str = "v1";
const WORKER_ID_BYTES_MAX: usize = 64;
/// The longest proof: version, 86 of name, 36 of UUID, 20 of time, 22 of nonce, 43 of MAC, and five dots.
const PROOF_BYTES_MAX: usize = 214;

/// Why a worker is not believed. For the log; the worker is only told that its proof does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum WorkerProofError {
    /// The text is not a proof, or an identity in it is not well formed.
    #[error("the worker's proof is malformed")]
    Malformed,
    /// It was made with another secret, or for something else.
    #[error("the worker's proof does not hold")]
    Mismatch,
    /// It was made too long ago, or in the future.
    #[error("the worker's proof is out of its time")]
    OutOfTime,
}

/// The proof for `Hello.proof`: over the server's challenge and the worker's identity.
pub fn prove_session(
    secret: &[u8],
    challenge: &[u8; CHALLENGE_BYTES],
    worker_id: &str,
    incarnation_id: &str,
) -> [u8; MAC_BYTES] {
    session_mac(secret, challenge, worker_id, incarnation_id).finalize().into_bytes().into()
}

/// Checks `Hello.proof`, in constant time. `challenge` must be one that was made for this stream.
///
/// # Errors
/// [`WorkerProofError::Malformed`] for an identity that is not well formed, or
/// [`WorkerProofError::Mismatch`].
pub fn verify_session(
    secret: &[u8],
    challenge: &[u8; CHALLENGE_BYTES],
    worker_id: &str,
    incarnation_id: &str,
    proof: &[u8],
) -> Result<(), WorkerProofError> {
    check_identity(worker_id, incarnation_id)?;
    session_mac(secret, challenge, worker_id, incarnation_id)
        .verify_slice(proof)
        .map_err(|_| WorkerProofError::Mismatch)
}

/// What the proof of a unary call says, beside its method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallProof {
    /// The worker's stable name: 1 to 64 of `a-z 0-9 . _ -`.
    pub worker_id: String,
    /// The UUID of the worker's process.
    pub incarnation_id: String,
    /// When the proof was made, in seconds of Unix time.
    pub made_at_unix_secs: u64,
    /// Random; the same nonce of one incarnation must never be accepted twice.
    pub nonce: [u8; NONCE_BYTES],
}

impl CallProof {
    /// The value of [`METADATA_KEY`] for a call of `method_path`, such as
    /// `/hivesync.v1.WorkerService/Commit`.
    pub fn sign(&self, secret: &[u8], method_path: &str) -> String {
        format!(
            "{VERSION}.{}.{}.{}.{}.{}",
            BASE64URL.encode(&self.worker_id),
            self.incarnation_id,
            self.made_at_unix_secs,
            BASE64URL.encode(self.nonce),
            BASE64URL.encode(self.mac(secret, method_path).finalize().into_bytes()),
        )
    }

    /// Checks the proof of a call of `method_path`, in constant time. The caller then refuses a nonce that
    /// it has seen within twice `max_skew_secs`.
    ///
    /// # Errors
    /// Why the proof is not believed; a time is judged only once the proof holds.
    pub fn verify(
        proof: &str,
        secret: &[u8],
        method_path: &str,
        now_unix_secs: u64,
        max_skew_secs: u64,
    ) -> Result<Self, WorkerProofError> {
        let (claimed, mac) = Self::parse(proof).ok_or(WorkerProofError::Malformed)?;
        check_identity(&claimed.worker_id, &claimed.incarnation_id)?;
        claimed.mac(secret, method_path).verify_slice(&mac).map_err(|_| WorkerProofError::Mismatch)?;
        if claimed.made_at_unix_secs.abs_diff(now_unix_secs) > max_skew_secs {
            return Err(WorkerProofError::OutOfTime);
        }
        Ok(claimed)
    }

    fn parse(proof: &str) -> Option<(Self, Vec<u8>)> {
        if proof.len() > PROOF_BYTES_MAX {
            return None;
        }
        let mut parts = proof.split('.');
        let mut next = || parts.next();
        let (version, worker_id, incarnation_id, secs, nonce, mac) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        if version != VERSION || next().is_some() {
            return None;
        }
        let made_at_unix_secs: u64 = secs.parse().ok()?;
        let claimed = Self {
            worker_id: String::from_utf8(BASE64URL.decode(worker_id).ok()?).ok()?,
            incarnation_id: incarnation_id.to_owned(),
            made_at_unix_secs,
            nonce: BASE64URL.decode(nonce).ok()?.try_into().ok()?,
        };
        // A number has one spelling: no sign, no leading zero.
        (made_at_unix_secs.to_string() == secs).then_some((claimed, BASE64URL.decode(mac).ok()?))
    }

    fn mac(&self, secret: &[u8], method_path: &str) -> Hmac<Sha256> {
        mac(
            secret,
            &[
                CALL_DOMAIN.as_bytes(),
                method_path.as_bytes(),
                self.worker_id.as_bytes(),
                self.incarnation_id.as_bytes(),
                &self.made_at_unix_secs.to_be_bytes(),
                &self.nonce,
            ],
        )
    }
}

/// Whether a text can be a worker's name.
pub fn is_worker_id(text: &str) -> bool {
    (1..=WORKER_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-'))
}

fn check_identity(worker_id: &str, incarnation_id: &str) -> Result<(), WorkerProofError> {
    if is_worker_id(worker_id) && is_uuid(incarnation_id) { Ok(()) } else { Err(WorkerProofError::Malformed) }
}

fn session_mac(
    secret: &[u8],
    challenge: &[u8; CHALLENGE_BYTES],
    worker_id: &str,
    incarnation_id: &str,
) -> Hmac<Sha256> {
    mac(secret, &[SESSION_DOMAIN.as_bytes(), challenge, worker_id.as_bytes(), incarnation_id.as_bytes()])
}

/// Each part with its length before it, so that no two lists of parts read alike.
fn mac(secret: &[u8], parts: &[&[u8]]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes a key of any length (RFC 2104, 3)")]
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key of any length");
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    const SECRET: &[u8] = b"a shared secret of 32 bytes or more";
    const PATH: &str = "/hivesync.v1.WorkerService/Commit";
    const INCARNATION: &str = "0190163d-8694-739b-aea5-966c26f8ad91";
    const NOW: u64 = 1_800_000_000;
    const SKEW_SECS: u64 = 60;

    fn call() -> CallProof {
        CallProof {
            worker_id: "worker-1.rack_2".to_owned(),
            incarnation_id: INCARNATION.to_owned(),
            made_at_unix_secs: NOW,
            nonce: [5; NONCE_BYTES],
        }
    }

    fn verify(proof: &str) -> Result<CallProof, WorkerProofError> {
        CallProof::verify(proof, SECRET, PATH, NOW, SKEW_SECS)
    }

    #[test]
    fn believes_a_call_of_one_who_knows_the_secret() {
        assert_eq!(verify(&call().sign(SECRET, PATH)), Ok(call()));
        for secret in [&b""[..], &[7; 64], &[7; 65], &[7; 1000]] {
            let proof = call().sign(secret, PATH);
            assert_eq!(CallProof::verify(&proof, secret, PATH, NOW, SKEW_SECS), Ok(call()));
        }
    }

    #[test]
    fn believes_no_call_with_another_secret_or_for_another_method() {
        let proof = call().sign(SECRET, PATH);
        assert_eq!(
            CallProof::verify(&proof, b"other", PATH, NOW, SKEW_SECS),
            Err(WorkerProofError::Mismatch)
        );
        let other = "/hivesync.v1.WorkerService/Release";
        assert_eq!(CallProof::verify(&proof, SECRET, other, NOW, SKEW_SECS), Err(WorkerProofError::Mismatch));
    }

    #[test]
    fn notices_every_changed_part() {
        let parts: Vec<String> = call().sign(SECRET, PATH).split('.').map(str::to_owned).collect();
        let replacements = [
            BASE64URL.encode("worker-2"),
            "1190163d-8694-739b-aea5-966c26f8ad91".to_owned(),
            (NOW + 1).to_string(),
            BASE64URL.encode([6; NONCE_BYTES]),
            BASE64URL.encode([0; MAC_BYTES]),
        ];
        for (index, replacement) in replacements.into_iter().enumerate() {
            let mut changed = parts.clone();
            changed[index + 1] = replacement;
            assert_eq!(verify(&changed.join(".")), Err(WorkerProofError::Mismatch), "{index}");
        }
        let cut = BASE64URL.encode([0; MAC_BYTES - 1]);
        assert_eq!(verify(&[&parts[..5], &[cut]].concat().join(".")), Err(WorkerProofError::Mismatch));
    }

    #[test]
    fn keeps_to_the_window_of_time() {
        let at = |made_at_unix_secs| {
            verify(&CallProof { made_at_unix_secs, ..call() }.sign(SECRET, PATH)).map(|_| ())
        };
        for time in [NOW - SKEW_SECS, NOW, NOW + SKEW_SECS] {
            assert_eq!(at(time), Ok(()));
        }
        for time in [0, NOW - SKEW_SECS - 1, NOW + SKEW_SECS + 1, u64::MAX] {
            assert_eq!(at(time), Err(WorkerProofError::OutOfTime));
        }
    }

    #[test]
    fn refuses_what_is_not_a_proof() {
        let good = call().sign(SECRET, PATH);
        let malformed = [
            String::new(),
            ".....".to_owned(),
            good.replacen("v1.", "v2.", 1),
            format!("{good}."),
            format!("{good}="),
            format!(" {good}"),
            good.replacen(&NOW.to_string(), &format!("+{NOW}"), 1),
            good.replacen(&NOW.to_string(), &format!("0{NOW}"), 1),
            good.replacen(&NOW.to_string(), "99999999999999999999999", 1),
            CallProof { worker_id: String::new(), ..call() }.sign(SECRET, PATH),
            CallProof { worker_id: "Worker".to_owned(), ..call() }.sign(SECRET, PATH),
            CallProof { worker_id: "w\n".to_owned(), ..call() }.sign(SECRET, PATH),
            CallProof { worker_id: "w".repeat(65), ..call() }.sign(SECRET, PATH),
            CallProof { incarnation_id: "x".to_owned(), ..call() }.sign(SECRET, PATH),
            "a".repeat(100_000),
        ];
        for proof in malformed {
            assert_eq!(verify(&proof), Err(WorkerProofError::Malformed), "{proof}");
        }
        let longest = CallProof { worker_id: "w".repeat(64), made_at_unix_secs: u64::MAX, ..call() };
        assert_eq!(longest.sign(SECRET, PATH).len(), PROOF_BYTES_MAX);
    }

    #[test]
    fn proves_a_session_over_its_own_challenge_only() {
        let challenge = [1; CHALLENGE_BYTES];
        let proof = prove_session(SECRET, &challenge, "worker-1", INCARNATION);
        let verify = |secret: &[u8], challenge, worker_id: &str, incarnation_id: &str, proof: &[u8]| {
            verify_session(secret, challenge, worker_id, incarnation_id, proof)
        };
        assert_eq!(verify(SECRET, &challenge, "worker-1", INCARNATION, &proof), Ok(()));
        let mismatch = Err(WorkerProofError::Mismatch);
        assert_eq!(verify(b"other", &challenge, "worker-1", INCARNATION, &proof), mismatch);
        assert_eq!(verify(SECRET, &[2; 32], "worker-1", INCARNATION, &proof), mismatch);
        assert_eq!(verify(SECRET, &challenge, "worker-2", INCARNATION, &proof), mismatch);
        assert_eq!(verify(SECRET, &challenge, "worker-1", &INCARNATION.replace('0', "1"), &proof), mismatch);
        assert_eq!(verify(SECRET, &challenge, "worker-1", INCARNATION, &proof[..31]), mismatch);
        assert_eq!(verify(SECRET, &challenge, "worker-1", INCARNATION, &[]), mismatch);
        assert_eq!(verify(SECRET, &challenge, "", INCARNATION, &proof), Err(WorkerProofError::Malformed));
    }
}
