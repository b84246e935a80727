//! What is believed of what a peer says about the client behind it.
//!
//! Laws:
//! 1. Belief goes by the address that a connection comes from, never by what a request says. By default nobody is
//!    believed.
//! 2. A list of networks that may mean something else than was meant is refused at start, not guessed: one that is
//!    too narrow loses the clients' addresses, one that is too wide believes strangers.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use fairlead_http1::Trust;
use ipnet::IpNet;
use serde::Deserialize;

/// Networks that can be named. Each request looks at all of them.
pub(crate) const MAX_TRUSTED: usize = 256;

/// `X-Forwarded-*` and its kin.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardedConfig {
    /// What becomes of the fields of a peer that is not trusted.
    pub policy: ForwardedPolicy,
    /// Peers (proxies in front of this one) that are believed: their fields are kept, and their own address is
    /// appended to `X-Forwarded-For`.
    pub trusted: Vec<Network>,
}

/// What becomes of the fields of a peer that is not trusted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardedPolicy {
    /// All of them are deleted before ours are set.
    #[default]
    Overwrite,
    /// `X-Forwarded-For` is kept and appended to, for who wants the whole list and counts its entries from the end; the
    /// others, which are statements and not lists, are deleted.
    Append,
}

impl ForwardedConfig {
    /// How far a peer is believed.
    pub(crate) fn trust(&self, peer: IpAddr) -> Trust {
        // A socket for both families shows IPv4 inside IPv6.
        if self.is_trusted(peer.to_canonical()) {
            return Trust::Everything;
        }
        match self.policy {
            ForwardedPolicy::Overwrite => Trust::Nothing,
            ForwardedPolicy::Append => Trust::Addresses,
        }
    }

    /// Who the request is from: the peer, or for a trusted one the last in `X-Forwarded-For` that is not trusted, or
    /// the first if all are. What stands before an entry that is no address is not believed. `lines` are the values
    /// of the header's lines, the last first.
    pub(crate) fn client<'a>(&self, peer: IpAddr, lines: impl Iterator<Item = &'a [u8]>) -> IpAddr {
        let mut client = peer.to_canonical();
        let entries = lines.flat_map(|line| line.rsplit(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        for entry in entries.filter(|entry| !entry.is_empty()) {
            if !self.is_trusted(client) {
                break;
            }
            let Some(address) = read_entry(entry) else { break };
            client = address.to_canonical();
        }
        client
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.0.contains(&address))
    }
}

/// An address, as some write it with a port.
fn read_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?;
    text.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))
}

/// A network in CIDR notation; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network(IpNet);

/// Not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" {why}")]
pub struct NetworkError {
    text: String,
    why: &'static str,
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let error = |why| NetworkError { text: text.to_owned(), why };
        let network =
            read(text).ok_or_else(|| error("is neither a network like 10.0.0.0/8 nor an address"))?;
        if network.trunc() != network {
            return Err(error("has bits set behind its prefix"));
        }
        match network {
            IpNet::V6(mapped) if mapped.addr().to_ipv4_mapped().is_some() => {
                Err(error("is IPv4 inside IPv6: write it as IPv4"))
            }
            _ => Ok(Self(network)),
        }
    }
}

/// By the parts: the library reads leading zeros as decimal, which are octal elsewhere.
fn read(text: &str) -> Option<IpNet> {
    let Some((address, prefix)) = text.split_once('/') else {
        return Some(text.parse::<IpAddr>().ok()?.into());
    };
    let plain = prefix.bytes().all(|byte| byte.is_ascii_digit());
    IpNet::new(address.parse().ok()?, prefix.parse().ok().filter(|_| plain)?).ok()
}

impl TryFrom<String> for Network {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Network, String> {
        text.parse().map_err(|error: NetworkError| error.to_string())
    }

    #[test]
    fn networks_and_addresses_are_read() {
        for text in ["10.0.0.0/8", "0.0.0.0/0", "192.0.2.7/32", "192.0.2.7", "fd00::/8", "::1", "::/0"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        assert_eq!(parse("192.0.2.7"), parse("192.0.2.7/32"));
    }

    #[test]
    fn what_may_mean_something_else_is_refused_by_name() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "10.0.0.0/",
            "10.0.0.0/8 ",
            "010.0.0.0/8",
            "localhost",
            "fd00::/129",
            "10.0.0.0/+8",
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, format!("\"{text}\" is neither a network like 10.0.0.0/8 nor an address"));
        }
        assert_eq!(parse("10.0.0.1/8").unwrap_err(), "\"10.0.0.1/8\" has bits set behind its prefix");
        let mapped = "\"::ffff:10.0.0.0/104\" is IPv4 inside IPv6: write it as IPv4";
        assert_eq!(parse("::ffff:10.0.0.0/104").unwrap_err(), mapped);
    }

    #[test]
    fn trust_goes_by_the_peers_address_and_the_policy() {
        let trusted = ["10.1.0.0/16", "fd00::/8", "192.0.2.7"].map(|text| parse(text).unwrap());
        for (policy, stranger) in
            [(ForwardedPolicy::Overwrite, Trust::Nothing), (ForwardedPolicy::Append, Trust::Addresses)]
        {
            let config = ForwardedConfig { policy, trusted: trusted.to_vec() };
            let trust = |peer: &str| config.trust(peer.parse().unwrap());
            for peer in ["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3", "fd12::1", "192.0.2.7"] {
                assert_eq!(trust(peer), Trust::Everything, "{peer}");
            }
            for peer in ["10.2.0.0", "10.0.255.255", "::ffff:10.2.0.1", "fe80::1", "192.0.2.8", "::10.1.0.1"]
            {
                assert_eq!(trust(peer), stranger, "{peer}");
            }
        }
        assert_eq!(ForwardedConfig::default().trust(IpAddr::from([127, 0, 0, 1])), Trust::Nothing);
    }
    #[test]
    fn the_client_is_the_last_that_is_not_trusted() {
        let config = ForwardedConfig {
            trusted: vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()],
            ..ForwardedConfig::default()
        };
        let client = |peer: &str, lines: &[&str]| {
            let last_first = lines.iter().rev().map(|line| line.as_bytes());
            config.client(peer.parse().unwrap(), last_first).to_string()
        };
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1", "it may say what it likes");
        assert_eq!(client("10.0.0.1", &["203.0.113.9, 198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["203.0.113.9, 198.51.100.7,10.0.0.2", " fd00::1 , ,"]),
            "198.51.100.7"
        );
        assert_eq!(client("::ffff:10.0.0.1", &["::ffff:198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["198.51.100.7:4711"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &["[2001:db8::7]:4711"]), "2001:db8::7");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3", "a request from inside");
        assert_eq!(client("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
    }
}
