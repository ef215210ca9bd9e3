//! Which addresses may be connected to. Whoever may make a channel could otherwise let the server call what only the server
//! reaches: itself, its network, the metadata service of its cloud. Checked are the addresses that are really connected to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// What is not for the public, by the registries of special-purpose addresses (IANA), or is known to be a cloud's own.
const REFUSED_V4: [&str; 16] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    // Azure's wire server
    "168.63.129.16/32",
];
/// Within [`PUBLIC_V6`]: special purposes, documentation, and what leads to IPv4 (Teredo, 6to4).
const REFUSED_V6: [&str; 4] = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];
/// The only part of IPv6 that is given out. Loopback, link-local, unique local, multicast and NAT64 are all outside.
const PUBLIC_V6: &str = "2000::/3";
const NAT64: [&str; 2] = ["64:ff9b::/96", "64:ff9b:1::/48"];

static REFUSED: LazyLock<Vec<IpNet>> = LazyLock::new(|| nets(&[&REFUSED_V4[..], &REFUSED_V6]));
static PUBLIC: LazyLock<Vec<IpNet>> = LazyLock::new(|| nets(&[&[PUBLIC_V6]]));
static TRANSLATED: LazyLock<Vec<IpNet>> = LazyLock::new(|| nets(&[&NAT64]));

fn nets(lists: &[&[&str]]) -> Vec<IpNet> {
    let texts = lists.iter().copied().flatten();
    texts.filter_map(|text| text.parse().ok()).collect()
}

/// Networks that may be connected to although they are not public: `webhook_allow`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<IpNet>);

impl FromStr for AllowedNetworks {
    type Err = String;

    /// Networks or addresses, separated by commas.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let address = || part.parse::<IpAddr>().map(IpNet::from);
            part.parse().or_else(|_| address()).map_err(|_| {
                format!("`{part}` is not a network; write 10.1.0.0/16, fd00:1::/64, or one address, separated by commas")
            })
        });
        networks.collect::<Result<_, _>>().map(Self)
    }
}

/// An address that must not be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub address: IpAddr,
}

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} is not a public address: list its network in webhook_allow (PROCMON_WEBHOOK_ALLOW) of the server if \
             webhooks may reach it",
            self.address
        )
    }
}

impl std::error::Error for Refused {}

/// Decides about addresses, and resolves names to those that are allowed.
#[derive(Clone, Debug, Default)]
pub struct AddressGuard {
    allowed: Arc<AllowedNetworks>,
}

impl AddressGuard {
    pub fn new(allowed: AllowedNetworks) -> Self {
        Self {
            allowed: Arc::new(allowed),
        }
    }

    pub fn check(&self, address: IpAddr) -> Result<(), Refused> {
        // A mapped address is the one that is mapped, for the system that connects to it.
        let canonical = address.to_canonical();
        let reachable = |address| is_public(address) || self.is_allowed(address);
        let listed = self.is_allowed(address) || reachable(canonical);
        if listed && embedded(address).is_none_or(reachable) {
            Ok(())
        } else {
            Err(Refused { address })
        }
    }

    fn is_allowed(&self, address: IpAddr) -> bool {
        self.allowed.0.iter().any(|net| net.contains(&address))
    }

    /// Of a URL whose host is an address: no resolver is asked for it.
    pub fn check_literal(&self, url: &reqwest::Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse().map_or(Ok(()), |address| self.check(address))
    }

    /// One refused address is enough to refuse the name: it would not be for the public otherwise.
    fn filter(&self, found: Vec<SocketAddr>) -> Result<Addrs, Refused> {
        for address in &found {
            self.check(address.ip())?;
        }
        Ok(Box::new(found.into_iter()))
    }
}

impl Resolve for AddressGuard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(guard.filter(found.collect())?)
        })
    }
}

fn is_public(address: IpAddr) -> bool {
    let refused = REFUSED.iter().any(|net| net.contains(&address));
    !refused && (address.is_ipv4() || PUBLIC.iter().any(|net| net.contains(&address)))
}

/// The IPv4 address that NAT64 would go on to.
fn embedded(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(v6) = address else { return None };
    let translated = TRANSLATED.iter().any(|net| net.contains(&address));
    translated.then(|| IpAddr::V4(last_four(v6)))
}

fn last_four(address: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = address.octets();
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(guard: &AddressGuard, address: &str) -> bool {
        guard.check(address.parse().expect(address)).is_ok()
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let networks = REFUSED_V4.len() + REFUSED_V6.len();
        assert_eq!(
            (REFUSED.len(), PUBLIC.len(), TRANSLATED.len()),
            (networks, 1, 2)
        );
        let guard = AddressGuard::default();
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::808:808",
            "64:ff9b:1::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "100::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!verdict(&guard, address), "{address}");
        }
        for address in [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "192.0.1.1",
            "100.128.0.1",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2606:4700:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(verdict(&guard, address), "{address}");
        }
    }

    #[test]
    fn listed_networks_are_reached_too() {
        let allowed = "10.1.0.0/16, 127.0.0.1,fd00:1::/64, 64:ff9b::/96";
        let guard = AddressGuard::new(allowed.parse().expect("networks"));
        for address in [
            "10.1.2.3",
            "127.0.0.1",
            "::ffff:10.1.2.3",
            "fd00:1::5",
            "64:ff9b::808:808",
            "64:ff9b::10.1.2.3",
        ] {
            assert!(verdict(&guard, address), "{address}");
        }
        for address in [
            "10.2.0.1",
            "127.0.0.2",
            "::1",
            "64:ff9b::a00:1",
            "64:ff9b::a9fe:a9fe",
            "fd00:2::1",
        ] {
            assert!(!verdict(&guard, address), "{address}");
        }
        for text in ["10.0.0.0/33", "localhost", "10.0.0"] {
            assert!(text.parse::<AllowedNetworks>().is_err(), "{text}");
        }
        assert_eq!("".parse(), Ok(AllowedNetworks::default()));
    }

    #[test]
    fn addresses_in_urls_are_checked_however_they_are_written() {
        let guard = AddressGuard::default();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1:8080/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "https://user@10.0.0.1/x",
        ] {
            let url = url.parse().expect(url);
            assert!(guard.check_literal(&url).is_err(), "{url}");
        }
        guard
            .check_literal(&"https://example.com/".parse().expect("a URL"))
            .expect("a name");
        guard
            .check_literal(&"https://8.8.8.8/".parse().expect("a URL"))
            .expect("public");
    }

    #[tokio::test]
    async fn names_are_resolved_to_allowed_addresses_alone() {
        let localhost = || "localhost".parse::<Name>().expect("a name");
        let refused = AddressGuard::default().resolve(localhost()).await;
        let error = refused.err().expect("refused").to_string();
        assert!(error.contains("webhook_allow"), "{error}");
        let guard = AddressGuard::new("127.0.0.0/8,::1".parse().expect("networks"));
        assert!(
            guard
                .resolve(localhost())
                .await
                .expect("allowed")
                .next()
                .is_some()
        );
        let both = vec![
            "8.8.8.8:0".parse().expect("public"),
            "10.0.0.1:0".parse().expect("private"),
        ];
        assert!(
            AddressGuard::default().filter(both).is_err(),
            "one is enough"
        );
    }
}
