//! A Backend's policy: its defaults, and numbers out of their range.
#![allow(clippy::unwrap_used, reason = "a test")]

use fairlead_snapshot::{Kind, Policy, Reason, Resource, decode_body};
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

fn read(max_connections_per_endpoint: Option<i64>, retry_attempts: i64) -> Result<Policy, Reason> {
    let policy = Numbers { max_connections_per_endpoint, retry_attempts };
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
