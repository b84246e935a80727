//! Bytes behind a response: refused while nothing of it has left, counted and closed upon later, never anybody's answer.

use fairlead_balance::StatusClass;

use super::{GET, OK, Peer, Rig};
use crate::conn::buffer::{HEADROOM, READ_BYTES};
use crate::conn::state::Stage;

const POISON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";

/// The connection is closed, and the bytes are counted once, for the Endpoint too.
#[track_caller]
fn assert_counted(rig: &Rig, what: &str, class: StatusClass) {
    assert_eq!(rig.refused(), [("bytes_behind_response", 1)], "{what}");
    let state = &rig.pods[0].state;
    let counted = [StatusClass::Success, StatusClass::NoResponse].map(|class| state.load.requests(class));
    let failed = u64::from(class == StatusClass::NoResponse);
    assert_eq!(counted, [1 - failed, failed], "{what}: one attempt");
    assert_eq!(state.last_failure.get().map(|(_, code)| code), Some("UPE"), "{what}");
    assert_eq!((rig.pods[0].connections(), rig.worker.pools.len()), (0, 0), "{what}");
    assert_eq!(rig.stats().retries.iter().count(), 0, "{what}: what breaks the rules is not asked again");
}

/// A worker whose only client has asked, the client, and the Pod that is to answer.
fn asked(request: &[u8]) -> (Rig, Peer, Peer) {
    let mut rig = Rig::with(1, |config| config.access_log = true);
    let (client, pod) = rig.asking_client(request);
    (rig, client, pod)
}

#[test]
fn a15_with_bytes_behind_it_no_response_leaves() {
    let head = GET.strip_prefix(b"GET").unwrap();
    let head = [b"HEAD", head].concat();
    let old = b"GET / HTTP/1.0\r\nhost: app.test\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";
    let interim = [b"HTTP/1.1 103 Early Hints\r\n\r\n", OK].concat();
    for (what, request, response) in [
        ("a length", GET, OK),
        ("chunks", GET, &chunked[..]),
        ("chunks for a client that knows none", &old[..], &chunked[..]),
        ("a connection that ends", GET, &close[..]),
        ("no body", GET, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
        ("204", GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("304", GET, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("HEAD", &head[..], b"HTTP/1.1 200 OK\r\ncontent-length: 44\r\n\r\n"),
        ("behind an interim response", GET, &interim[..]),
    ] {
        for surplus in [POISON, b"\n"] {
            let (mut rig, mut client, mut pod) = asked(request);
            pod.send(&[response, surplus].concat());
            rig.until("the answer", |rig| rig.stats().exchanges.get() == 0);
            let mut answer = client.head();
            if answer.starts_with("HTTP/1.1 103 ") {
                answer = client.head();
            }
            assert!(answer.starts_with("HTTP/1.1 502 "), "{what}: {answer}");
            assert_counted(&rig, what, StatusClass::NoResponse);
            assert_eq!(rig.logged(), (502, "UPE".to_owned(), "upstream_protocol_error".to_owned()), "{what}");
        }
    }
}

#[test]
fn a15_bytes_behind_a_response_that_has_begun_to_leave_are_counted_and_it_goes_on() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (response, rest) in [(OK, 1), (&chunked[..], 4)] {
        let (mut rig, mut client, mut pod) = asked(GET);
        let (begun, rest) = response.split_at(response.len() - rest);
        pod.send(begun);
        rig.until("the beginning's way", |rig| {
            rig.flow().is_some_and(|flow| flow.response.stage == Stage::Body && !flow.response.is_pending())
        });
        pod.send(&[rest, POISON].concat());
        rig.until("the end", |rig| rig.stats().exchanges.get() == 0);
        assert_counted(&rig, "in the middle", StatusClass::Success);
        client.end();
        rig.until("the client's end", |rig| rig.stats().connections.get() == 0);
        assert_eq!(client.rest().as_bytes(), response, "whole, and nothing behind it");
        assert_eq!(rig.logged().0, 200);
    }
}

#[test]
fn a15_bytes_behind_a_response_that_fills_its_buffer_are_counted_and_it_goes_on() {
    // What one read takes: whether more is there is known only by another.
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 20000\r\nx: ";
    let filling = READ_BYTES - HEADROOM - head.len() - 4 - 20_000;
    let response = [head, &vec![b'f'; filling][..], b"\r\n\r\n", &vec![b'x'; 20_000]].concat();
    for ends in [false, true] {
        let (mut rig, mut client, mut pod) = asked(GET);
        pod.send(&response);
        if ends {
            pod.end();
        } else {
            pod.send(POISON);
        }
        rig.until("the end", |rig| rig.stats().exchanges.get() == 0);
        assert!(client.answer().ends_with("xxx"));
        if ends {
            assert_eq!(rig.refused(), [], "a Pod may end its connection");
            assert_eq!((rig.pods[0].connections(), rig.worker.pools.len()), (0, 0));
        } else {
            assert_counted(&rig, "behind a full buffer", StatusClass::Success);
        }
    }
}
