//! Properties over good heads, heads with a few bytes changed, and arbitrary bytes.

mod common;
#[path = "common/generate.rs"]
mod generate;
#[path = "common/model.rs"]
mod model;

use std::net::IpAddr;

use common::{decode, request, request_in_pieces, response};
use fairlead_http1::{
    BodyReader, Forwarded, Framing, HeadCursor, HeadStorage, Limits, Method, RequestContext, RequestEdits,
    RequestHead, ResponseEdits, ResponseHead, Scheme, Trust, Version,
};
use generate::{broken, fields, request_text};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

prop_compose! {
    fn response_text()(
        version in select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]),
        status in prop_oneof![4 => select(vec![100u16, 101, 103, 200, 204, 206, 304, 404, 426, 503]), 1 => 0u16..1000],
        reason in "( [ -~\u{80}-\u{ff}]{0,10})?",
        fields in fields(),
        behind in ".{0,10}",
    ) -> Vec<u8> {
        format!("{version} {status:03}{reason}\r\n{fields}\r\n{behind}").into_bytes()
    }
}

prop_compose! {
    fn chunked_text()(
        chunks in vec((vec(any::<u8>(), 1..20), select(vec!["", ";a", ";a=b;c", ";a=\"b\\\"\"", " ", ";"])), 0..6),
        end in select(vec!["0", "000", "0;a=b"]),
        trailers in select(vec!["", "a: b\r\n", "a: b\r\nGrpc-Status:0\r\n", "Content-Length: 5\r\n", "a_b: c\r\n"]),
        behind in ".{0,10}",
    ) -> Vec<u8> {
        let mut wire = Vec::new();
        for (data, extension) in chunks {
            wire.extend(format!("{:x}{extension}\r\n", data.len()).into_bytes());
            wire.extend(data);
            wire.extend(b"\r\n");
        }
        wire.extend(format!("{end}\r\n{trailers}\r\n{behind}").into_bytes());
        wire
    }
}

