//! No input panics, and what is valid has one encoding.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::PathBuf;

use fairlead_snapshot::{
    FrameReader, Kind, Resource, ToProxy, decode_body, decode_from_proxy, decode_to_proxy, encode_resource,
};
use proptest::prelude::*;
use proptest::sample::Index;

const KINDS: [Kind; 5] = [Kind::Bind, Kind::Listener, Kind::Endpoints, Kind::Backend, Kind::Route];

fn golden(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    std::fs::read(folder.join(name)).unwrap()[4..].to_vec()
}

/// The bodies of the golden update, by kind.
fn bodies() -> Vec<(Kind, Vec<u8>)> {
    let payload = golden("to-proxy-full.bin");
    let Ok(ToProxy::Update(update)) = decode_to_proxy(&payload) else { panic!("no update") };
    let body = |upsert: &fairlead_snapshot::Upsert<'_>| upsert.body.unwrap().to_vec();
    update.upserts.iter().map(|upsert| (Kind::parse(upsert.kind).unwrap(), body(upsert))).collect()
}

fn damage(mut bytes: Vec<u8>, edits: &[(Index, u8)]) -> Vec<u8> {
    for (at, value) in edits {
        let at = at.index(bytes.len());
        bytes[at] = *value;
    }
    bytes
}

fn canonical(kind: Kind, body: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(resource) = decode_body(kind, body) {
        let again = encode_resource(&resource);
        let read = decode_body(kind, &again);
        prop_assert_eq!(read.as_ref(), Ok(&resource), "what is valid stays valid, and the same");
        prop_assert_eq!(encode_resource(&read.unwrap()), again);
        if let Resource::Endpoints(endpoints) = &resource {
            prop_assert!(endpoints.endpoints.is_sorted_by(|a, b| a.id < b.id));
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_a_resource_or_a_refusal(kind in 0..KINDS.len(), body in prop::collection::vec(any::<u8>(), 0..200)) {
        canonical(KINDS[kind], &body)?;
    }

    #[test]
    fn damaged_resources_are_resources_or_refusals(
        which in any::<Index>(),
        edits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..4),
    ) {
        let bodies = bodies();
        let (kind, body) = which.get(&bodies).clone();
        canonical(kind, &damage(body, &edits))?;
    }

    #[test]
    fn damaged_frames_are_frames_or_errors(
        which in 0..6usize,
        edits in prop::collection::vec((any::<Index>(), any::<u8>()), 1..6),
    ) {
        let names = ["to-proxy-full", "to-proxy-endpoints", "to-proxy-subscribe", "from-proxy-hello", "from-proxy-ack-rejected", "from-proxy-telemetry"];
        let payload = damage(golden(&format!("{}.bin", names[which])), &edits);
        let _ = decode_to_proxy(&payload);
        let _ = decode_from_proxy(&payload);
    }

    #[test]
    fn any_stream_is_cut_into_frames_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..100), step in 1..20usize) {
        let mut reader = FrameReader::new();
        let mut total = 0;
        for chunk in bytes.chunks(step) {
            reader.push(chunk);
            while let Ok(Some(frame)) = reader.next_frame() {
                total += frame.len() + 4;
            }
        }
        prop_assert!(total <= bytes.len());
    }
}
