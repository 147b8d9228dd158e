//! How a server is reached: which addresses are acceptable, and with what settings.

use std::{net::IpAddr, time::Duration};

use tonic::transport::{Channel, Endpoint};
use url::{Host, Url};

#[cfg(feature = "tls")]
use super::trust::{install_crypto_provider, trusting};
use crate::error::{Error, Result};

/// Flow-control windows. The connection's must be fixed and large: HTTP/2 peers end a connection that
/// carries many small unread frames, by a budget of half this window.
const CONNECTION_WINDOW_BYTES: u32 = 32 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);

/// Parses the address of a server. Without TLS only this machine itself may be named.
pub(crate) fn server_url(text: &str) -> Result<Url> {
    let field = "server";
    let url = Url::parse(text).map_err(|_| {
        Error::invalid(field, "The server address is not a URL. Write it like https://host:port.")
    })?;
    let plain = !url.has_authority()
        || url.host().is_none()
        || !url.username().is_empty()
        || url.password().is_some();
    if plain || url.query().is_some() || url.fragment().is_some() || !matches!(url.path(), "" | "/") {
        return Err(Error::invalid(
            field,
            "The server address must be a scheme, a host and a port, and nothing else.",
        ));
    }
    match url.scheme() {
        "https" if cfg!(feature = "tls") => Ok(url),
        "https" => Err(Error::invalid(field, "This build has no TLS. Use one that does.")),
        "http" if is_loopback(&url) => Ok(url),
        "http" => Err(Error::invalid(
            field,
            "Without TLS only a server on this machine may be used. Write https://.",
        )),
        _ => Err(Error::invalid(field, "The server address must begin with https://.")),
    }
}

/// Whether a URL names this machine, by a name that cannot be made to mean another.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Host and port as the `:authority` of a call shows them: the scheme's own port is left out.
pub(crate) fn authority(url: &Url) -> String {
    url.authority().to_owned()
}

/// Prepares connections to a server. Nothing is sent before the first call.
pub(crate) fn connector(
    url: &Url,
    root_certificates: Option<&[u8]>,
    user_agent: &str,
) -> Result<impl Fn() -> Channel + Send + Sync + 'static> {
    let endpoint = Endpoint::from_shared(url.as_str().to_owned())
        .and_then(|endpoint| endpoint.user_agent(user_agent.to_owned()))
        .map_err(|_| Error::invalid("server", "The server address cannot be used."))?
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_adaptive_window(false)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT);
    let endpoint = secured(endpoint, url, root_certificates)?;
    Ok(move || endpoint.connect_lazy())
}

#[cfg(feature = "tls")]
fn secured(endpoint: Endpoint, url: &Url, root_certificates: Option<&[u8]>) -> Result<Endpoint> {
    use tonic::transport::{Certificate, ClientTlsConfig};
    if url.scheme() != "https" {
        return Ok(endpoint);
    }
    install_crypto_provider();
    let mut tls = ClientTlsConfig::new().with_enabled_roots();
    if let Some(pem) = root_certificates {
        tls = tls.ca_certificate(Certificate::from_pem(pem));
    }
    endpoint
        .tls_config(tls)
        .map_err(|_| Error::invalid("root_certificates", "The root certificates are not PEM."))
}

#[cfg(not(feature = "tls"))]
fn secured(endpoint: Endpoint, _: &Url, _: Option<&[u8]>) -> Result<Endpoint> {
    Ok(endpoint)
}

/// The HTTP client of uploads and downloads. What goes to a server on this machine goes by no proxy.
pub(crate) fn http_client(
    root_certificates: Option<&[u8]>,
    user_agent: &str,
    is_local: bool,
) -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder()
        .user_agent(user_agent)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(Duration::from_secs(30))
        .timeout(Duration::from_secs(240));
    let builder = if is_local { builder.no_proxy() } else { builder };
    let builder = trusting(builder, root_certificates)?;
    builder.build().map_err(|_| Error::internal())
}

#[cfg(not(feature = "tls"))]
fn trusting(builder: reqwest::ClientBuilder, _: Option<&[u8]>) -> Result<reqwest::ClientBuilder> {
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::server_url;

    #[test]
    fn plaintext_reaches_only_this_machine() {
        for good in
            ["http://127.0.0.1:50051", "http://localhost:1", "http://[::1]:50051", "https://hivesync.dev"]
        {
            assert!(server_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://hivesync.dev",
            "http://192.168.0.1:50051",
            "http://localhost.evil.example",
            "https://user:password@hivesync.dev",
            "https://hivesync.dev/path",
            "https://hivesync.dev?query",
            "ftp://hivesync.dev",
            "hivesync.dev:443",
            "",
        ] {
            assert!(server_url(bad).is_err(), "{bad}");
        }
    }
}
