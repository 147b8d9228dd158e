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
        let lines: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        for hop in lines.iter().flat_map(|line| line.split(',')).rev().take(HOPS_MAX) {
            let Some(address) = self.parse(hop) else { return client };
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
    use super::*;

    fn finder(header: ForwardedHeader) -> ClientAddress {
        ClientAddress { trusted: vec!["10.0.0.0/8".parse().unwrap()], header }
    }

    fn find(peer: &str, name: &'static str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
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
}
