//! What is believed of what a peer says about the client behind it.
//!
//! Laws:
//! 1. Belief goes by the address that a connection comes from, never by what a request says. By default nobody is
//!    believed.
//! 2. A list of networks that may mean something else than was meant is refused at start, not guessed: one that is
//!    too narrow loses the clients' addresses, one that is too wide believes strangers.

use std::net::IpAddr;
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
        let peer = peer.to_canonical();
        if self.trusted.iter().any(|network| network.0.contains(&peer)) {
            return Trust::Everything;
        }
        match self.policy {
            ForwardedPolicy::Overwrite => Trust::Nothing,
            ForwardedPolicy::Append => Trust::Addresses,
        }
    }
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
}