fn cuts(len: usize, at: &[Index]) -> Vec<usize> {
    let mut cuts: Vec<_> = at.iter().map(|at| at.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

const CONTEXTS: [RequestContext; 3] = [
    RequestContext { method: Method::Get, upgrade: false, interim: 0 },
    RequestContext { method: Method::Head, upgrade: false, interim: 8 },
    RequestContext { method: Method::Get, upgrade: true, interim: 0 },
];

/// Small enough that random heads reach them.
const TIGHT: Limits = Limits {
    max_head: 160,
    max_fields: 6,
    max_target: 12,
    max_body: 30,
    max_chunk_extensions: 8,
    max_chunk_overhead: 24,
    max_trailers: 20,
    max_interim: 8,
};

/// The payload must not show a second message to anyone: only CRLF ends lines, and only at lines' ends.
fn assert_clean(head: &[u8]) -> Result<(), TestCaseError> {
    let body = head.strip_suffix(b"\r\n\r\n");
    prop_assert!(body.is_some());
    for line in body.unwrap_or_default().split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        prop_assert!(!line.is_empty());
        prop_assert!(line.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f)));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_accepted_exactly_where_the_model_does(bytes in broken(request_text())) {
        let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
        if !bytes[start..].windows(4).any(|window| window == b"\r\n\r\n") {
            return Ok(());
        }
        let verdict = model::judge(&bytes);
        match request(&bytes) {
            Ok((head, storage)) => {
                let fields = storage
                    .fields()
                    .iter()
                    .map(|field| (field.name.of(&bytes).to_ascii_lowercase(), field.value.of(&bytes).to_vec()))
                    .collect();
                let length = match head.framing {
                    Framing::Length(length) => Some(length),
                    _ => None,
                };
                let chunked = head.framing == Framing::Chunked;
                let read = model::Verdict { head: head.len, chunked, length, keep_alive: head.keep_alive, fields };
                prop_assert_eq!(Some(read), verdict);
            }
            Err(reason) => prop_assert_eq!(verdict, None, "{}", reason),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_do_not_depend_on_the_packets(
        bytes in broken(request_text()),
        at in vec(any::<Index>(), 0..20),
        tight in any::<bool>(),
    ) {
        let limits = if tight { TIGHT } else { Limits::REQUEST };
        let whole = request_in_pieces(&bytes, &[], &limits);
        prop_assert_eq!(&request_in_pieces(&bytes, &cuts(bytes.len(), &at), &limits), &whole);
        for cut in 0..=bytes.len() {
            prop_assert_eq!(&request_in_pieces(&bytes, &[cut], &limits), &whole, "cut at {}", cut);
        }
        let every: Vec<_> = (0..=bytes.len()).collect();
        prop_assert_eq!(&request_in_pieces(&bytes, &every, &limits), &whole);
    }

    #[test]
    fn responses_do_not_depend_on_the_packets(
        bytes in broken(response_text()),
        at in vec(any::<Index>(), 0..20),
        context in select(CONTEXTS.to_vec()),
        tight in any::<bool>(),
    ) {
        let limits = if tight { TIGHT } else { Limits::RESPONSE };
        let read = |cuts: &[usize]| {
            let (mut cursor, mut storage) = (HeadCursor::default(), HeadStorage::new());
            cuts.iter().chain([&bytes.len()]).find_map(|&cut| {
                ResponseHead::parse(&bytes[..cut], &mut cursor, &mut storage, context, &limits).transpose()
            })
        };
        let whole = read(&[]);
        prop_assert_eq!(&read(&cuts(bytes.len(), &at)), &whole);
        for cut in 0..=bytes.len() {
            prop_assert_eq!(&read(&[cut]), &whole, "cut at {}", cut);
        }
    }

    #[test]
    fn bodies_do_not_depend_on_the_packets(
        wire in broken(chunked_text()),
        at in vec(any::<Index>(), 0..20),
        framing in select(vec![Framing::Chunked, Framing::Chunked, Framing::Length(17), Framing::UntilClose, Framing::None]),
        tight in any::<bool>(),
    ) {
        let limits = if tight { TIGHT } else { Limits::REQUEST };
        let whole = decode(framing, &limits, &wire, &[]);
        prop_assert_eq!(&decode(framing, &limits, &wire, &cuts(wire.len(), &at)), &whole);
        for cut in 0..=wire.len() {
            prop_assert_eq!(&decode(framing, &limits, &wire, &[cut]), &whole, "cut at {}", cut);
        }
        let mut reader = BodyReader::new(framing, &limits);
        match (reader.advance(&wire), whole) {
            (Ok(progress), Ok(whole)) => {
                prop_assert_eq!(progress.consumed, whole.consumed);
                prop_assert_eq!(progress.payload, whole.payload.len() as u64);
                prop_assert_eq!(progress.done, whole.done);
            }
            (progress, whole) => prop_assert_eq!(progress.err(), whole.err()),
        }
    }

    #[test]
    fn what_goes_upstream_reads_the_same_and_says_no_more(
        bytes in broken(request_text()),
        trust in select(vec![Trust::Nothing, Trust::Addresses, Trust::Everything]),
        client in any::<IpAddr>(),
        close in any::<bool>(),
        path in proptest::option::of(select(vec!["/", "/a/b", "*"])),
    ) {
        let mut storage = HeadStorage::new();
        let parsed = RequestHead::parse(&bytes, &mut HeadCursor::default(), &mut storage, &Limits::REQUEST);
        let Ok(Some(head)) = parsed else { return Ok(()) };
        // Only OPTIONS has `*`.
        let path = path.filter(|&path| path != "*" || head.method == Method::Options && head.query(&bytes).is_none());
        let forwarded = Some(Forwarded { client, trust, proto: Some(Scheme::Https), host: true });
        let host = head.authority(&bytes).is_none().then_some(&b"fallback"[..]);
        let edits = RequestEdits { path: path.map(str::as_bytes), host, forwarded, close, add: &[] };
        let mut out = Vec::new();
        prop_assert!(head.write_to(&bytes, &storage, &mut out, &edits).is_ok());
        assert_clean(&out)?;
        let (again, fields) = request(&out).map_err(|reason| TestCaseError::fail(reason.as_str()))?;
        prop_assert_eq!(again.len, out.len());
        prop_assert_eq!(again.version, Version::Http11);
        prop_assert_eq!(again.framing, head.framing);
        prop_assert_eq!(again.method_name(&out), head.method_name(&bytes));
        prop_assert_eq!(again.path(&out), path.map_or(head.path(&bytes), str::as_bytes));
        prop_assert_eq!(again.query(&out), head.query(&bytes));
        prop_assert_eq!(again.authority(&out), head.authority(&bytes).or(host));
        prop_assert_eq!(again.upgrade, head.upgrade);
        prop_assert_eq!(again.expect_continue, head.expect_continue);
        prop_assert_eq!(again.keep_alive, !close || head.upgrade);
        let last_hop = fields.value(&out, b"x-forwarded-for").and_then(|value| value.rsplit(|&byte| byte == b' ').next());
        let client = client.to_canonical().to_string();
        prop_assert_eq!(last_hop, Some(client.as_bytes()));
        prop_assert_eq!(fields.values(&out, b"x-forwarded-for").count(), 1);
    }

    #[test]
    fn what_goes_to_the_client_reads_as_it_is_delivered(
        bytes in broken(response_text()),
        context in select(CONTEXTS.to_vec()),
        client in select(vec![Version::Http10, Version::Http11]),
        keep_alive in any::<bool>(),
    ) {
        let mut storage = HeadStorage::new();
        let parsed = ResponseHead::parse(&bytes, &mut HeadCursor::default(), &mut storage, context, &Limits::RESPONSE);
        let Ok(Some(head)) = parsed else { return Ok(()) };
        let delivery = head.delivery(client);
        let mut out = Vec::new();
        head.write_to(&bytes, &storage, &mut out, &ResponseEdits { client, keep_alive, delivery, add: &[] });
        assert_clean(&out)?;
        let (again, _) = response(&out, context).map_err(|reason| TestCaseError::fail(reason.as_str()))?;
        prop_assert_eq!((again.len, again.status), (out.len(), head.status));
        prop_assert_eq!(again.reason_phrase(&out), head.reason_phrase(&bytes));
        let expected = match (head.framing, client) {
            (Framing::Chunked, Version::Http10) => Framing::UntilClose,
            (Framing::UntilClose, Version::Http11) => Framing::Chunked,
            (framing, _) => framing,
        };
        prop_assert_eq!(again.framing, expected);
        if !head.is_interim() && !head.is_switch() {
            prop_assert_eq!(again.keep_alive, keep_alive && head.ends_without_close(delivery));
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in vec(any::<u8>(), 0..200), chunked in any::<bool>()) {
        let (mut cursor, mut storage) = (HeadCursor::default(), HeadStorage::new());
        let _ = RequestHead::parse(&bytes, &mut cursor, &mut storage, &Limits::REQUEST);
        let _ = ResponseHead::parse(&bytes, &mut cursor, &mut storage, CONTEXTS[0], &Limits::RESPONSE);
        let framing = if chunked { Framing::Chunked } else { Framing::UntilClose };
        let mut reader = BodyReader::new(framing, &Limits::REQUEST);
        let _ = reader.advance(&bytes);
        let _ = reader.eof();
    }
}
