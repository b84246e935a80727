//! The key of a request, where keys decide which Endpoint takes it.
//!
//! Laws:
//! 1. Equal requests have equal keys in all workers and replicas.
//! 2. A header that comes several times is taken for one with all its values, as RFC 9110 section 5.3 allows anybody on
//!    the way to write it. One without a value is taken for none: what says nothing must not gather on one Endpoint.
//! 3. The client's address is the peer's, or that of the last in `X-Forwarded-For` who is not a trusted proxy.

use std::net::IpAddr;

use fairlead_balance::StableHash;
use fairlead_http1::HeadStorage;

use crate::forwarded::ForwardedConfig;
use crate::shared::HashOn;

/// The key of a request from `peer` whose head is in `buf`; `None` if it lacks what the key is made of.
pub(super) fn key(
    on: &HashOn,
    peer: IpAddr,
    forwarded: &ForwardedConfig,
    fields: &HeadStorage,
    buf: &[u8],
) -> Option<u64> {
    match on {
        HashOn::Header(name) => of_values(fields.values(buf, name.as_bytes())),
        HashOn::SourceIp => {
            let named = |name: &[u8]| name.eq_ignore_ascii_case(b"x-forwarded-for");
            let last_first = fields.fields().iter().rev().filter(|field| named(field.name.of(buf)));
            Some(of_address(forwarded.client(peer, last_first.map(|field| field.value.of(buf)))))
        }
    }
}

fn of_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<u64> {
    let mut said = values.filter(|value| !value.is_empty());
    let first = StableHash::default().with(said.next()?);
    Some(said.fold(first, |hash, value| hash.with(b", ").with(value)).finish())
}

fn of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(address) => StableHash::of(&address.octets()),
        IpAddr::V6(address) => StableHash::of(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use fairlead_http1::{Limits, RequestHead};

    use super::*;

    const PEER: &str = "192.0.2.1";

    fn key_of(on: &HashOn, peer: &str, lines: &str) -> Option<u64> {
        let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n");
        let mut fields = HeadStorage::new();
        let mut cursor = fairlead_http1::HeadCursor::default();
        RequestHead::parse(head.as_bytes(), &mut cursor, &mut fields, &Limits::REQUEST).unwrap().unwrap();
        let forwarded =
            ForwardedConfig { trusted: vec!["10.0.0.0/8".parse().unwrap()], ..ForwardedConfig::default() };
        key(on, peer.parse().unwrap(), &forwarded, &fields, head.as_bytes())
    }

    fn header(lines: &str) -> Option<u64> {
        key_of(&HashOn::Header("X-User".into()), PEER, lines)
    }

    fn source(peer: &str, lines: &str) -> Option<u64> {
        key_of(&HashOn::SourceIp, peer, lines)
    }

    #[test]
    fn a_header_is_hashed_by_its_value_alone() {
        let key = header("x-user: anna\r\n");
        assert_eq!(key, Some(StableHash::of(b"anna")));
        assert_eq!(header("a: b\r\nX-USER:   anna  \r\nx-other: c\r\n"), key);
        assert_ne!(header("x-user: Anna\r\n"), key);
        let several = header("x-user: anna\r\na: b\r\nx-user: bert\r\n");
        assert_eq!(several, header("x-user: anna, bert\r\n"));
        assert_ne!(several, header("x-user: bert, anna\r\n"));
    }

    #[test]
    fn a_header_that_says_nothing_makes_no_key() {
        assert_eq!(header(""), None);
        assert_eq!(header("x-user:\r\nx-user: \r\n"), None);
        assert_eq!(header("x-user:\r\nx-user: anna\r\n"), header("x-user: anna\r\n"));
    }

    #[test]
    fn an_address_is_hashed_in_one_form() {
        let key = source(PEER, "");
        assert_eq!(key, Some(StableHash::of(&[192, 0, 2, 1])));
        assert_eq!(source("::ffff:192.0.2.1", ""), key);
        assert_ne!(source("2001:db8::1", ""), source("2001:db8::2", ""));
    }

    #[test]
    fn only_a_trusted_peer_is_believed_who_it_speaks_for() {
        let lines = "x-forwarded-for: 198.51.100.7\r\n";
        assert_eq!(source(PEER, lines), source(PEER, ""));
        assert_eq!(source("10.0.0.1", lines), source("198.51.100.7", ""));
        assert_eq!(source("10.0.0.1", ""), source("10.0.0.1", "a: b\r\n"));
    }
}
