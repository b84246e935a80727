//! What an Endpoint says before it was asked answers nobody.

use std::net::TcpStream;

use fairlead_balance::Permit;

use super::{GET, OK, Peer, Rig};
use crate::conn::state::Role;

const POISON: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison";
/// What a Pod may say before it was asked, and whether it ends then.
const EARLY: [(&[u8], bool); 4] = [(POISON, false), (POISON, true), (b"\n", false), (b"", true)];

/// How that is counted.
fn counted(bytes: &[u8]) -> Vec<(&'static str, u64)> {
    if bytes.is_empty() { vec![] } else { vec![("unrequested_bytes", 1)] }
}

impl Peer {
    fn speak(&mut self, bytes: &[u8], ends: bool) {
        self.send(bytes);
        if ends {
            self.end();
        }
    }
}

#[test]
fn a_dial_whose_endpoint_speaks_or_ends_first_is_no_answer_and_is_never_pooled() {
    for (bytes, ends) in EARLY {
        let mut rig = Rig::new(1);
        let mut client = rig.client();
        client.send(GET);
        rig.until("a dial", |rig| rig.pods[0].connections() == 1);
        // The kernel has connected it; the worker has not looked yet.
        let mut pod = rig.pods[0].accept();
        pod.speak(bytes, ends);
        rig.until("the answer", |rig| rig.stats().exchanges.get() == 0);
        assert!(client.answer().starts_with("HTTP/1.1 502 "), "{bytes:?}");
        assert_eq!(rig.refused(), counted(bytes), "{bytes:?}");
        assert_eq!((rig.pods[0].connections(), rig.worker.pools.len()), (0, 0));
        assert_eq!(pod.rest(), "", "nothing was sent to it");
        let state = &rig.pods[0].state;
        assert_eq!(state.dial_failures(), 1, "{bytes:?}");
        let code = if bytes.is_empty() { "UF" } else { "UPE" };
        assert_eq!(state.last_failure.get().map(|(_, code)| code), Some(code), "{bytes:?}");
    }
}

#[test]
fn a_request_that_was_not_sent_moves_on_whatever_its_method() {
    for (bytes, ends) in EARLY {
        for request in [GET, b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1\r\n\r\nx"] {
            let mut rig = Rig::new(2);
            let mut client = rig.client();
            client.send(request);
            rig.until("a dial", |rig| rig.pods.iter().any(|pod| pod.connections() == 1));
            let first = rig.pods.iter().position(|pod| pod.connections() == 1).unwrap();
            rig.pods[first].accept().speak(bytes, ends);
            rig.until("another dial", |rig| rig.pods[1 - first].connections() == 1);
            let mut pod = rig.pods[1 - first].accept();
            rig.until("the request's way", |rig| rig.flow().is_some_and(|flow| flow.request.is_done()));
            pod.head();
            pod.send(OK);
            rig.until("the answer", |rig| rig.stats().exchanges.get() == 0);
            assert!(client.answer().starts_with("HTTP/1.1 200 "));
            assert_eq!(rig.refused(), counted(bytes));
            assert_eq!(rig.stats().retries.iter().collect::<Vec<_>>(), [("never_sent", 1)]);
            assert_eq!((rig.pods[first].connections(), rig.worker.pools.len()), (0, 1));
        }
    }
}

/// A worker with a dial that nobody waits for, and the Pod's end of it.
fn spare() -> (Rig, Peer) {
    let mut rig = Rig::new(1);
    let permit = Permit::take(&rig.pods[0].state, None).unwrap();
    rig.worker.begin_dial(permit, Role::Spare(None), None).unwrap();
    let pod = rig.pods[0].accept();
    (rig, pod)
}

#[test]
fn a_dial_that_nobody_waits_for_goes_into_the_pool_only_if_it_is_silent() {
    for (bytes, ends) in EARLY {
        let (mut rig, mut pod) = spare();
        pod.speak(bytes, ends);
        rig.until("the dial's end", |rig| rig.worker.pools.len() == 1 || rig.pods[0].connections() == 0);
        assert_eq!((rig.worker.pools.len(), rig.refused()), (0, counted(bytes)), "{bytes:?}");
        assert_eq!(rig.pods[0].state.dial_failures(), 1);
    }
    let (mut rig, _pod) = spare();
    rig.until("the dial's end", |rig| rig.worker.pools.len() == 1);
    assert_eq!((rig.pods[0].connections(), rig.pods[0].state.dial_failures()), (1, 0));
}

#[test]
fn bytes_on_an_idle_connection_are_counted_and_its_end_is_not() {
    for (bytes, ends) in EARLY {
        let mut rig = Rig::new(1);
        let (_client, mut pod) = rig.served_client();
        pod.speak(bytes, ends);
        rig.until("the connection's end", |rig| rig.pods[0].connections() == 0);
        assert_eq!((rig.worker.pools.len(), rig.refused()), (0, counted(bytes)), "{bytes:?}");
    }
}

#[test]
fn an_idle_connection_is_looked_at_while_the_poller_has_more_to_tell() {
    for (bytes, ends) in EARLY {
        let mut rig = Rig::new(1);
        let (mut client, mut pod) = rig.served_client();
        // One event at a time, and that of the connection in the pool is the last.
        rig.events = mio::Events::with_capacity(1);
        client.send(GET);
        let others: Vec<_> = (0..3).map(|_| TcpStream::connect(rig.address).unwrap()).collect();
        pod.speak(bytes, ends);
        rig.until("another dial", |rig| {
            let took = rig.flow().is_some_and(|flow| flow.request.is_done());
            assert!(!took, "{bytes:?}: the connection was taken unlooked");
            rig.pods[0].listener.accept().is_ok()
        });
        assert_eq!(rig.refused(), counted(bytes), "{bytes:?}");
        drop(others);
    }
}
