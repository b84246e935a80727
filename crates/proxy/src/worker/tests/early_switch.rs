//! A 101 that comes while the request is still on its way: what is left of that goes before the tunnel's bytes.

use std::io::Read;

use super::{Peer, Rig};
use crate::conn::state::{Conn, Phase};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
const FRAMES: &str = "\x01frames of the Pod";
const EARLY: &str = "\x02frames of the client";
/// More than the small buffers of the connection to the Pod take.
const FILLING: usize = 30_000;

/// Gives the connection that the worker dials small buffers, on both ends.
fn narrow(rig: &Rig) {
    for (_, conn) in rig.worker.conns.iter() {
        if let Conn::Up(up) = conn {
            up.socket.set_send_buffer(4_096);
        }
    }
}

#[test]
fn a11_a_101_before_the_request_is_sent_whole_lets_the_rest_of_it_go_first() {
    let mut rig = Rig::new(1);
    socket2::SockRef::from(&rig.pods[0].listener).set_recv_buffer_size(4_096).unwrap();
    let mut client = rig.idle_client();
    let filling = "x".repeat(FILLING);
    let upgrade = "connection: upgrade\r\nupgrade: websocket";
    let request =
        format!("GET /early HTTP/1.1\r\nhost: app.test\r\n{upgrade}\r\nx-fill: {filling}\r\n\r\n{EARLY}");
    client.send(request.as_bytes());
    rig.until("a dial", |rig| rig.pods[0].connections() == 1);
    narrow(&rig);
    let mut pod = rig.pods[0].accept();
    rig.until("the request's beginning", |rig| rig.flow().is_some_and(|flow| flow.request.sent > 0));
    for _ in 0..20 {
        rig.turn();
    }
    let flow = rig.flow().unwrap();
    assert!(
        flow.request.sent < flow.request.out.len(),
        "the Pod reads nothing: a part of the head is still here"
    );

    pod.send([SWITCH, FRAMES].concat().as_bytes());
    rig.until("the tunnel", |rig| rig.flow().is_some_and(|flow| flow.phase == Phase::Tunnel));
    client.end();
    assert_eq!(received(&mut rig, &mut client, SWITCH.len() + FRAMES.len()), [SWITCH, FRAMES].concat());
    let there = received(&mut rig, &mut pod, usize::MAX);
    let (head, behind) = there.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("GET /early HTTP/1.1\r\n") && head.contains(&filling), "{} bytes", head.len());
    assert_eq!(behind, EARLY, "once, and behind the whole head");
    pod.end();
    rig.until("the tunnel's end", |rig| rig.stats().exchanges.get() == 0);
    assert_eq!(rig.refused(), []);
}

/// What the peer is sent while the worker takes its turns: so much, or all up to the end.
fn received(rig: &mut Rig, peer: &mut Peer, count: usize) -> String {
    let mut all = Vec::new();
    peer.stream.set_nonblocking(true).unwrap();
    rig.until("what is sent", |_| {
        let mut chunk = [0; 8_192];
        match peer.stream.read(&mut chunk) {
            Ok(0) => return true,
            Ok(count) => all.extend_from_slice(&chunk[..count]),
            Err(_) => {}
        }
        all.len() >= count
    });
    peer.stream.set_nonblocking(false).unwrap();
    String::from_utf8(all).unwrap()
}
