//! Each attempt is counted once for its Endpoint, however it ends.

use fairlead_balance::{Micros, StatusClass};

use super::{GET, OK, Peer, Rig, TIMED, stuff};
use crate::conn::state::Stage;

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const TIMED_GET: &[u8] = b"GET /timed HTTP/1.1\r\nhost: app.test\r\n\r\n";

/// How a Pod breaks its answer off.
type Break = fn(Peer);

/// Attempts of the only Pod by class.
fn counted(rig: &Rig) -> Vec<(StatusClass, u64)> {
    let count = |class| (class, rig.pods[0].state.load.requests(class));
    StatusClass::ALL.map(count).into_iter().filter(|(_, count)| *count > 0).collect()
}

/// Answers whose head has been seen.
fn heads(rig: &Rig) -> u64 {
    rig.pods[0].state.load.totals().latency.count()
}

/// A worker whose only client has got the beginning of an answer, with that client and the Pod.
fn begun(request: &[u8], beginning: &[u8]) -> (Rig, Peer, Peer) {
    let mut rig = Rig::new(1);
    let (client, mut pod) = rig.asking_client(request);
    pod.send(beginning);
    rig.until("the beginning's way", |rig| {
        rig.flow().is_some_and(|flow| flow.response.stage == Stage::Body && !flow.response.is_pending())
    });
    (rig, client, pod)
}

fn end(rig: &mut Rig) {
    rig.until("the end", |rig| rig.stats().exchanges.get() == 0);
    assert_eq!(rig.pods[0].state.load.in_flight(), 0);
}

#[test]
fn an_answer_that_breaks_off_is_none() {
    let fifty = [b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", &[b'x'; 50][..]].concat();
    let chunk = [CHUNKED, b"2\r\nok\r\n"].concat();
    let error = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 9\r\n\r\nno";
    let close: Break = drop;
    let breaks: [(&str, &[u8], Break); 6] = [
        ("closed within a length", &fifty, close),
        ("reset within a length", &fifty, Peer::reset),
        ("closed between chunks", &chunk, close),
        ("closed within a chunk", CHUNKED, |mut pod| pod.send(b"5\r\nok")),
        ("not a chunk", &chunk, |mut pod| pod.send(b"nonsense\r\n")),
        ("an error, closed", error, close),
    ];
    for (what, beginning, broken) in breaks {
        let (mut rig, _client, pod) = begun(GET, beginning);
        assert_eq!((counted(&rig), heads(&rig)), (vec![], 1), "{what}: it is not over");
        broken(pod);
        end(&mut rig);
        assert_eq!((counted(&rig), heads(&rig)), (vec![(StatusClass::NoResponse, 1)], 1), "{what}");
    }
}

#[test]
fn an_answer_that_is_not_whole_by_the_deadline_is_none() {
    let (mut rig, _client, _pod) = begun(TIMED_GET, CHUNKED);
    rig.pass(TIMED + TIMED, |rig| rig.stats().exchanges.get() == 0);
    assert_eq!(counted(&rig), [(StatusClass::NoResponse, 1)]);
}

#[test]
fn a_body_that_the_endpoint_does_not_take_is_none() {
    let mut rig = Rig::with(1, |config| config.timeouts.stream_idle_ms = 500);
    let mut client = rig.idle_client();
    client.send(b"POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000000000\r\n\r\n");
    rig.until("a dial", |rig| rig.pods[0].connections() > 0);
    let _pod = rig.pods[0].accept();
    stuff(&mut rig, &mut client);
    rig.pass(Micros::from_secs(2), |rig| rig.stats().exchanges.get() == 0);
    assert_eq!(counted(&rig), [(StatusClass::NoResponse, 1)]);
}

#[test]
fn a_whole_answer_is_of_its_class() {
    let missing = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nhello";
    let answers: [(&[u8], StatusClass); 3] = [
        (OK, StatusClass::Success),
        (missing, StatusClass::ClientError),
        (until_close, StatusClass::Success),
    ];
    for (answer, class) in answers {
        let mut rig = Rig::new(1);
        let (_client, mut pod) = rig.asking_client(GET);
        pod.send(answer);
        pod.end();
        end(&mut rig);
        assert_eq!((counted(&rig), heads(&rig)), (vec![(class, 1)], 1));
    }
}

#[test]
fn a_client_that_leaves_amid_the_answer_says_nothing_against_the_endpoint() {
    let events = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let (mut rig, client, _pod) = begun(GET, events);
    assert_eq!((counted(&rig), heads(&rig)), (vec![], 1), "it runs");
    assert_eq!(rig.pods[0].state.load.in_flight(), 1, "which is where it is seen");
    client.reset();
    end(&mut rig);
    assert_eq!(counted(&rig), [(StatusClass::Success, 1)]);
}

#[test]
fn a_client_that_leaves_before_the_answer_leaves_nothing_to_count() {
    let mut rig = Rig::new(1);
    let (client, _pod) = rig.asking_client(GET);
    client.reset();
    end(&mut rig);
    assert_eq!((counted(&rig), heads(&rig)), (vec![], 0));
}

#[test]
fn a_tunnel_is_counted_when_it_opens() {
    let upgrade = b"GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n";
    for pod_dies in [false, true] {
        let mut rig = Rig::new(1);
        let (client, mut pod) = rig.asking_client(upgrade);
        pod.send(switch);
        rig.until("the tunnel", |rig| rig.flow().is_some_and(|flow| flow.tunnel.is_some()));
        let once = vec![(StatusClass::Informational, 1)];
        assert_eq!((counted(&rig), heads(&rig)), (once.clone(), 1));
        if pod_dies {
            pod.reset();
        } else {
            client.reset();
        }
        end(&mut rig);
        assert_eq!((counted(&rig), heads(&rig)), (once, 1), "and not again");
    }
}
