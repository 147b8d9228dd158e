//! What is done to sign in, to stay signed in, and to end it. One use case a file.

pub(super) mod devices;
pub(super) mod login;
pub(super) mod refresh;
pub(super) mod register;
pub(super) mod sessions;
pub(super) mod suspend;
mod tokens;

pub(super) use tokens::Tokens;
