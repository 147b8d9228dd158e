//! TLS 1.2 and 1.3 with a certificate from PEM files, read again when they change.

use std::{fs, io::BufReader, path::Path, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::base::{
    config::TlsFiles,
    crypto,
    error::{Error, Reason, Result},
    task::Tasks,
};

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(10);

/// The present certificate. A connection keeps the one it began with.
#[derive(Clone)]
pub struct Tls {
    present: Arc<ArcSwap<ServerConfig>>,
}

impl Tls {
    /// Reads `files`, and again whenever they change, as long as `tasks` run.
    ///
    /// # Errors
    /// `UNAVAILABLE` if they hold no certificate with its key.
    pub fn load(files: TlsFiles, tasks: &Tasks) -> Result<Self> {
        let (first, mut digest) = read(&files)?;
        let present = Arc::new(ArcSwap::from_pointee(first));
        let reloaded = present.clone();
        let seen = Arc::new(std::sync::Mutex::new(std::mem::take(&mut digest)));
        tasks.every("tls reload", RELOAD_EVERY, move || {
            let outcome = read(&files).map(|(config, digest)| {
                let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if *seen != digest {
                    *seen = digest;
                    reloaded.store(Arc::new(config));
                    tracing::info!(event = "tls.reloaded");
                }
            });
            async move { outcome }
        });
        Ok(Self { present })
    }

    /// Accepts connections with the present certificate.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.present.load_full().into()
    }
}

fn read(files: &TlsFiles) -> Result<(ServerConfig, [u8; 32])> {
    let unusable = |problem: &'static str| Error::new(Reason::Unavailable).because(problem);
    let certificate = open(&files.certificate)?;
    let key = open(&files.key)?;
    let chain: Vec<_> = rustls_pemfile::certs(&mut BufReader::new(certificate.as_slice()))
        .collect::<Result<_, _>>()
        .map_err(|_| unusable("TLS_CERT_FILE is not PEM"))?;
    if chain.is_empty() {
        return Err(unusable("TLS_CERT_FILE holds no certificate"));
    }
    let private: PrivateKeyDer<'static> = rustls_pemfile::private_key(&mut BufReader::new(key.as_slice()))
        .map_err(|_| unusable("TLS_KEY_FILE is not PEM"))?
        .ok_or_else(|| unusable("TLS_KEY_FILE holds no private key"))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|_| unusable("the certificate and the key do not belong together"))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((config, crypto::sha256(&[certificate, key].concat())))
}

fn open(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::new(Reason::Unavailable).because(error))
}
