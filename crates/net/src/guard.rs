//! The address guard: which addresses may be called.
//!
//! Users of a cluster write provider URLs, and the process that calls them sits inside the cluster's network. Without a
//! guard a URL (or a name that resolves there) could reach the API server, cloud metadata or a neighbour. The guard looks
//! at addresses, never at names, and at the very addresses that are then connected to, so a name that resolves
//! differently the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use url::{Host, Url};

/// IPv4 ranges that are not the public Internet, after IANA's registry of special-purpose addresses.
const GUARDED_V4: &[Ipv4Net] = &[
    v4([0, 0, 0, 0], 8),       // this network
    v4([10, 0, 0, 0], 8),      // private
    v4([100, 64, 0, 0], 10),   // carrier-grade NAT, and many clusters' pods
    v4([127, 0, 0, 0], 8),     // loopback
    v4([169, 254, 0, 0], 16),  // link-local, cloud metadata
    v4([172, 16, 0, 0], 12),   // private
    v4([192, 0, 0, 0], 24),    // protocol assignments
    v4([192, 0, 2, 0], 24),    // documentation
    v4([192, 31, 196, 0], 24), // AS112
    v4([192, 52, 193, 0], 24), // AMT
    v4([192, 88, 99, 0], 24),  // 6to4 relays
    v4([192, 168, 0, 0], 16),  // private
    v4([192, 175, 48, 0], 24), // AS112
    v4([198, 18, 0, 0], 15),   // benchmarks
    v4([198, 51, 100, 0], 24), // documentation
    v4([203, 0, 113, 0], 24),  // documentation
    v4([224, 0, 0, 0], 4),     // multicast
    v4([240, 0, 0, 0], 4),     // reserved, and broadcast
];

/// IPv6 ranges that are refused although they lie in `2000::/3`; whatever lies outside it is refused too.
const GUARDED_V6: &[Ipv6Net] = &[
    v6([0x2001, 0, 0], 23),         // protocol assignments: Teredo, benchmarks, ORCHID
    v6([0x2001, 0xdb8, 0], 32),     // documentation
    v6([0x2002, 0, 0], 16),         // 6to4: hides an IPv4 address
    v6([0x2620, 0x4f, 0x8000], 48), // AS112
    v6([0x3fff, 0, 0], 20),         // documentation
];

/// All public unicast addresses of IPv6.
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0], 3);
/// The well-known prefix of NAT64: an IPv4 address in its last 32 bits.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0], 96);

const fn v4(octets: [u8; 4], len: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]), len)
}

const fn v6(head: [u16; 3], len: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(head[0], head[1], head[2], 0, 0, 0, 0, 0), len)
}

/// Decides which addresses may be called.
#[derive(Debug, Clone, Default)]
pub(super) struct Guard {
    allowed: Vec<IpNet>,
}

/// Why a URL is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Forbidden {
    /// Passcodes and credentials travel by TLS or not at all.
    #[error("only https URLs are called")]
    Scheme,
    /// The URL names an address that is guarded.
    #[error("the address is private, local or reserved, and not among the allowed ranges (network.allowedCIDRs)")]
    Address,
}

impl Guard {
    /// A guard that lets `allowed` through besides the public Internet.
    pub(super) fn new(allowed: &[IpNet]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Whether an address may be called.
    ///
    /// An IPv4 address inside an IPv6 one (mapped, or behind NAT64) is judged as the IPv4 address it stands for, so that
    /// clusters without IPv4 still reach public providers and nobody reaches private ones by another spelling.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        if self.allowed.iter().any(|net| net.contains(&address)) {
            return true;
        }
        match address {
            IpAddr::V4(address) => !GUARDED_V4.iter().any(|net| net.contains(&address)),
            IpAddr::V6(address) => match embedded(address) {
                Some(inner) => self.allows(IpAddr::V4(inner)),
                None => GLOBAL_UNICAST.contains(&address) && !GUARDED_V6.iter().any(|net| net.contains(&address)),
            },
        }
    }

    /// Whether a URL may be called as far as the URL alone shows. Odd spellings of an address (`0x7f.1`, `2130706433`)
    /// are addresses by the time a URL is parsed. Names are judged when they are resolved.
    pub(super) fn permits(&self, url: &Url) -> Result<(), Forbidden> {
        if url.scheme() != "https" {
            return Err(Forbidden::Scheme);
        }
        let allowed = match url.host() {
            Some(Host::Ipv4(address)) => self.allows(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => self.allows(IpAddr::V6(address)),
            Some(Host::Domain(_)) => true,
            None => false,
        };
        if allowed { Ok(()) } else { Err(Forbidden::Address) }
    }
}

