//! Every deadline fires in time when it shortens that of an idle client, which stands a minute away.

use std::io::Read;

use fairlead_balance::Micros;

use super::{GET, Peer, Rig, TIMED, silence, stuff};

/// In time: not before its moment, and not later than this behind it.
const TWO_TICKS: Micros = Micros(20_000);
const STREAM_IDLE: Micros = Micros(700_000);
const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
const HUGE: &str = "content-length: 1000000000\r\n\r\n";

const fn ms(value: u64) -> Micros {
    Micros(value * 1_000)
}

/// Lets time pass until a deadline has fired that was set, between `since` and now, to `limit` from then on.
#[track_caller]
fn assert_fires(rig: &mut Rig, since: Micros, limit: Micros, fired: impl FnMut(&mut Rig) -> bool) {
    let set = rig.worker.now;
    assert!(set < since + TWO_TICKS, "hardly any time has passed");
    let at = rig.pass(limit + limit, fired);
    assert!(at >= since + limit, "{} us early", (since + limit).since(at).0);
    assert!(at <= set + limit + TWO_TICKS, "{} us late", at.since(set + limit).0);
}

fn no_exchange(rig: &mut Rig) -> bool {
    rig.stats().exchanges.get() == 0
}

fn no_client(rig: &mut Rig) -> bool {
    rig.stats().connections.get() == 0
}

/// A worker that lets nobody stall.
fn impatient() -> Rig {
    Rig::with(1, |config| {
        config.timeouts.stream_idle_ms = STREAM_IDLE.0 / 1_000;
        config.access_log = true;
    })
}

/// When bytes of the only request moved last.
fn moved_at(rig: &Rig) -> Micros {
    rig.flow().unwrap().moved_at
}

#[test]
fn request_head() {
    let mut rig = Rig::new(0);
    let mut client = rig.idle_client();
    let since = rig.worker.now;
    client.send(b"GET / HTTP/1.1\r\nhost: app");
    rig.until("its beginning", |rig| rig.stats().exchanges.get() == 1);
    assert_fires(&mut rig, since, ms(10_000), no_exchange);
    assert!(client.answer().starts_with("HTTP/1.1 408 "));
    assert_eq!(rig.refused(), [("request_head_timeout", 1)]);
}

#[test]
fn idle_client() {
    let mut rig = Rig::new(0);
    let since = rig.worker.now;
    let mut client = rig.idle_client();
    assert_fires(&mut rig, since, ms(60_000), no_client);
    assert_eq!(client.rest(), "", "closed without a word");
}

#[test]
fn empty_line_of_a_client_that_asks_nothing() {
    for line in ["\r", "\r\n"] {
        let mut rig = Rig::new(0);
        let mut client = rig.idle_client();
        let since = rig.worker.now;
        client.send(line.as_bytes());
        rig.until("it", |rig| rig.flow().is_some());
        assert_eq!(rig.stats().exchanges.get(), 0, "no request");
        assert_fires(&mut rig, since, ms(10_000), no_client);
        assert_eq!(client.rest(), "", "closed without a word");
        assert_eq!(rig.refused(), []);
    }
}

#[test]
fn request_head_behind_an_empty_line() {
    let mut rig = Rig::new(0);
    let mut client = rig.idle_client();
    client.send(b"\r\n");
    rig.until("the line", |rig| rig.flow().is_some());
    rig.turn_at(rig.worker.now + ms(9_000));
    let since = rig.worker.now;
    client.send(b"GET / HTTP/1.1\r\n");
    rig.until("its beginning", |rig| rig.stats().exchanges.get() == 1);
    assert_fires(&mut rig, since, ms(10_000), no_exchange);
    assert!(client.answer().starts_with("HTTP/1.1 408 "));
}

#[test]
fn idle_connection_to_an_endpoint() {
    let mut rig = Rig::new(1);
    let since = rig.worker.now;
    let (_client, mut pod) = rig.served_client();
    assert_fires(&mut rig, since, ms(4_000), |rig| rig.pods[0].connections() == 0);
    assert_eq!(pod.rest(), "");
}

