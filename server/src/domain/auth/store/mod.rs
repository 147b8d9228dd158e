//! The rows of signing in.

pub(super) mod credentials;
pub(super) mod devices;
pub(super) mod sessions;
