//! Who stands in the backlog when a listening socket closes is answered, and who is accepted last too.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;

use fairlead_balance::Micros;
use rustc_hash::FxHashMap;

use super::{GET, OK, Peer, Rig, root};
use crate::conn::state::Conn;
use crate::shared::{Phase, Root, WorkerMessage};

/// Nearly as many as the backlog of the rig's socket holds.
const MANY: usize = 100;
const EMPTY: &[u8] = b"GET /empty HTTP/1.1\r\nhost: app.test\r\n\r\n";

/// Clients that have asked, and that the worker has not accepted.
fn waiting(rig: &Rig, count: usize, request: &[u8]) -> Vec<Peer> {
    let client = || {
        let mut client = Peer::over(TcpStream::connect(rig.address).unwrap());
        client.send(request);
        client
    };
    (0..count).map(|_| client()).collect()
}

/// The answer has come, says that the connection ends, and the connection ends in order.
#[track_caller]
fn assert_served(client: &mut Peer, status: &str) {
    let answer = client.answer();
    assert!(answer.starts_with(status), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "not reset");
}

/// Nobody listens any more.
#[track_caller]
fn assert_closed(rig: &Rig) {
    assert!(!rig.worker.is_listening());
    assert!(TcpStream::connect(rig.address).is_err());
}

fn no_client(rig: &mut Rig) -> bool {
    rig.stats().connections.get() == 0
}

#[test]
fn a_listener_that_goes_by_configuration() {
    let mut rig = Rig::new(0);
    let mut idle = rig.idle_client();
    let mut clients = waiting(&rig, MANY, EMPTY);
    let before = root::root(rig.address, &rig.pods, None);
    rig.shared.publish(Arc::new(Root { generation: 2, binds: FxHashMap::default(), ..before }));
    rig.shared.workers[0].send(WorkerMessage::Retire(rig.address));
    rig.turn();
    assert_closed(&rig);
    rig.until("all answers", |rig| rig.stats().connections.get() == 1);
    for client in &mut clients {
        assert_served(client, "HTTP/1.1 404 ");
    }
    // The same for one that was there before.
    idle.send(GET);
    rig.until("the last one's end", no_client);
    assert_served(&mut idle, "HTTP/1.1 404 ");
}

#[test]
fn a_stop() {
    let mut rig = Rig::new(1);
    let mut clients = waiting(&rig, 20, GET);
    rig.shared.advance(Phase::Closing);
    rig.turn();
    assert_closed(&rig);
    rig.until("their way to the Pod", |rig| {
        let asked = |conn: &Conn| match conn {
            Conn::Down(down) => down.active.as_ref().is_some_and(|active| active.flow.request.is_done()),
            Conn::Up(_) => false,
        };
        let asked = rig.worker.conns.iter().filter(|(_, conn)| asked(conn)).count();
        asked == 20 && rig.pods[0].connections() == 20
    });
    for _ in 0..20 {
        let mut pod = rig.pods[0].accept();
        pod.head();
        pod.send(OK);
    }
    rig.until("all answers", no_client);
    assert!(rig.worker.is_over());
    for client in &mut clients {
        assert_served(client, "HTTP/1.1 200 ");
    }
}

#[test]
fn a_stop_with_a_worker_that_has_ended_already() {
    // The other one has no thread: what it is given nobody serves.
    let mut rig = Rig::with(0, |config| config.workers = Some(2));
    let mut clients = waiting(&rig, 20, EMPTY);
    rig.shared.advance(Phase::Closing);
    rig.turn();
    assert_eq!((rig.stats().accepted.get(), rig.shared.workers[1].assigned()), (20, 0));
    rig.until("all answers", no_client);
    for client in &mut clients {
        assert_served(client, "HTTP/1.1 503 ");
    }
}

#[test]
fn a_stop_with_a_connection_on_its_way_from_another_worker() {
    let mut rig = Rig::with(0, |config| config.workers = Some(2));
    let shared = Arc::clone(&rig.shared);
    shared.workers[0].assign();
    shared.advance(Phase::Closing);
    rig.turn_at(rig.worker.now + Micros::from_secs(1));
    rig.turn_at(rig.worker.now + Micros::from_secs(1));
    assert!(!rig.worker.is_over(), "one more is to come");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Peer::over(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (socket, peer) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    shared.admission.admit(&shared.admission.of_bind(rig.address)).unwrap();
    shared.workers[0].send(WorkerMessage::Adopt { bind: rig.address, socket, peer });
    rig.turn();
    client.send(EMPTY);
    rig.until("its answer", no_client);
    assert_served(&mut client, "HTTP/1.1 503 ");
    assert!(rig.worker.is_over());
}

#[test]
fn a_first_request_that_comes_at_the_last_moment() {
    let mut rig = Rig::new(0);
    let mut client = rig.client();
    rig.shared.advance(Phase::Closing);
    rig.turn();
    client.send(EMPTY);
    rig.arrived(&client);
    // The poller tells of it in the turn in which those that have said nothing are closed.
    rig.turn_at(rig.worker.now + Micros::from_secs(1));
    rig.until("its answer", no_client);
    assert_served(&mut client, "HTTP/1.1 503 ");
}
