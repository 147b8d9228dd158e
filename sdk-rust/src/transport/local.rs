//! Statuses that no server sent: what failed on this side, in the form of what fails on the other.

#![allow(clippy::disallowed_methods, reason = "a client has no status module; these are never sent")]

use tonic::{Code, Status, metadata::MetadataMap};

/// The answer did not come in time.
pub(super) fn expired() -> Status {
    Status::deadline_exceeded("")
}

/// A credential that cannot be put into metadata.
pub(super) fn unsendable() -> Status {
    Status::internal("")
}

/// An answer that came with `metadata` and is not the message that the contract promises.
pub(super) fn unreadable(metadata: MetadataMap) -> Status {
    Status::with_metadata(Code::Internal, "", metadata)
}

/// The connection could not be made.
pub(super) fn unconnected(error: tonic::transport::Error) -> Status {
    Status::from_error(Box::new(error))
}