/// The IPv4 address that an IPv6 address stands for.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_is_not_the_public_internet_is_refused() {
        let guard = Guard::default();
        for (address, what) in [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "this network"),
            ("10.96.0.1", "private, where clusters put the API server"),
            ("100.64.0.1", "carrier-grade NAT"),
            ("100.127.255.255", "end of carrier-grade NAT"),
            ("127.0.0.1", "loopback"),
            ("127.255.255.254", "the rest of loopback"),
            ("169.254.169.254", "cloud metadata"),
            ("172.16.0.1", "private"),
            ("172.31.255.255", "end of private"),
            ("192.0.0.170", "protocol assignments"),
            ("192.0.2.1", "documentation"),
            ("192.88.99.1", "6to4 relay"),
            ("192.168.1.1", "private"),
            ("198.19.255.255", "benchmarks"),
            ("198.51.100.7", "documentation"),
            ("203.0.113.7", "documentation"),
            ("224.0.0.1", "multicast"),
            ("239.255.255.250", "multicast"),
            ("240.0.0.1", "reserved"),
            ("255.255.255.255", "broadcast"),
            ("::", "unspecified"),
            ("::1", "loopback"),
            ("::7f00:1", "IPv4-compatible loopback"),
            ("::ffff:127.0.0.1", "mapped loopback"),
            ("::ffff:10.0.0.1", "mapped private"),
            ("::ffff:0:127.0.0.1", "translated loopback"),
            ("64:ff9b::7f00:1", "loopback behind NAT64"),
            ("64:ff9b::a9fe:a9fe", "cloud metadata behind NAT64"),
            ("64:ff9b:1::808:808", "local-use NAT64, wherever it leads"),
            ("100::1", "discard"),
            ("2001::1", "Teredo"),
            ("2001:2::1", "benchmarks"),
            ("2001:db8::1", "documentation"),
            ("2002:7f00:1::1", "loopback in 6to4"),
            ("2002:808:808::1", "6to4 at all"),
            ("3fff::1", "documentation"),
            ("5f00::1", "segment routing"),
            ("fc00::1", "unique local"),
            ("fd12:3456::1", "unique local"),
            ("fd00:ec2::254", "cloud metadata"),
            ("fe80::1", "link-local"),
            ("fec0::1", "site-local"),
            ("ff02::1", "multicast"),
        ] {
            assert!(!guard.allows(address.parse().unwrap()), "{address} is {what}");
        }
    }

    #[test]
    fn the_public_internet_is_allowed() {
        let guard = Guard::default();
        for address in [
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "2001:4860:4860::8888",
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ] {
            assert!(guard.allows(address.parse().unwrap()), "{address}");
        }
    }

    #[test]
    fn an_allowed_range_opens_itself_and_nothing_else() {
        let guard = Guard::new(&["10.96.0.0/12".parse().unwrap(), "fd00:1::/64".parse().unwrap()]);
        for (address, allowed) in [
            ("10.96.0.1", true),
            ("10.111.255.255", true),
            ("::ffff:10.96.0.1", true),
            ("64:ff9b::a60:1", true),
            ("10.112.0.0", false),
            ("127.0.0.1", false),
            ("fd00:1::5", true),
            ("fd00:2::5", false),
        ] {
            assert_eq!(guard.allows(address.parse().unwrap()), allowed, "{address}");
        }
    }

    #[test]
    fn odd_spellings_of_an_address_in_a_url_are_recognised() {
        let guard = Guard::default();
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://0x7f.1/",
            "https://0x7f000001/",
            "https://2130706433/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://127。0。0。1/",
            "https://１２７.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://[::1]/",
            "https://[::ffff:7f00:1]/",
            "https://[0:0:0:0:0:ffff:127.0.0.1]/",
            "https://user@10.0.0.1/",
            "https://0/",
        ] {
            assert_eq!(guard.permits(&url(text)), Err(Forbidden::Address), "{text}");
        }
    }

    #[test]
    fn only_https_is_called() {
        let guard = Guard::default();
        assert_eq!(guard.permits(&url("https://provider.example:8443/sms")), Ok(()));
        for text in ["http://provider.example/", "ftp://provider.example/", "file:///etc/passwd", "unix:/run/x.sock"] {
            assert_eq!(guard.permits(&url(text)), Err(Forbidden::Scheme), "{text}");
        }
    }
}