#[test]
fn request_and_attempt() {
    for path in ["/timed", "/hurried"] {
        let mut rig = Rig::new(1);
        let since = rig.worker.now;
        let (mut client, _pod) =
            rig.asking_client(format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n").as_bytes());
        assert_fires(&mut rig, since, TIMED, no_exchange);
        assert!(client.answer().starts_with("HTTP/1.1 504 "), "{path}");
    }
}

#[test]
fn hedge() {
    let mut rig = Rig::new(2);
    let _silent = [silence(&rig.pods[0]), silence(&rig.pods[1])];
    let mut client = rig.idle_client();
    let since = rig.worker.now;
    client.send(GET);
    rig.until("the dial", |rig| rig.stats().exchanges.get() == 1);
    assert_fires(&mut rig, since, ms(200), |rig| rig.pods.iter().all(|pod| pod.connections() == 1));
    assert_eq!(rig.stats().retries.iter().collect::<Vec<_>>(), [("hedge", 1)]);
}

#[test]
fn dial() {
    let mut rig = Rig::new(1);
    let _silent = silence(&rig.pods[0]);
    let mut client = rig.idle_client();
    let since = rig.worker.now;
    client.send(GET);
    rig.until("the dial", |rig| rig.stats().exchanges.get() == 1);
    assert_fires(&mut rig, since, ms(1_000), no_exchange);
    assert!(client.answer().starts_with("HTTP/1.1 504 "));
}

#[test]
fn dial_that_nobody_waits_for() {
    let mut rig = Rig::with(1, |config| config.timeouts.connect_ms = 5_000);
    let _silent = silence(&rig.pods[0]);
    let mut client = rig.idle_client();
    let since = rig.worker.now;
    client.send(b"GET /timed HTTP/1.1\r\nhost: app.test\r\n\r\n");
    rig.until("the dial", |rig| rig.stats().exchanges.get() == 1);
    assert_fires(&mut rig, since, TIMED, no_exchange);
    assert_eq!(rig.pods[0].connections(), 1, "it goes on");
    let left = ms(5_000) - rig.worker.now.since(since);
    let now = rig.worker.now;
    assert_fires(&mut rig, now, left, |rig| rig.pods[0].connections() == 0);
}

#[test]
fn room_at_an_endpoint() {
    let mut rig = Rig::limited(1, Some(1), |_| {});
    let (_first, _pod) = rig.asking_client(GET);
    let mut client = rig.client();
    let since = rig.worker.now;
    client.send(GET);
    rig.until("the second request", |rig| rig.stats().exchanges.get() == 2);
    assert_fires(&mut rig, since, ms(1_000), |rig| rig.stats().exchanges.get() == 1);
    assert!(client.answer().starts_with("HTTP/1.1 503 "));
}

#[test]
fn stalled_write_to_the_client() {
    let mut rig = impatient();
    let (mut client, mut pod) = rig.asking_client(GET);
    pod.send(format!("HTTP/1.1 200 OK\r\n{HUGE}").as_bytes());
    stuff(&mut rig, &mut pod);
    let since = moved_at(&rig);
    assert_fires(&mut rig, since, STREAM_IDLE, no_exchange);
    assert!(client.rest().len() < 1_000_000_000, "cut off");
    assert_eq!(rig.logged(), (200, "SI".to_owned(), "stream_idle_timeout".to_owned()));
}

#[test]
fn stalled_write_to_the_endpoint() {
    let mut rig = impatient();
    let mut client = rig.idle_client();
    client.send(format!("POST / HTTP/1.1\r\nhost: app.test\r\n{HUGE}").as_bytes());
    rig.until("the dial", |rig| rig.pods[0].connections() == 1);
    let _pod = rig.pods[0].accept();
    stuff(&mut rig, &mut client);
    let since = moved_at(&rig);
    assert_fires(&mut rig, since, STREAM_IDLE, no_exchange);
    assert!(client.answer().starts_with("HTTP/1.1 504 "), "not the client's fault");
    assert_eq!(rig.logged(), (504, "SI".to_owned(), "upstream_write_timeout".to_owned()));
}

#[test]
fn stalled_read_from_the_client() {
    let mut rig = impatient();
    let mut client = rig.idle_client();
    client.send(b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 10\r\n\r\nhalf");
    rig.until("the dial", |rig| rig.pods[0].connections() == 1);
    let _pod = rig.pods[0].accept();
    rig.until("what there is of it", |rig| rig.flow().is_some_and(|flow| flow.request.streamed));
    let since = moved_at(&rig);
    assert_fires(&mut rig, since, STREAM_IDLE, no_exchange);
    assert!(client.answer().starts_with("HTTP/1.1 408 "));
    assert_eq!(rig.refused(), [("stream_idle_timeout", 1)]);
}

#[test]
fn linger_and_drain() {
    let drained: &[u8] = b"POST /empty HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\n\r\n";
    for request in [drained, b"no request\r\n\r\n"] {
        let mut rig = Rig::new(0);
        let mut client = rig.idle_client();
        let since = rig.worker.now;
        client.send(request);
        rig.arrived(&client);
        rig.until("its answer", |rig| rig.flow().is_some() && rig.stats().exchanges.get() == 0);
        assert_fires(&mut rig, since, ms(2_000), no_client);
    }
}

/// A tunnel's two ends.
fn tunnel(rig: &mut Rig) -> (Peer, Peer) {
    let (mut client, mut pod) = rig.asking_client(UPGRADE);
    pod.send(SWITCH);
    client.stream.set_nonblocking(true).unwrap();
    rig.until("the 101", |_| client.stream.peek(&mut [0]).is_ok());
    client.stream.set_nonblocking(false).unwrap();
    assert!(client.head().starts_with("HTTP/1.1 101 "));
    (client, pod)
}

#[test]
fn stalled_tunnel() {
    let mut rig = impatient();
    let (_client, mut pod) = tunnel(&mut rig);
    stuff(&mut rig, &mut pod);
    // It has stalled a few turns ago.
    let since = Micros(rig.worker.now.0 - ms(10).0);
    assert_fires(&mut rig, since, STREAM_IDLE, no_client);
}

#[test]
fn tunnel_with_one_direction_left() {
    let mut rig = impatient();
    let (mut client, pod) = tunnel(&mut rig);
    let since = rig.worker.now;
    pod.end();
    client.stream.set_nonblocking(true).unwrap();
    rig.until("the Pod's end", |_| client.stream.read(&mut [0]).is_ok_and(|count| count == 0));
    assert_fires(&mut rig, since, ms(60_000), no_client);
}
