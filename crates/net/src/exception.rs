//! What is called directly although there is a proxy.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use url::{Host, Url};

/// A host, all hosts below a name, or a range of addresses, which are called without the proxy.
///
/// `provider.corp` is that host and all below it, `.corp` and `*.corp` are all hosts below it, `10.1.2.3` and `10.0.0.0/8` are
/// addresses as they stand in a URL: names are not resolved to find out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception(Covers);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Covers {
    Name { name: String, itself: bool },
    Addresses(IpNet),
}

/// Why a text is no exception.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an exception to the proxy: a host name, .domain, an address or a CIDR is expected, without port")]
pub struct InvalidException;

impl Exception {
    /// Whether a URL is called without the proxy because of it.
    #[must_use]
    pub fn covers(&self, url: &Url) -> bool {
        match (&self.0, url.host()) {
            (Covers::Name { name, itself }, Some(Host::Domain(host))) => {
                let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
                (*itself && host == *name) || host.strip_suffix(name).is_some_and(|above| above.ends_with('.'))
            }
            (Covers::Addresses(range), Some(Host::Ipv4(address))) => range.contains(&std::net::IpAddr::V4(address)),
            (Covers::Addresses(range), Some(Host::Ipv6(address))) => range.contains(&std::net::IpAddr::V6(address)),
            _ => false,
        }
    }
}

impl FromStr for Exception {
    type Err = InvalidException;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if let Ok(range) = text.parse::<IpNet>() {
            return Ok(Self(Covers::Addresses(range)));
        }
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(Self(Covers::Addresses(address.into())));
        }
        let below = text.strip_prefix("*.").or_else(|| text.strip_prefix('.'));
        let name = below.unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err(InvalidException);
        }
        Ok(Self(Covers::Name { name, itself: below.is_none() }))
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Covers::Name { name, itself } => write!(f, "{}{name}", if *itself { "" } else { "." }),
            Covers::Addresses(range) => range.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_covers_what_the_usual_no_proxy_lists_mean() {
        let rows = [
            ("sms.corp", "https://sms.corp/send", true),
            ("sms.corp", "https://SMS.corp.:8443/send", true),
            ("sms.corp", "https://eu.sms.corp", true),
            ("sms.corp", "https://evilsms.corp", false),
            ("sms.corp", "https://sms.corp.evil.com", false),
            (".corp", "https://sms.corp", true),
            ("*.Corp", "https://a.b.corp", true),
            (".corp", "https://corp", false),
            ("svc", "https://otp.telephony.svc", true),
            ("10.0.0.0/8", "https://10.1.2.3:8443", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.0.0.0/8", "https://ten.corp", false),
            ("192.0.2.7", "https://192.0.2.7", true),
            ("192.0.2.7", "https://192.0.2.8", false),
            ("fd00::/8", "https://[fd12::1]", true),
            ("fd00::1", "https://[fd00::2]", false),
        ];
        for (exception, url, covered) in rows {
            let parsed: Exception = exception.parse().unwrap();
            assert_eq!(parsed.covers(&Url::parse(url).unwrap()), covered, "{exception} {url}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed), "it is read back as it was written");
        }
    }

    #[test]
    fn what_is_no_exception_is_refused() {
        for bad in ["", ".", "*", "a..b", "sms.corp:8443", "https://sms.corp", "10.0.0.0/33", "a b", &"a".repeat(254)] {
            assert_eq!(bad.parse::<Exception>(), Err(InvalidException), "{bad}");
        }
    }
}
