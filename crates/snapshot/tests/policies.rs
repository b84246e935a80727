//! A Backend's policy: its defaults, and numbers out of their range.
#![allow(clippy::unwrap_used, reason = "a test")]

use fairlead_snapshot::{HashKey, Kind, LoadBalancer, Policy, Reason, Resource, decode_body};
use serde::Serialize;

#[derive(Serialize)]
struct Backend<P> {
    namespace: &'static str,
    service: &'static str,
    port: u16,
    policy: P,
}

#[derive(Serialize)]
struct Numbers {
    max_connections_per_endpoint: Option<i64>,
    retry_attempts: i64,
}

#[derive(Serialize)]
struct Balancer {
    load_balancer: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistent_hash: Option<Hash>,
}

#[derive(Clone, Copy, Serialize)]
struct Hash {
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_size: Option<i64>,
}

const SOURCE: Hash = Hash { r#type: "SourceIP", header: None, table_size: None };
const HEADER: Hash = Hash { r#type: "Header", header: Some("x-user"), table_size: None };

fn read(max_connections_per_endpoint: Option<i64>, retry_attempts: i64) -> Result<Policy, Reason> {
    policy(Numbers { max_connections_per_endpoint, retry_attempts })
}

fn hashing(consistent_hash: Hash) -> Result<Policy, Reason> {
    policy(Balancer { load_balancer: "ConsistentHash", consistent_hash: Some(consistent_hash) })
}

fn policy(policy: impl Serialize) -> Result<Policy, Reason> {
    let backend = Backend { namespace: "a", service: "b", port: 80, policy };
    let body = rmp_serde::to_vec_named(&backend).unwrap();
    match decode_body(Kind::Backend, &body) {
        Ok(Resource::Backend(backend)) => Ok(backend.policy),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.reason),
    }
}

#[test]
fn without_its_fields_there_is_no_limit_and_one_repeat() {
    assert_eq!(Policy::default().max_connections_per_endpoint, None);
    assert_eq!(Policy::default().retry_attempts, 1);
    assert_eq!(read(None, 1), Ok(Policy::default()));
}

#[test]
fn a_limit_is_a_positive_number_of_31_bits() {
    let most = i64::from(i32::MAX);
    for given in [1, 1_024, most] {
        assert_eq!(read(Some(given), 1).unwrap().max_connections_per_endpoint.map(i64::from), Some(given));
    }
    for given in [0, -1, most + 1, i64::MAX, i64::MIN] {
        assert_eq!(read(Some(given), 1), Err(Reason::InvalidPolicy), "{given}");
    }
}

#[test]
fn a_sent_request_is_repeated_once_or_not_at_all() {
    assert_eq!(read(None, 0).unwrap().retry_attempts, 0);
    for given in [-1, 2, 255, 256, i64::MAX] {
        assert_eq!(read(None, given), Err(Reason::InvalidPolicy), "{given}");
    }
}

#[test]
fn a_key_is_made_of_the_clients_address_or_a_header() {
    let read = hashing(SOURCE).unwrap();
    assert_eq!(read.load_balancer, LoadBalancer::ConsistentHash);
    let hash = read.consistent_hash.unwrap();
    assert_eq!((hash.r#type, hash.header, hash.table_size), (HashKey::SourceIp, None, 65_537));
    let hash = hashing(HEADER).unwrap().consistent_hash.unwrap();
    assert_eq!((hash.r#type, hash.header.as_deref()), (HashKey::Header, Some("x-user")));
    assert_eq!(hashing(Hash { r#type: "Cookie", ..SOURCE }), Err(Reason::UnsupportedValue));
    for header in [None, Some(""), Some("a b"), Some("x:")] {
        assert_eq!(hashing(Hash { header, ..HEADER }), Err(Reason::InvalidPolicy), "{header:?}");
    }
    assert_eq!(hashing(Hash { r#type: "SourceIP", ..HEADER }), Err(Reason::InvalidPolicy));
}

#[test]
fn a_table_has_a_prime_number_of_slots() {
    let of = |size| hashing(Hash { table_size: Some(size), ..SOURCE });
    for size in [2, 101, 655_373, 5_000_011] {
        assert_eq!(of(size).unwrap().consistent_hash.map(|hash| i64::from(hash.table_size)), Some(size));
    }
    for size in [i64::MIN, -1, 0, 1, 65_536, 5_000_012, 5_000_077, 4_294_967_291, i64::MAX] {
        assert_eq!(of(size), Err(Reason::InvalidPolicy), "{size}");
    }
}

#[test]
fn a_key_and_the_algorithm_that_needs_one_come_together() {
    let with = |load_balancer, consistent_hash| policy(Balancer { load_balancer, consistent_hash });
    assert_eq!(with("ConsistentHash", None), Err(Reason::InvalidPolicy));
    for other in ["PeakEWMA", "RoundRobin"] {
        assert_eq!(with(other, Some(SOURCE)), Err(Reason::InvalidPolicy));
        assert!(with(other, None).is_ok());
    }
}
