//! Whose certificates are trusted.

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, pem::PemObject as _},
};

use crate::error::{Error, Result};

/// The one cryptographic library of the process. Somebody may have chosen it already; then it stays.
pub(super) fn install_crypto_provider() {
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Has uploads and downloads trust what this build trusts, and the PEM certificates beside it.
pub(super) fn trusting(
    builder: reqwest::ClientBuilder,
    root_certificates: Option<&[u8]>,
) -> Result<reqwest::ClientBuilder> {
    install_crypto_provider();
    let own = root_certificates.map(certificates).transpose()?.unwrap_or_default();
    if cfg!(feature = "tls-native-roots") {
        let own = own.iter().map(|der| reqwest::Certificate::from_der(der)).collect::<Result<Vec<_>, _>>();
        let own = own.map_err(|_| unusable())?;
        return Ok(if own.is_empty() { builder } else { builder.tls_certs_merge(own) });
    }
    // Otherwise the system would still be asked, which on a phone takes more than this crate can do.
    Ok(builder.tls_backend_preconfigured(without_system(own)?))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    if found.is_empty() {
        let sentence = "There is no PEM certificate among the root certificates.";
        return Err(Error::invalid("root_certificates", sentence));
    }
    Ok(found)
}

/// Trusts `own` and the authorities that are part of this build, if there are any, and nobody else.
fn without_system(own: Vec<CertificateDer<'static>>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    #[cfg(feature = "tls-webpki-roots")]
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    for certificate in own {
        roots.add(certificate).map_err(|_| unusable())?;
    }
    let provider = CryptoProvider::get_default().ok_or_else(Error::internal)?;
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|_| Error::internal())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn unusable() -> Error {
    Error::invalid("root_certificates", "One of the root certificates cannot be used.")
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use rustls::{
        ClientConnection, ProtocolVersion, ServerConfig, ServerConnection,
        pki_types::{PrivateKeyDer, ServerName},
    };

    use super::*;

    /// An authority's certificate, and a server on `localhost` that has its own from there.
    fn authority(name: &str) -> (CertificateDer<'static>, Arc<ServerConfig>) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&key).unwrap();
        let server_key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let server = server.signed_by(&server_key, &Issuer::new(params, key)).unwrap();
        let server_key = PrivateKeyDer::try_from(server_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let mut config = config.with_single_cert(vec![server.der().clone()], server_key).unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        (root.der().clone(), Arc::new(config))
    }

    /// Brings both sides of a connection together in memory.
    fn shake_hands(
        client: ClientConfig,
        server: Arc<ServerConfig>,
    ) -> Result<ClientConnection, rustls::Error> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name)?;
        let mut server = ServerConnection::new(server)?;
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut io::Cursor::new(wire)).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut io::Cursor::new(wire)).unwrap();
            client.process_new_packets()?;
        }
        Ok(client)
    }

    #[test]
    fn without_the_system_only_named_authorities_are_trusted() {
        install_crypto_provider();
        let (root, server) = authority("its own");
        let (other_root, _) = authority("another");

        let connection = shake_hands(without_system(vec![other_root.clone(), root]).unwrap(), server.clone());
        let connection = connection.unwrap();
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        assert_eq!(connection.alpn_protocol(), Some(&b"http/1.1"[..]));

        for roots in [vec![other_root], Vec::new()] {
            let refused = shake_hands(without_system(roots).unwrap(), server.clone());
            assert!(matches!(refused, Err(rustls::Error::InvalidCertificate(_))), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_refused_before_anything_is_sent() {
        let refused = |pem: &[u8]| {
            let builder = reqwest::Client::builder();
            trusting(builder, Some(pem)).and_then(|builder| builder.build().map_err(|_| Error::internal()))
        };
        let empty = b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n";
        for pem in [&b""[..], b"not PEM", b"-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n"] {
            assert_eq!(refused(pem).unwrap_err().code(), "invalid_request");
        }
        assert!(without_system(certificates(empty).unwrap()).is_err());
    }
}
