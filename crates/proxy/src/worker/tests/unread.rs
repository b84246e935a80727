//! Bodies that nobody wants are dropped by the buffer, a few at a time, however little of one came first.

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
    let (mut rig, mut client) = answered("transfer-encoding: chunked", b"f", &vec![b'f'; BODY], Phase::Linger);
    for _ in 0..TURNS {
        rig.turn();
    }
    let dropped = LINGER_BYTES - rig.flow().unwrap().patience;
    assert!(dropped >= BODY / 2, "{dropped} bytes");
    assert!(client.answer().starts_with("HTTP/1.1 504 "));
    client.end();
    rig.until("the client's end", |rig| rig.stats().connections.get() == 0);
}
