//! Bodies that nobody wants are dropped by the buffer, a few at a time, however little of one came first.

use std::io::Write;

use fairlead_balance::Micros;

use super::{Peer, Rig, silence};
use crate::conn::down::LINGER_BYTES;
use crate::conn::state::Phase;

/// A request's head that is large, so that what came behind it waits in a buffer that just fits.
const LARGE: usize = 6_000;
const BODY: usize = 30_000;
/// What a connection with a buffer to read into needs at most.
const TURNS: usize = 5;

/// A client of a Pod that does not answer dials: it has sent a head with this framing and one byte behind it, and has been
/// answered by the proxy; the rest of its body has come meanwhile.
fn answered(framing: &str, first: &[u8], rest: &[u8], phase: Phase) -> (Rig, Peer) {
    let mut rig = Rig::new(1);
    let silent = silence(&rig.pods[0]);
    let mut client = rig.idle_client();
    let filling = "x".repeat(LARGE);
    let head = format!("POST / HTTP/1.1\r\nhost: app.test\r\n{framing}\r\nx-fill: {filling}\r\n\r\n");
    client.send(&[head.as_bytes(), first].concat());
    rig.until("what came of it", |rig| rig.flow().is_some_and(|flow| flow.request.ready == first.len()));
    rig.turn();
    client.send(rest);
    rig.arrived(&client);
    rig.pass(Micros::from_secs(2), |rig| rig.flow().is_none_or(|flow| flow.phase == phase));
    drop(silent);
    (rig, client)
}

#[test]
fn the_rest_of_a_body_with_a_length_is_drained_in_a_few_turns() {
    let length = format!("content-length: {}", BODY + 1);
    let (mut rig, mut client) = answered(&length, b"x", &vec![b'x'; BODY], Phase::Drain);
    for _ in 0..TURNS {
        rig.turn();
    }
    assert!(rig.flow().is_none(), "{:?}", rig.flow().map(|flow| flow.patience));
    assert!(client.answer().starts_with("HTTP/1.1 504 "));
    client.send(b"GET /empty HTTP/1.1\r\nhost: app.test\r\n\r\n");
    rig.arrived(&client);
    rig.turn();
    assert!(client.answer().starts_with("HTTP/1.1 503 "), "the connection goes on");
}

#[test]
fn what_is_left_of_a_body_without_a_known_end_is_dropped_in_a_few_turns() {
    let (mut rig, mut client) =
        answered("transfer-encoding: chunked", b"f", &vec![b'f'; BODY], Phase::Linger);
    for _ in 0..TURNS {
        rig.turn();
    }
    let dropped = LINGER_BYTES - rig.flow().unwrap().patience;
    assert!(dropped >= BODY / 2, "{dropped} bytes");
    assert!(client.answer().starts_with("HTTP/1.1 504 "));
    client.end();
    rig.until("the client's end", |rig| rig.stats().connections.get() == 0);
}

#[test]
fn a13_no_more_than_64_kib_of_a_body_are_drained_to_keep_a_connection() {
    for (length, closes) in [(64 << 10, false), ((64 << 10) + 1, true)] {
        let mut rig = Rig::new(0);
        let mut client = rig.client();
        let head = format!("POST /empty HTTP/1.1\r\nhost: app.test\r\ncontent-length: {length}\r\n\r\n");
        client.send(head.as_bytes());
        rig.until("its answer", |rig| rig.flow().is_some() && rig.stats().exchanges.get() == 0);
        let answer = client.answer();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert_eq!(answer.contains("Connection: close"), closes, "{length}");
        let phase = rig.flow().unwrap().phase;
        assert_eq!(phase, if closes { Phase::Linger } else { Phase::Drain }, "{length}");
    }
}

#[test]
fn a_client_that_does_not_stop_after_its_refusal_is_closed_upon_after_a_mebibyte() {
    let mut rig = Rig::new(0);
    let mut client = rig.client();
    client.send(b"no request\r\n\r\n");
    rig.until("its answer", |rig| rig.flow().is_some_and(|flow| flow.phase == Phase::Linger));
    let since = rig.worker.now;
    client.stream.set_nonblocking(true).unwrap();
    let chunk = vec![b'x'; 64 << 10];
    let mut dropped = 0;
    rig.until("the end of patience", |rig| {
        let _ = client.stream.write(&chunk);
        dropped = rig.flow().map_or(dropped, |flow| LINGER_BYTES - flow.patience);
        rig.stats().connections.get() == 0
    });
    assert!(rig.worker.now < since + Micros::from_secs(1), "not by its deadline");
    assert!(dropped > LINGER_BYTES / 2, "{dropped} bytes");
}
