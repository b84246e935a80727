//! Clients that have ended their direction, and clients that are gone.

use fairlead_balance::Micros;

use super::{GET, OK, Rig, TIMED};

const SECOND: Micros = Micros(1_000_000);

#[test]
fn a_client_that_has_ended_its_direction_gets_its_answer_however_late() {
    let old: &[u8] = b"GET / HTTP/1.0\r\nhost: app.test\r\n\r\n";
    for (request, seconds) in [(GET, 3), (old, 3), (GET, 3_600)] {
        let mut rig = Rig::new(1);
        let (client, mut pod) = rig.asking_client(request);
        let mut client = client;
        client.end();
        rig.arrived(&client);
        rig.turn();
        let answered_at = rig.worker.now + Micros::from_secs(seconds);
        rig.pass(Micros::from_secs(seconds + 1), |rig| rig.worker.now >= answered_at);
        assert_eq!(rig.stats().exchanges.get(), 1, "nobody has given up");
        pod.send(OK);
        rig.until("the answer's way", |rig| rig.stats().connections.get() == 0);
        let answer = client.rest();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok"), "{answer:?}");
    }
}

#[test]
fn the_deadlines_of_its_rule_bind_it() {
    for path in ["/timed", "/hurried"] {
        let mut rig = Rig::new(1);
        let request = format!("GET {path} HTTP/1.1\r\nhost: app.test\r\n\r\n");
        let (mut client, _pod) = rig.asking_client(request.as_bytes());
        client.end();
        rig.pass(TIMED + TIMED, |rig| rig.stats().connections.get() == 0);
        assert!(client.rest().starts_with("HTTP/1.1 504 "), "{path}");
    }
}

#[test]
fn a_reset_ends_its_attempt_at_once() {
    for ends_first in [false, true] {
        let mut rig = Rig::new(1);
        let (client, mut pod) = rig.asking_client(GET);
        let before = rig.worker.now;
        if ends_first {
            client.end();
            rig.arrived(&client);
            rig.turn();
        }
        client.reset();
        rig.until("the attempt's end", |rig| rig.pods[0].connections() == 0);
        assert!(rig.worker.now < before + SECOND);
        assert_eq!((rig.stats().exchanges.get(), rig.stats().connections.get()), (0, 0));
        assert_eq!(pod.rest(), "");
    }
}

#[test]
fn a_client_that_is_gone_without_a_reset_costs_no_more_than_its_answer() {
    let mut rig = Rig::new(1);
    let (client, mut pod) = rig.asking_client(GET);
    drop(client);
    rig.turn();
    pod.send(OK);
    rig.until("the client's end", |rig| rig.stats().connections.get() == 0);
    assert_eq!((rig.stats().exchanges.get(), rig.worker.pools.len()), (0, 1), "the Pod's connection is good");
}
