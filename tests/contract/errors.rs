//! The catalogue of errors, as far as it can be judged without a server. `proto/ERRORS.md` is the reviewed one.

use hivesync_proto::v1::ErrorReason;
use hivesync_server::base::status;

use crate::descriptors;

/// Reasons that refuse no call: they say why a job failed, in `Job.failure`.
pub(crate) const OF_JOBS_ONLY: [ErrorReason; 1] = [ErrorReason::RepositoryUnreachable];

/// Every reason of the contract but the one that stands for none.
pub(crate) fn reasons() -> Vec<ErrorReason> {
    let numbers = descriptors::files()
        .into_iter()
        .flat_map(|file| file.enum_type)
        .find(|candidate| candidate.name() == "ErrorReason")
        .expect("the contract has reasons")
        .value;
    numbers
        .iter()
        .filter(|value| value.number() != 0)
        .map(|value| ErrorReason::try_from(value.number()).expect("generated from the same contract"))
        .collect()
}

/// What a client is told names nothing of the inside.
#[test]
fn public_texts_reveal_nothing() {
    const INSIDE: [&str; 13] = [
        "database",
        "jwt",
        "panic",
        "postgres",
        "queue",
        "redis",
        "rust",
        "signature",
        "sql",
        "sqlite",
        "stack",
        "table",
        "tonic",
    ];
    for reason in reasons() {
        let text = status::rule(reason).text;
        assert!(text.ends_with('.') && text.len() <= 120, "{text:?} is not one short sentence");
        let lower = text.to_lowercase();
        for word in lower.split(|letter: char| !letter.is_alphanumeric()) {
            assert!(!INSIDE.contains(&word), "{text:?} names {word:?}");
        }
    }
}

/// A code that clients retry by themselves must not stand for something that a repeat cannot mend.
#[test]
fn unavailable_means_a_repeat_may_help() {
    for reason in reasons() {
        let rule = status::rule(reason);
        if rule.code == tonic::Code::Unavailable {
            assert!(rule.retryable, "{} is UNAVAILABLE and not retryable", status::name(reason));
        }
    }
}
