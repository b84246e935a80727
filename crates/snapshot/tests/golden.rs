//! The golden frames, as Python wrote them (`tests/snapshot/test_golden.py`): read, and written back to the byte.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;

use fairlead_snapshot::{
    FrameReader, FromProxy, Key, Kind, Resource, ToProxy, decode_from_proxy, decode_resource,
    decode_to_proxy, encode_from_proxy, encode_resource, encode_to_proxy,
};

fn golden(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut found: Vec<_> = files
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| name.starts_with(prefix))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no golden files of {prefix}");
    found
}

fn payload(wire: &[u8]) -> Vec<u8> {
    let mut reader = FrameReader::new();
    reader.push(wire);
    reader.next_frame().unwrap().expect("a whole frame").to_vec()
}

#[test]
fn frames_from_a_proxy_are_written_as_python_writes_them() {
    for (name, wire) in golden("from-proxy") {
        let frame = decode_from_proxy(&payload(&wire)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(encode_from_proxy(&frame), wire, "{name}: {frame:?}");
    }
}

#[test]
fn frames_to_a_proxy_are_read_whole() {
    for (name, wire) in golden("to-proxy") {
        let payload = payload(&wire);
        let frame = decode_to_proxy(&payload).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(encode_to_proxy(&frame), wire, "{name}: {frame:?}");
    }
}

#[test]
fn every_resource_is_valid_and_its_bytes_are_canonical() {
    let files = golden("to-proxy-full");
    let payload = payload(&files[0].1);
    let Ok(ToProxy::Update(update)) = decode_to_proxy(&payload) else { panic!("no update") };
    assert!(update.full && !update.more);
    let mut kinds = std::collections::BTreeSet::new();
    for upsert in &update.upserts {
        let key = Key::new(Kind::parse(upsert.kind).unwrap(), upsert.name);
        let body: &[u8] = upsert.body.expect("a body");
        let resource = decode_resource(&key, body).unwrap_or_else(|refusal| panic!("{key}: {refusal}"));
        assert_eq!(encode_resource(&resource), body, "{key}");
        kinds.insert(key.kind);
        if let Resource::Endpoints(endpoints) = &resource
            && let Some(leaving) = endpoints.endpoints.iter().find(|endpoint| endpoint.terminating)
        {
            assert_eq!((leaving.weight, leaving.ready, leaving.serving), (250, false, true));
            assert_eq!((leaving.zone.as_deref(), leaving.subsets.len()), (Some("zone-ä"), 2));
        }
    }
    assert_eq!(kinds.len(), 5, "every kind is there");
}

#[test]
fn a_frame_does_not_pass_for_one_of_the_other_direction() {
    for (name, wire) in golden("to-proxy") {
        assert!(decode_from_proxy(&payload(&wire)).is_err(), "{name}");
    }
    for (name, wire) in golden("from-proxy") {
        assert!(decode_to_proxy(&payload(&wire)).is_err(), "{name}");
    }
    let hello = &golden("from-proxy-hello-empty")[0].1;
    let Ok(FromProxy::Hello(hello)) = decode_from_proxy(&payload(hello)) else { panic!("no hello") };
    assert_eq!((hello.schema, hello.position, hello.have.len()), (fairlead_snapshot::SCHEMA, None, 0));
}
