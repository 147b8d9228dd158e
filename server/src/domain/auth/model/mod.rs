//! The nouns of signing in, and their rules.

pub(super) mod device;
pub(super) mod password_policy;
pub(super) mod refresh_token;
pub(super) mod session;
