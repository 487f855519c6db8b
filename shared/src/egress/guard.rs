//! Which addresses a user may make us talk to: public ones, and what the operator allows by `host:port`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{Ipv4Net, Ipv6Net};
use url::{Host, Url};

use super::EgressError;

/// A `host:port` that the operator allows although it is not public.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    host: String,
    port: u16,
}

impl Allowed {
    /// Parses `host:port`; an IPv6 host stands in brackets.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let host = Host::parse(host).ok()?.to_string();
        (!host.is_empty()).then_some(Self { host, port })
    }

    fn covers(&self, url: &Url) -> bool {
        url.port_or_known_default() == Some(self.port) && url.host().is_some_and(|host| host.to_string() == self.host)
    }
}

/// What must be known of a URL before it may be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// The operator allows this very `host:port`.
    Allowed,
    /// Whatever addresses the name resolves to must be public.
    IfPublic,
}

/// Judges a user's URL by what can be seen without asking anyone.
///
/// # Errors
/// [`EgressError::Unusable`] for what is not a plain http or https URL, [`EgressError::Forbidden`] for a literal address
/// that is not public, or a name that always means this machine.
pub fn judge(url: &Url, allowed: &[Allowed]) -> Result<Leave, EgressError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(EgressError::Unusable("only http and https are spoken"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(EgressError::Unusable("a user name or password in the URL is not accepted"));
    }
    if url.as_str().len() > 8192 {
        return Err(EgressError::Unusable("it is longer than 8,192 characters"));
    }
    if allowed.iter().any(|allowed| allowed.covers(url)) {
        return Ok(Leave::Allowed);
    }
    match url.host() {
        None => Err(EgressError::Unusable("it names no host")),
        Some(Host::Ipv4(address)) => public(IpAddr::V4(address)),
        Some(Host::Ipv6(address)) => public(IpAddr::V6(address)),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.').to_ascii_lowercase();
            let local = name == "localhost"
                || [".localhost", ".local", ".internal", ".home.arpa"].iter().any(|suffix| name.ends_with(suffix));
            if local { Err(EgressError::Forbidden) } else { Ok(Leave::IfPublic) }
        }
    }
}

fn public(address: IpAddr) -> Result<Leave, EgressError> {
    if is_public(address) { Ok(Leave::IfPublic) } else { Err(EgressError::Forbidden) }
}

/// True for an address on the public internet. Forms that carry an IPv4 address inside an IPv6 one are refused whole,
/// but for the mapped one, which is judged by what it maps.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !RESERVED_V4.iter().any(|network| network.contains(&address))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Only 2000::/3 is handed out; the list then takes out what is special within it.
    (address.segments().first().copied().unwrap_or_default() & 0xe000) == 0x2000
        && !RESERVED_V6.iter().any(|network| network.contains(&address))
}

/// The IANA special-purpose registry for IPv4, and multicast and the reserved class E.
static RESERVED_V4: LazyLock<Vec<Ipv4Net>> = LazyLock::new(|| {
    [
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    ]
    .iter()
    .filter_map(|network| network.parse().ok())
    .collect()
});

/// What is special within 2000::/3: protocol assignments with Teredo, documentation, 6to4, and segment routing's own.
static RESERVED_V6: LazyLock<Vec<Ipv6Net>> = LazyLock::new(|| {
    ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"]
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect()
});

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(url: &str) -> Result<Leave, EgressError> {
        judge(&Url::parse(url).map_err(|_| EgressError::Unusable("no URL"))?, &[])
    }

    #[test]
    fn every_reserved_network_is_in_the_list() {
        assert_eq!(RESERVED_V4.len(), 18);
        assert_eq!(RESERVED_V6.len(), 5);
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_however_they_are_written() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0x7f.0.0.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://172.31.255.255/",
            "http://192.168.1.1/",
            "http://100.64.0.1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://169.254.170.2/",
            "http://192.0.0.192/",
            "http://192.88.99.1/",
            "http://198.18.0.1/",
            "http://203.0.113.1/",
            "http://224.0.0.1/",
            "http://240.0.0.1/",
            "http://255.255.255.255/",
            "http://[::]/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:a00:1]/",
            "http://[::127.0.0.1]/",
            "http://[fe80::1]/",
            "http://[fc00::1]/",
            "http://[fd00:ec2::254]/",
            "http://[ff02::1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[64:ff9b:1::1]/",
            "http://[100::1]/",
            "http://[2001::1]/",
            "http://[2001:db8::1]/",
            "http://[2002:7f00:1::]/",
            "http://[3fff::1]/",
            "http://[5f00::1]/",
            "http://localhost/",
            "http://LOCALHOST./",
            "http://app.localhost/",
            "http://metadata.google.internal/",
            "http://printer.local/",
        ] {
            assert!(matches!(verdict(url), Err(EgressError::Forbidden)), "{url}: {:?}", verdict(url));
        }
    }

    #[test]
    fn what_is_not_a_plain_web_address_is_refused() {
        for url in ["ftp://example.com/", "file:///etc/passwd", "http://user@example.com/", "http://a:b@example.com/"] {
            assert!(matches!(verdict(url), Err(EgressError::Unusable(_))), "{url}");
        }
    }

    #[test]
    fn public_addresses_and_names_may_be_tried() {
        for url in [
            "https://example.com/hook",
            "http://1.1.1.1/",
            "http://[2606:4700::1111]/",
            "https://127.0.0.1.example.com/",
            "http://[::ffff:1.1.1.1]/",
        ] {
            assert_eq!(verdict(url).unwrap(), Leave::IfPublic, "{url}");
        }
    }

    #[test]
    fn the_operator_allows_one_host_and_port() {
        let allowed = [Allowed::parse("127.0.0.1:9000").unwrap(), Allowed::parse("[::1]:9000").unwrap()];
        let judged = |url: &str| judge(&Url::parse(url).unwrap(), &allowed);
        assert_eq!(judged("http://127.0.0.1:9000/x").unwrap(), Leave::Allowed);
        assert_eq!(judged("http://[::1]:9000/x").unwrap(), Leave::Allowed);
        assert!(judged("http://127.0.0.1:9001/x").is_err());
        assert!(judged("http://127.0.0.2:9000/x").is_err());
    }
}
