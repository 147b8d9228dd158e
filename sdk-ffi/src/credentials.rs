//! What a user types to sign in.

use std::sync::{Mutex, PoisonError};

use hivesync::Secret;

use crate::error::HiveSyncError;

/// An e-mail address and a password, for one call. Shows nothing, gives nothing out, and is empty after
/// the call that took it.
#[derive(uniffi::Object)]
pub struct Credentials(Mutex<Option<(String, Secret)>>);

#[uniffi::export]
impl Credentials {
    /// Takes over what the user typed.
    #[uniffi::constructor]
    pub fn new(email: String, password: String) -> Self {
        Self(Mutex::new(Some((email, password.into()))))
    }
}

impl Credentials {
    /// The credentials, once.
    pub(crate) fn take(&self) -> Result<(String, Secret), HiveSyncError> {
        let taken = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.ok_or_else(|| {
            HiveSyncError::invalid("credentials", "Credentials serve one call. Make them anew.")
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn credentials_serve_one_call() {
        let credentials = Credentials::new("ada@example.org".to_owned(), "secret".to_owned());
        let (email, password) = credentials.take().unwrap();
        assert_eq!((email.as_str(), password.expose()), ("ada@example.org", "secret"));
        let error = credentials.take().unwrap_err();
        assert!(matches!(&error, HiveSyncError::InvalidRequest { fields, .. } if fields == &["credentials"]));
    }
}
