//! The files of a server's certificate, as an operator puts them into place.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use crate::authority::Authority;

/// A certificate for 127.0.0.1, and the authority that has issued it.
pub struct Certificate {
    authority: Authority,
    directory: TempDir,
}

impl Default for Certificate {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    /// A certificate of an authority of its own.
    #[must_use]
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let certificate = Self { authority: Authority::new(), directory };
        fs::write(certificate.root(), certificate.authority.root()).expect("writable");
        certificate.renew();
        certificate
    }

    /// Puts another certificate, with another key, in the place of the former.
    pub fn renew(&self) {
        let (certificate, key) = self.authority.issue_to("127.0.0.1");
        fs::write(self.path(), certificate).expect("writable");
        fs::write(self.key(), key).expect("writable");
    }

    /// What clients must trust, PEM.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// The certificate, PEM.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("server.pem")
    }

    /// What the server must be told.
    #[must_use]
    pub fn settings(&self) -> [(&'static str, String); 2] {
        [
            ("TLS_CERT_FILE", self.path().display().to_string()),
            ("TLS_KEY_FILE", self.key().display().to_string()),
        ]
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("server.key")
    }
}
