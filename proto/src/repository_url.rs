//! Which repository addresses HiveSync accepts: one rule, applied by the server when a project is linked
//! and again by the worker before git sees the address.
//!
//! An address is parsed, judged and written anew, so that what is stored and run is never the text that
//! was sent in. What a name resolves to is judged later, where it is resolved.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// The longest accepted address, in bytes.
pub const REPOSITORY_URL_BYTES_MAX: usize = 2048;

/// The longest host name, in bytes, and the longest label of one (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// The longest user name of an ssh address, in bytes.
const SSH_USER_BYTES_MAX: usize = 64;

/// Names that lead to the machine itself (RFC 6761, section 6.3), to the local link (RFC 6762) or to a
/// cloud's metadata service. A name is refused if it is one of these or ends with one of them.
const REFUSED_HOSTS: [&str; 7] =
    ["localhost", "localdomain", "local", "internal", "metadata", "metadata.goog", "instance-data"];

/// What an operator allows beyond `https` on port 443 and `ssh` on port 22.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UrlPolicy {
    /// Whether `file` addresses are accepted: only where server and user share a machine.
    pub allow_file: bool,
    /// Further ports for `https` and `ssh`.
    pub allowed_ports: Vec<u16>,
}

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RepositoryScheme {
    /// HTTP over TLS.
    Https,
    /// Secure Shell.
    Ssh,
    /// A directory of this machine.
    File,
}

impl RepositoryScheme {
    /// Its name in an address, which is also git's name of the protocol.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Ssh => "ssh",
            Self::File => "file",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Https => Some(443),
            Self::Ssh => Some(22),
            Self::File => None,
        }
    }
}

/// Why an address is refused. The text is meant for the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RepositoryUrlError {
    /// It is empty or longer than [`REPOSITORY_URL_BYTES_MAX`].
    #[error("the address must have 1 to 2048 bytes")]
    Length,
    /// It holds a control character, white space or a backslash, perhaps percent-encoded.
    #[error("the address holds a control character, white space or a backslash")]
    Character,
    /// It is in scp's form.
    #[error("write https://host/path instead of git@host:path")]
    ScpSyntax,
    /// It is not an address with a scheme, an authority and a path.
    #[error("the address is not of the form https://host/path")]
    Malformed,
    /// Its scheme is not accepted here.
    #[error("only https addresses are accepted")]
    Scheme,
    /// It carries credentials, or a user name that ssh would not take.
    #[error("the address must not hold credentials")]
    Credentials,
    /// Its host is an IP address.
    #[error("the host must be a name, not an IP address")]
    IpLiteral,
    /// Its host is not a DNS name, or one that leads inside.
    #[error("the host is not an accepted name")]
    Host,
    /// Its port is not accepted here.
    #[error("the port is not accepted")]
    Port,
    /// It has no path, or a path with a segment that git could take for an option or a parent.
    #[error("the path is missing or not accepted")]
    Path,
    /// It has a query or a fragment.
    #[error("the address must have no query and no fragment")]
    QueryOrFragment,
}

/// An accepted address of a repository, in canonical form.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RepositoryUrl {
    scheme: RepositoryScheme,
    user: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: String,
}

impl RepositoryUrl {
    /// Judges an address under `policy`.
    ///
    /// # Errors
    /// The first rule that the address breaks.
    pub fn parse(input: &str, policy: &UrlPolicy) -> Result<Self, RepositoryUrlError> {
        if input.is_empty() || input.len() > REPOSITORY_URL_BYTES_MAX {
            return Err(RepositoryUrlError::Length);
        }
        if input.chars().any(is_refused_character) {
            return Err(RepositoryUrlError::Character);
        }
        let (scheme, authority) = split(input, policy)?;
        let url = Url::parse(input).map_err(|error| match error {
            url::ParseError::InvalidPort => RepositoryUrlError::Port,
            url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address => {
                RepositoryUrlError::IpLiteral
            }
            url::ParseError::EmptyHost
            | url::ParseError::IdnaError
            | url::ParseError::InvalidDomainCharacter => RepositoryUrlError::Host,
            _ => RepositoryUrlError::Malformed,
        })?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(RepositoryUrlError::QueryOrFragment);
        }
        let path = checked_path(url.path())?;
        if scheme == RepositoryScheme::File {
            // A host would make some programs fetch over the network.
            return if authority.is_empty() {
                Ok(Self { scheme, user: None, host: None, port: None, path })
            } else {
                Err(RepositoryUrlError::Host)
            };
        }
        let user = checked_user(scheme, authority, &url)?;
        let host = checked_host(url.host_str().ok_or(RepositoryUrlError::Host)?)?;
        let port = checked_port(scheme, url.port(), policy)?;
        Ok(Self { scheme, user, host: Some(host), port, path })
    }

    /// How the repository is reached.
    #[must_use]
    pub fn scheme(&self) -> RepositoryScheme {
        self.scheme
    }

    /// The host's name in ASCII and lower case; none for `file`.
    #[must_use]
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The port, named or implied; none for `file`.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port.or(self.scheme.default_port())
    }
}

