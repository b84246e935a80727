//! Who stands in line: not late, since an alarm that rings meanwhile was set for something else; and for how long.

use fairlead_balance::Micros;

use super::{GET, OK, Peer, Rig};
use crate::conn::state::{Conn, Phase};
use crate::worker::FRESH_PER_TURN;
use crate::worker::slab::Key;

const HEAD: Micros = Micros(10_000_000);
const LINGER: Micros = Micros(2_000_000);
const BEGINNING: &[u8] = b"GET /empty HTTP/1.1\r\nho";
const REST: &[u8] = b"st: app.test\r\n\r\n";

/// A client with the beginning of a head, and when that is too late.
fn beginning(rig: &mut Rig) -> (Peer, Micros) {
    let mut client = rig.client();
    client.send(BEGINNING);
    rig.until("a beginning", |rig| rig.stats().exchanges.get() == 1);
    // The wheel's resolution is added: by then its alarm rings.
    let late = rig.worker.now + HEAD + Micros(10_000);
    (client, late)
}

/// A client with the beginning of a head, behind as many new requests as a turn begins; and when that is too late.
fn behind_a_full_line() -> (Rig, Vec<Peer>, Peer, Micros) {
    let mut rig = Rig::new(0);
    rig.events = mio::Events::with_capacity(1_024);
    let mut others: Vec<Peer> = (0..FRESH_PER_TURN).map(|_| rig.idle_client()).collect();
    let (client, late) = beginning(&mut rig);
    for other in &mut others {
        other.send(&[BEGINNING, REST].concat());
        rig.arrived(other);
    }
    (rig, others, client, late)
}

/// A client in this phase, which a turn has left in peace.
fn resting(rig: &Rig, phase: Phase) -> Option<Key> {
    rig.worker.conns.iter().find_map(|(key, conn)| match conn {
        Conn::Down(down) => {
            down.active.as_ref().is_some_and(|active| active.flow.phase == phase).then_some(key)
        }
        Conn::Up(_) => None,
    })
}

#[test]
fn nobody_stands_in_line_twice() {
    let mut rig = Rig::new(0);
    rig.events = mio::Events::with_capacity(1_024);
    let mut clients: Vec<Peer> = (0..=2 * FRESH_PER_TURN).map(|_| rig.idle_client()).collect();
    for client in &mut clients {
        client.send(BEGINNING);
        rig.arrived(client);
    }
    rig.turn();
    assert_eq!(rig.worker.line.len(), FRESH_PER_TURN + 1);
    // More comes of the last, while it waits.
    let last = clients.last_mut().unwrap();
    last.send(REST);
    rig.arrived(last);
    rig.turn();
    assert_eq!(rig.worker.line.len(), 1);
    rig.until("its answer", |rig| rig.stats().exchanges.get() == 2 * FRESH_PER_TURN as u64);
    assert!(last.answer().starts_with("HTTP/1.1 503 "));
}

#[test]
fn the_next_request_is_not_refused_for_the_deadline_of_the_one_before() {
    let mut rig = Rig::new(0);
    let (mut client, late) = beginning(&mut rig);
    client.send(&[REST, BEGINNING, REST].concat());
    rig.arrived(&client);
    // The first is answered in this very turn; the second stands in line when the alarm rings.
    rig.turn_at(late);
    rig.until("both answers", |rig| rig.flow().is_none());
    for _ in 0..2 {
        assert!(client.answer().starts_with("HTTP/1.1 503 "));
    }
    assert_eq!(rig.refused(), []);
}

#[test]
fn the_rest_of_a_head_that_stands_in_line_has_come_in_time() {
    let (mut rig, _others, mut client, late) = behind_a_full_line();
    client.send(REST);
    rig.arrived(&client);
    rig.turn_at(late);
    rig.until("its answer", |rig| rig.stats().exchanges.get() == 0);
    assert!(client.answer().starts_with("HTTP/1.1 503 "));
    assert_eq!(rig.refused(), []);
}

#[test]
fn a_head_that_is_not_whole_in_time_is_refused_however_it_drips() {
    let (mut rig, _others, mut client, late) = behind_a_full_line();
    client.send(b"s");
    rig.arrived(&client);
    rig.turn_at(late);
    assert_eq!(rig.refused(), [("request_head_timeout", 1)]);
    assert!(client.answer().starts_with("HTTP/1.1 408 "));
}

#[test]
fn an_alarm_of_what_is_over_ends_nothing() {
    // A body that is dropped, and an answer that must arrive before the connection ends.
    let drained: &[u8] = b"POST /empty HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\n\r\n";
    for (request, phase) in [(drained, Phase::Drain), (b"no request\r\n\r\n", Phase::Linger)] {
        let mut rig = Rig::new(0);
        let mut client = rig.idle_client();
        client.send(request);
        rig.until("its answer", |rig| resting(rig, phase).is_some());
        let (key, since) = (resting(&rig, phase).unwrap(), rig.worker.now);
        rig.worker.on_deadline(key);
        assert_eq!(resting(&rig, phase), Some(key), "{phase:?}");
        let ended = rig.pass(LINGER + LINGER, |rig| rig.stats().connections.get() == 0);
        assert!(ended + Micros(1_000) >= since + LINGER, "{phase:?}");
    }
}

/// So many clients whose requests have gone to the only Pod, with the Pod's ends of those connections.
fn asking(rig: &mut Rig, count: u32) -> Vec<(Peer, Peer)> {
    let mut ask = |connections: u32| {
        let mut client = rig.client();
        client.send(GET);
        rig.until("a dial", |rig| rig.pods[0].connections() == connections);
        let mut pod = rig.pods[0].accept();
        pod.stream.set_nonblocking(true).unwrap();
        rig.until("the request's way", |_| pod.stream.peek(&mut [0]).is_ok());
        pod.stream.set_nonblocking(false).unwrap();
        pod.head();
        (client, pod)
    };
    (1..=count).map(&mut ask).collect()
}

#[test]
fn many_requests_wait_once_for_the_poller_to_clear_the_connections_that_were_just_given_back() {
    let mut rig = Rig::new(1);
    let mut next: Vec<Peer> = (0..8).map(|_| rig.idle_client()).collect();
    let mut asked = asking(&mut rig, 8);
    for (_, pod) in &mut asked[..4] {
        pod.send(OK);
    }
    for client in &mut next {
        client.send(GET);
        rig.arrived(client);
    }
    rig.turn();
    assert_eq!((rig.worker.line.len(), rig.worker.pools.len()), (8, 4), "the poller is asked first");
    for (_, pod) in &mut asked[4..] {
        pod.send(OK);
    }
    rig.turn();
    // Four of eight are of this turn again, but nobody waits twice.
    assert_eq!((rig.worker.line.len(), rig.worker.pools.len()), (0, 0));
    for (client, pod) in &mut asked {
        assert!(client.answer().ends_with("ok"));
        pod.head();
        pod.send(OK);
    }
    for client in &next {
        client.stream.set_nonblocking(true).unwrap();
        rig.until("an answer", |_| client.stream.peek(&mut [0]).is_ok());
    }
    assert_eq!(rig.pods[0].connections(), 8, "no dial was needed");
}

#[test]
fn one_request_does_not_wait_for_the_poller() {
    let mut rig = Rig::new(1);
    let mut next = rig.idle_client();
    let mut asked = asking(&mut rig, 1);
    asked[0].1.send(OK);
    next.send(GET);
    rig.arrived(&next);
    rig.turn();
    assert_eq!(rig.worker.line.len(), 0);
    assert!(asked[0].1.head().starts_with("GET / "), "it went on the connection that was just given back");
}
