//! The client's address. Forwarded headers count only if the socket's peer is a trusted proxy; they are
//! walked from right to left past further trusted proxies, and the first other hop is the client. Nothing
//! that an untrusted peer sends changes its address.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::base::config::ForwardedHeader;

/// The most hops that are looked at.
const HOPS_MAX: usize = 32;

/// Finds the client's address.
#[derive(Clone, Debug)]
pub struct ClientAddress {
    /// The networks whose headers count.
    pub trusted: Vec<IpNet>,
    /// The one header that counts.
    pub header: ForwardedHeader,
}

impl ClientAddress {
    /// Whether `peer` is a trusted proxy.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.trusted.iter().any(|network| network.contains(&peer))
    }

    /// The address of the client behind `peer`.
    #[must_use]
    pub fn find(&self, peer: SocketAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.ip().to_canonical();
        if !self.trusts(client) {
            return client;
        }
        let name = match self.header {
            ForwardedHeader::XForwardedFor => "x-forwarded-for",
            ForwardedHeader::Forwarded => "forwarded",
        };
        // As bytes: what a client puts into its part of a line must not hide what a proxy has added.
        let hops = headers.get_all(name).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        for hop in hops.rev().take(HOPS_MAX) {
            let Some(address) = str::from_utf8(hop).ok().and_then(|hop| self.parse(hop)) else {
                return client;
            };
            client = address;
            if !self.trusts(client) {
                return client;
            }
        }
        client
    }

    fn parse(&self, hop: &str) -> Option<IpAddr> {
        let text = match self.header {
            ForwardedHeader::XForwardedFor => hop.trim(),
            ForwardedHeader::Forwarded => hop
                .split(';')
                .filter_map(|pair| pair.trim().split_once('='))
                .find(|(name, _)| name.eq_ignore_ascii_case("for"))
                .map(|(_, value)| value.trim().trim_matches('"'))?,
        };
        let address = text
            .parse::<IpAddr>()
            .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
            .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>());
        address.ok().map(|address| address.to_canonical())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn finder(header: ForwardedHeader) -> ClientAddress {
        ClientAddress { trusted: vec!["10.0.0.0/8".parse().unwrap()], header }
    }

    fn find(peer: &str, name: &'static str, lines: &[&str]) -> String {
        find_in(peer, name, &lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
    }

    fn find_in(peer: &str, name: &'static str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line).unwrap());
        }
        let header =
            if name == "forwarded" { ForwardedHeader::Forwarded } else { ForwardedHeader::XForwardedFor };
        finder(header).find(SocketAddr::new(peer.parse().unwrap(), 1), &headers).to_string()
    }

    #[test]
    fn an_untrusted_peer_cannot_change_its_address() {
        assert_eq!(find("203.0.113.9", "x-forwarded-for", &["1.2.3.4"]), "203.0.113.9");
        assert_eq!(find("203.0.113.9", "forwarded", &["for=1.2.3.4"]), "203.0.113.9");
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        assert_eq!(find("10.0.0.1", "x-forwarded-for", &["6.6.6.6, 1.2.3.4, 10.0.0.2"]), "1.2.3.4");
        assert_eq!(find("10.0.0.1", "x-forwarded-for", &["6.6.6.6", "1.2.3.4"]), "1.2.3.4");
        assert_eq!(
            find("10.0.0.1", "forwarded", &["for=6.6.6.6, for=\"[2001:db8::1]:80\";proto=http"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn a_hop_that_cannot_be_read_ends_the_walk() {
        assert_eq!(find("10.0.0.1", "x-forwarded-for", &["1.2.3.4, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(find("10.0.0.1", "x-forwarded-for", &[]), "10.0.0.1");
        assert_eq!(find("::ffff:10.0.0.1", "x-forwarded-for", &["1.2.3.4"]), "1.2.3.4");
    }

    #[test]
    fn no_byte_that_a_client_sends_hides_what_a_proxy_adds() {
        // Every byte that may stand in a header: all but control characters, of which the tab may.
        let sendable = (0..=u8::MAX).filter(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f));
        for byte in sendable {
            let line = |added: &str| [&[b'6', byte, b'6', byte], added.as_bytes()].concat();
            assert_eq!(find_in("10.0.0.1", "x-forwarded-for", &[&line(", 1.2.3.4")]), "1.2.3.4", "{byte}");
            assert_eq!(find_in("10.0.0.1", "forwarded", &[&line(", for=1.2.3.4")]), "1.2.3.4", "{byte}");
            let own_line: &[&[u8]] = &[&line(""), b"1.2.3.4"];
            assert_eq!(find_in("10.0.0.1", "x-forwarded-for", own_line), "1.2.3.4", "{byte}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_end_the_walk() {
        assert_eq!(find_in("10.0.0.1", "x-forwarded-for", &[b"1.2.3.4, \xff, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(find_in("10.0.0.1", "forwarded", &[b"for=1.2.3.4, for=\xff, for=10.0.0.2"]), "10.0.0.2");
    }
}