/// The canonical address.
impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        f.write_str(self.host.as_deref().unwrap_or_default())?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// Only the scheme: an address does not belong into a log.
impl fmt::Debug for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryUrl").field("scheme", &self.scheme).finish_non_exhaustive()
    }
}

/// The scheme and the authority as written. The URL parser is lenient about both, so they are taken from
/// the text itself.
fn split<'a>(input: &'a str, policy: &UrlPolicy) -> Result<(RepositoryScheme, &'a str), RepositoryUrlError> {
    let Some((scheme, rest)) = input.split_once("://") else {
        return Err(match input.split_once(':') {
            Some((host, path)) if !path.starts_with(':') && !host.contains('/') => {
                RepositoryUrlError::ScpSyntax
            }
            Some(_) => RepositoryUrlError::Scheme,
            None => RepositoryUrlError::Malformed,
        });
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "https" => RepositoryScheme::Https,
        "ssh" => RepositoryScheme::Ssh,
        "file" if policy.allow_file => RepositoryScheme::File,
        _ => return Err(RepositoryUrlError::Scheme),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() && scheme != RepositoryScheme::File {
        return Err(RepositoryUrlError::Malformed);
    }
    Ok((scheme, authority))
}

fn is_refused_character(character: char) -> bool {
    character.is_control() || character.is_whitespace() || character == '\\'
}

fn checked_user(
    scheme: RepositoryScheme,
    authority: &str,
    url: &Url,
) -> Result<Option<String>, RepositoryUrlError> {
    if !authority.contains('@') {
        return Ok(None);
    }
    let user = url.username();
    let is_accepted = scheme == RepositoryScheme::Ssh
        && url.password().is_none()
        && (1..=SSH_USER_BYTES_MAX).contains(&user.len())
        && user.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !user.starts_with('-');
    if is_accepted { Ok(Some(user.to_owned())) } else { Err(RepositoryUrlError::Credentials) }
}

fn checked_host(host: &str) -> Result<String, RepositoryUrlError> {
    let host = match Host::parse(host) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => return Err(RepositoryUrlError::IpLiteral),
        Err(url::ParseError::InvalidIpv4Address | url::ParseError::InvalidIpv6Address) => {
            return Err(RepositoryUrlError::IpLiteral);
        }
        Err(_) => return Err(RepositoryUrlError::Host),
    };
    // The root's dot would make a second spelling of the same name.
    let host = host.strip_suffix('.').unwrap_or(&host).to_ascii_lowercase();
    let is_refused = REFUSED_HOSTS
        .iter()
        .any(|refused| host.strip_suffix(refused).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if is_refused || host.len() > HOST_BYTES_MAX || !host.split('.').all(is_label) {
        return Err(RepositoryUrlError::Host);
    }
    Ok(host)
}

/// Letters, digits and inner hyphens (RFC 1123, section 2.1).
fn is_label(label: &str) -> bool {
    (1..=LABEL_BYTES_MAX).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn checked_port(
    scheme: RepositoryScheme,
    port: Option<u16>,
    policy: &UrlPolicy,
) -> Result<Option<u16>, RepositoryUrlError> {
    match port {
        None => Ok(None),
        Some(port) if Some(port) == scheme.default_port() => Ok(None),
        Some(port) if policy.allowed_ports.contains(&port) => Ok(Some(port)),
        Some(_) => Err(RepositoryUrlError::Port),
    }
}

/// The path as the URL parser wrote it, if what it decodes to is harmless as well: git decodes the paths
/// of ssh and file addresses.
fn checked_path(path: &str) -> Result<String, RepositoryUrlError> {
    let decoded = percent_decoded(path).ok_or(RepositoryUrlError::Path)?;
    if decoded.chars().any(|character| character.is_control() || character == '\\') {
        return Err(RepositoryUrlError::Character);
    }
    let is_rooted = path.starts_with('/') && decoded.split('/').any(|segment| !segment.is_empty());
    let is_refused = |segment: &str| segment.starts_with('-') || segment == ".." || segment == ".";
    if !is_rooted || decoded.split('/').any(is_refused) {
        return Err(RepositoryUrlError::Path);
    }
    Ok(path.to_owned())
}

/// RFC 3986, section 2.1; none if an escape is incomplete or the bytes are not UTF-8.
fn percent_decoded(path: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let high = char::from(bytes.next()?).to_digit(16)?;
        let low = char::from(bytes.next()?).to_digit(16)?;
        decoded.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{RepositoryScheme, RepositoryUrl, RepositoryUrlError as Error, UrlPolicy};

    fn parse(input: &str) -> Result<String, Error> {
        RepositoryUrl::parse(input, &UrlPolicy::default()).map(|url| url.to_string())
    }

    fn parse_local(input: &str) -> Result<String, Error> {
        RepositoryUrl::parse(input, &UrlPolicy { allow_file: true, allowed_ports: vec![8443] })
            .map(|url| url.to_string())
    }

    #[test]
    fn writes_accepted_addresses_in_one_form() {
        for (input, canonical) in [
            ("https://example.com/a/b.git", "https://example.com/a/b.git"),
            ("HTTPS://EXAMPLE.com:443/a", "https://example.com/a"),
            ("https://example.com./a", "https://example.com/a"),
            ("https://example.com/a/../b", "https://example.com/b"),
            ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
            ("ssh://git@example.com/a/b.git", "ssh://git@example.com/a/b.git"),
            ("ssh://git@EXAMPLE.com:22/~me/a", "ssh://git@example.com/~me/a"),
            ("ssh://example.com/a%20b", "ssh://example.com/a%20b"),
        ] {
            assert_eq!(parse(input).as_deref(), Ok(canonical), "{input}");
            assert_eq!(parse(canonical).as_deref(), Ok(canonical), "{canonical} is stable");
        }
    }

    #[test]
    fn knows_host_and_port() {
        let url = RepositoryUrl::parse("ssh://git@example.com/a", &UrlPolicy::default()).unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.port()),
            (RepositoryScheme::Ssh, Some("example.com"), Some(22))
        );
    }

    #[test]
    fn refuses_what_git_or_the_network_could_be_tricked_with() {
        for (input, error) in [
            ("", Error::Length),
            ("https://example.com/a\n", Error::Character),
            ("https://example.com/a%0ab", Error::Character),
            ("https://example.com/a%00b", Error::Character),
            (" https://example.com/a", Error::Character),
            ("https:\\\\example.com\\a", Error::Character),
            ("ssh://example.com/a%5cb", Error::Character),
            ("git@example.com:a/b.git", Error::ScpSyntax),
            ("example.com:a/b.git", Error::ScpSyntax),
            ("ext::sh -c id", Error::Character),
            ("ext::sh", Error::Scheme),
            ("ext::https://example.com/a", Error::Scheme),
            ("--upload-pack=/bin/sh", Error::Malformed),
            ("--upload-pack=x://example.com/a", Error::Scheme),
            ("/srv/git/a", Error::Malformed),
            ("file:///srv/git/a", Error::Scheme),
            ("http://example.com/a", Error::Scheme),
            ("git://example.com/a", Error::Scheme),
            ("https:///example.com/a", Error::Malformed),
            ("https://user@example.com/a", Error::Credentials),
            ("https://user:pass@example.com/a", Error::Credentials),
            ("https://@example.com/a", Error::Credentials),
            ("ssh://git:pass@example.com/a", Error::Credentials),
            ("ssh://-oProxyCommand=id@example.com/a", Error::Credentials),
            ("ssh://-oProxyCommand=id/a", Error::Host),
            ("https://-example.com/a", Error::Host),
            ("https://exa_mple.com/a", Error::Host),
            ("https://a..b/a", Error::Host),
            ("https://localhost/a", Error::Host),
            ("https://LOCALHOST./a", Error::Host),
            ("https://x.localhost/a", Error::Host),
            ("https://metadata.google.internal/a", Error::Host),
            ("https://metadata/a", Error::Host),
            ("https://127.0.0.1/a", Error::IpLiteral),
            ("https://0x7f.1/a", Error::IpLiteral),
            ("https://2130706433/a", Error::IpLiteral),
            ("https://169.254.169.254/a", Error::IpLiteral),
            ("ssh://127.1/a", Error::IpLiteral),
            ("https://[::1]/a", Error::IpLiteral),
            ("ssh://[::ffff:127.0.0.1]/a", Error::IpLiteral),
            ("https://example.com:8443/a", Error::Port),
            ("https://example.com:22/a", Error::Port),
            ("https://example.com:99999/a", Error::Port),
            ("https://example.com", Error::Path),
            ("https://example.com//", Error::Path),
            ("ssh://example.com/-a", Error::Path),
            ("ssh://example.com/a/%2dupload", Error::Path),
            ("ssh://example.com/a/..%2f..%2fb", Error::Path),
            ("ssh://example.com/a%zz", Error::Path),
            ("ssh://example.com/a%ff", Error::Path),
            ("https://example.com/a?b", Error::QueryOrFragment),
            ("https://example.com/a?", Error::QueryOrFragment),
            ("https://example.com/a#b", Error::QueryOrFragment),
        ] {
            assert_eq!(parse(input), Err(error), "{input:?}");
        }
        assert_eq!(parse(&format!("https://example.com/{}", "a".repeat(2048))), Err(Error::Length));
    }

    #[test]
    fn accepts_what_the_operator_added() {
        for (input, expected) in [
            ("file:///srv/git/a", Ok("file:///srv/git/a")),
            ("file:///srv/a%20b", Ok("file:///srv/a%20b")),
            ("https://example.com:8443/a", Ok("https://example.com:8443/a")),
            ("file://example.com/a", Err(Error::Host)),
            ("file://localhost/a", Err(Error::Host)),
            ("file:///srv/-a", Err(Error::Path)),
            ("file:///", Err(Error::Path)),
        ] {
            assert_eq!(parse_local(input).as_deref(), expected.as_deref(), "{input}");
        }
    }

    #[test]
    fn is_not_readable_in_a_log() {
        let url = RepositoryUrl::parse("https://example.com/secret", &UrlPolicy::default()).unwrap();
        assert_eq!(format!("{url:?}"), "RepositoryUrl { scheme: Https, .. }");
    }
}
