//! A second reader: whatever is taken here, httparse takes too, and reads the same fields in it.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

mod common;
#[path = "common/generate.rs"]
mod generate;

use common::{GET, request_within, response};
use fairlead_http1::{HeadStorage, Limits};
use generate::{broken, fields, request_text};
use httparse::{EMPTY_HEADER, Header, Status};
use proptest::prelude::*;

fn same(buf: &[u8], storage: &HeadStorage, headers: &[Header<'_>]) -> Result<(), TestCaseError> {
    let ours = storage.fields().iter().map(|field| (field.name.of(buf), field.value.of(buf)));
    let theirs = headers.iter().map(|header| (header.name.as_bytes(), header.value));
    prop_assert!(ours.eq(theirs), "{:?}", String::from_utf8_lossy(buf));
    Ok(())
}

/// Whether an end of a head is in there, so that it is not incomplete.
fn has_an_end(bytes: &[u8]) -> bool {
    let start = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    bytes[start..].windows(4).any(|window| window == b"\r\n\r\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_read_the_same(bytes in broken(request_text())) {
        prop_assume!(has_an_end(&bytes));
        let Ok((head, storage)) = request_within(&bytes, &Limits::REQUEST) else { return Ok(()) };
        let mut room = [EMPTY_HEADER; 32];
        let mut parsed = httparse::Request::new(&mut room);
        prop_assert_eq!(parsed.parse(&bytes), Ok(Status::Complete(head.len)));
        prop_assert_eq!(parsed.method.map(str::as_bytes), Some(head.method_name(&bytes)));
        prop_assert_eq!(parsed.path.map(str::as_bytes), Some(head.target(&bytes)));
        same(&bytes, &storage, parsed.headers)?;
    }

    #[test]
    fn responses_read_the_same(bytes in broken(
        (100u16..600, "( [ -~\u{80}-\u{ff}]{0,40})?", fields())
            .prop_map(|(status, reason, fields)| format!("HTTP/1.1 {status}{reason}\r\n{fields}\r\nbehind").into_bytes()),
    )) {
        prop_assume!(has_an_end(&bytes) && !bytes.starts_with(b"\r\n"));
        let Ok((head, storage)) = response(&bytes, GET) else { return Ok(()) };
        let mut room = [EMPTY_HEADER; 32];
        let mut parsed = httparse::Response::new(&mut room);
        prop_assert_eq!(parsed.parse(&bytes), Ok(Status::Complete(head.len)));
        prop_assert_eq!(parsed.code, Some(head.status));
        same(&bytes, &storage, parsed.headers)?;
    }
}
