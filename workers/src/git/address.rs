//! Which addresses a repository's host may have: globally routable unicast, nothing else, all of them.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use thiserror::Error;
use tokio::{net::lookup_host, time::timeout};

/// How long a name may take to resolve.
const RESOLVE_LIMIT: Duration = Duration::from_secs(10);

/// The most addresses that are pinned.
const ADDRESSES_MAX: usize = 16;

/// IPv4 blocks that are not globally reachable unicast (IANA IPv4 Special-Purpose Address Registry,
/// RFC 6890; multicast by RFC 5771), as first address and prefix length.
const REFUSED_V4: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 52, 193, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(192, 175, 48, 0), 24),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];

/// Metadata services at addresses that look public (Azure's platform address).
const REFUSED_V4_HOSTS: [Ipv4Addr; 1] = [Ipv4Addr::new(168, 63, 129, 16)];

/// Blocks inside 2000::/3 that are not globally reachable unicast, or that carry an IPv4 address which
/// this rule would not see (IANA IPv6 Special-Purpose Address Registry: IETF protocol assignments with
/// Teredo and ORCHID, documentation, 6to4, direct delegation AS112, 3fff::/20 of RFC 9637).
const REFUSED_V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// Why a host is not connected to.
#[derive(Debug, Error)]
pub enum AddressError {
    /// The name does not resolve.
    #[error("the host's name does not resolve")]
    Unresolved(#[source] io::Error),
    /// The name has an address inside, or too many.
    #[error("the host has an address that is not accepted")]
    Refused,
}

/// Resolves a host and judges every address it has: one that is refused refuses all, since git may pick
/// any of them.
///
/// # Errors
/// If the name does not resolve in time, or if an address is refused.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<IpAddr>, AddressError> {
    let answers = timeout(RESOLVE_LIMIT, lookup_host((host, port)))
        .await
        .map_err(|_| AddressError::Unresolved(io::ErrorKind::TimedOut.into()))?
        .map_err(AddressError::Unresolved)?;
    judge(answers.map(|answer| answer.ip()).collect())
}

fn judge(mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, AddressError> {
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(AddressError::Unresolved(io::ErrorKind::NotFound.into()));
    }
    if addresses.len() > ADDRESSES_MAX || !addresses.iter().copied().all(is_public) {
        return Err(AddressError::Refused);
    }
    Ok(addresses)
}

/// The value of `http.curloptResolve` (`CURLOPT_RESOLVE(3)`) that makes git connect to these addresses
/// only.
#[must_use]
pub fn pin(host: &str, port: u16, addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses
        .iter()
        .map(|address| match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("[{address}]"),
        })
        .collect();
    format!("{host}:{port}:{}", addresses.join(","))
}

/// Whether an address is globally routable unicast.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            !REFUSED_V4.iter().any(|(block, length)| {
                u32::from(address) >> (32 - length) == u32::from(*block) >> (32 - length)
            }) && !REFUSED_V4_HOSTS.contains(&address)
        }
        // Global unicast is 2000::/3 (RFC 4291, section 2.4, and IANA's allocations); mapped, compatible,
        // NAT64, unique local, link-local and multicast addresses lie outside of it.
        IpAddr::V6(address) => {
            u128::from(address) >> 125 == 1
                && !REFUSED_V6.iter().any(|(block, length)| {
                    u128::from(address) >> (128 - length) == u128::from(*block) >> (128 - length)
                })
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::{is_public, judge, pin};

    #[test]
    fn refuses_every_address_that_leads_inside() {
        for address in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::8.8.8.8",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:808:808::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn accepts_public_addresses() {
        for address in ["8.8.8.8", "140.82.121.4", "100.128.0.1", "2606:50c0:8000::153", "2a00:1450:4001::1"]
        {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn lets_one_bad_answer_refuse_all() {
        assert!(judge(vec!["8.8.8.8".parse().unwrap(), "127.0.0.1".parse().unwrap()]).is_err());
        assert!(judge(Vec::new()).is_err());
    }

    #[test]
    fn pins_all_addresses() {
        let addresses = ["8.8.8.8".parse().unwrap(), "2606:50c0:8000::153".parse().unwrap()];
        assert_eq!(pin("example.com", 443, &addresses), "example.com:443:8.8.8.8,[2606:50c0:8000::153]");
    }
}
