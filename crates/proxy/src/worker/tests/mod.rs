//! A worker in virtual time, over real sockets on loopback: a test lets it take its turns one by one, plays the clients and
//! the Pods itself, and so decides what has come before which turn.

mod backlog;
mod behind;
mod counted;
mod deadlines;
mod early_switch;
mod half_closed;
mod line;
mod root;
mod unread;
mod unrequested;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fairlead_balance::Micros;
use mio::Events;
use socket2::{Domain, Socket, Type};

use super::Worker;
use super::parked::endpoint;
use crate::config::ProxyConfig;
use crate::conn::socket::Silence;
use crate::conn::state::{Conn, Flow};
use crate::shared::{EndpointState, ListenSocket, Shared, WorkerMessage};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// The Rules' deadlines.
const TIMED: Micros = Micros(300_000);
/// How long a test waits for what the kernel does, in real time.
const PATIENCE: Duration = Duration::from_secs(10);

/// Does `step` until it gives something.
#[track_caller]
fn wait_for<T>(what: &str, mut step: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = step() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::yield_now();
    }
}

/// An Endpoint of the only Backend.
struct Pod {
    listener: TcpListener,
    state: Arc<EndpointState>,
}

impl Pod {
    fn new(index: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { state: endpoint(&listener, index), listener }
    }

    /// The next connection, whose dial has begun.
    fn accept(&self) -> Peer {
        Peer::over(wait_for("a connection", || self.listener.accept().ok()).0)
    }

    fn connections(&self) -> u32 {
        self.state.load.connections()
    }
}

/// The other end of a connection: a client's or a Pod's.
struct Peer {
    stream: TcpStream,
}

impl Peer {
    fn over(stream: TcpStream) -> Self {
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Everything up to the end of a head.
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    /// A whole answer with a length.
    fn answer(&mut self) -> String {
        let head = self.head();
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap()];
        self.stream.read_exact(&mut body).unwrap();
        head + &String::from_utf8(body).unwrap()
    }

    /// What was said before the end, which has come already or comes at once.
    fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset ends it too.
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn end(&self) {
        self.stream.shutdown(std::net::Shutdown::Write).unwrap();
    }

    /// Closes it with a reset.
    fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// The worker with its surroundings.
struct Rig {
    worker: Worker,
    shared: Arc<Shared>,
    address: SocketAddr,
    pods: Vec<Pod>,
    events: Events,
}

impl Rig {
    /// A worker in front of so many Pods.
    fn new(pods: usize) -> Self {
        Self::with(pods, |_| {})
    }

    /// The same with other settings.
    fn with(pods: usize, set: impl FnOnce(&mut ProxyConfig)) -> Self {
        Self::limited(pods, None, set)
    }

    /// The same with a limit of connections to each Pod.
    fn limited(pods: usize, limit: Option<u32>, set: impl FnOnce(&mut ProxyConfig)) -> Self {
        let mut config = ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() };
        set(&mut config);
        let shared = Shared::new(config);
        let worker = Worker::new(Arc::clone(&shared), 0).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let pods: Vec<Pod> = (0..pods as u32).map(Pod::new).collect();
        shared.publish(Arc::new(root::root(address, &pods, limit)));
        let listen = ListenSocket { address, shard: 0, socket, open: Arc::default() };
        shared.workers[0].send(WorkerMessage::Listen(listen));
        let mut rig = Self { worker, shared, address, pods, events: Events::with_capacity(64) };
        rig.turn();
        rig
    }

    /// One turn, a microsecond after the one before.
    fn turn(&mut self) {
        self.turn_at(self.worker.now + Micros(1));
    }

    fn turn_at(&mut self, now: Micros) {
        self.worker.wait(&mut self.events, Some(Duration::ZERO)).unwrap();
        self.worker.act(&self.events, now);
    }

    /// Turns until `done`; hardly any virtual time passes.
    #[track_caller]
    fn until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        wait_for(what, || {
            self.turn();
            done(self).then_some(())
        });
    }

    /// Lets virtual time pass as a loop does that nothing happens to, until `done`; gives that moment.
    #[track_caller]
    fn pass(&mut self, most: Micros, mut done: impl FnMut(&mut Self) -> bool) -> Micros {
        let until = self.worker.now + most;
        while !done(self) {
            assert!(self.worker.now < until, "nothing has happened");
            self.turn_at(self.worker.due().max(self.worker.now + Micros(1)));
        }
        self.worker.now
    }

    /// A client that the worker knows.
    fn client(&mut self) -> Peer {
        let before = self.stats().connections.get();
        let client = Peer::over(TcpStream::connect(self.address).unwrap());
        self.until("a client's connection", |rig| rig.stats().connections.get() == before + 1);
        client
    }

    /// A client that was answered and is idle: its alarm stands a minute away.
    fn idle_client(&mut self) -> Peer {
        let mut client = self.client();
        client.send(b"GET /empty HTTP/1.1\r\nhost: app.test\r\n\r\n");
        let mut status = [0; 13];
        client.stream.set_nonblocking(true).unwrap();
        self.until("an answer", |_| client.stream.peek(&mut status).is_ok_and(|count| count == 13));
        client.stream.set_nonblocking(false).unwrap();
        assert!(client.answer().starts_with("HTTP/1.1 503 "));
        self.until("its end", |rig| rig.flow().is_none());
        client
    }

    /// A client whose request has gone whole to the only Pod, with the Pod's end of that connection.
    fn asking_client(&mut self, request: &[u8]) -> (Peer, Peer) {
        let mut client = self.idle_client();
        client.send(request);
        self.until("a dial", |rig| rig.pods[0].connections() > 0);
        let mut pod = self.pods[0].accept();
        self.until("the request's way", |rig| rig.flow().is_some_and(|flow| flow.request.is_done()));
        pod.head();
        (client, pod)
    }

    /// A client that the only Pod has answered, with the Pod's end of the connection, which is in the pool.
    fn served_client(&mut self) -> (Peer, Peer) {
        let (mut client, mut pod) = self.asking_client(GET);
        pod.send(OK);
        self.until("the answer's way", |rig| rig.stats().exchanges.get() == 0);
        assert_eq!(self.worker.pools.len(), 1);
        assert!(client.answer().ends_with("ok"));
        (client, pod)
    }

    /// Waits until the worker's end of the client's connection has something to read, without a turn.
    fn arrived(&self, client: &Peer) {
        let address = client.stream.local_addr().unwrap();
        let readable = || {
            self.worker.conns.iter().any(|(_, conn)| match conn {
                Conn::Down(down) => down.peer == address && down.socket.look() != Silence::Kept,
                Conn::Up(_) => false,
            })
        };
        wait_for("what the client sent", || readable().then_some(()));
    }

    fn stats(&self) -> &crate::shared::WorkerStats {
        &self.shared.workers[0].stats
    }

    /// Refusals of requests, and of responses, by code.
    fn refused(&self) -> Vec<(&'static str, u64)> {
        self.stats().refused.iter().chain(self.stats().refused_responses.iter()).collect()
    }

    /// Status, flags and code of the request that was logged last; the access log must be on.
    fn logged(&self) -> (u64, String, String) {
        let lines = self.shared.workers[0].log.drain(Vec::new());
        let last = lines.trim_ascii_end().rsplit(|byte| *byte == b'\n').next().unwrap();
        let line: serde_json::Value = serde_json::from_slice(last).unwrap();
        let text = |name: &str| line[name].as_str().unwrap().to_owned();
        let status = line["response_code"].as_u64().unwrap();
        (status, text("response_flags"), text("response_code_details"))
    }

    /// The only request in progress.
    fn flow(&self) -> Option<&Flow> {
        let mut flows = self.worker.conns.iter().filter_map(|(_, conn)| match conn {
            Conn::Down(down) => down.active.as_deref().map(|active| &active.flow),
            Conn::Up(_) => None,
        });
        let flow = flows.next();
        assert!(flows.next().is_none(), "there are several");
        flow
    }
}

/// Makes an address silent: dials to it get no answer, since its backlog is full. For as long as what is given lives.
fn silence(pod: &Pod) -> Vec<Socket> {
    let listener = socket2::SockRef::from(&pod.listener);
    listener.listen(0).unwrap();
    let fill = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&pod.state.address.into());
        socket
    };
    let mut filling = vec![fill()];
    wait_for("the backlog's first", || filling[0].peer_addr().ok());
    filling.push(fill());
    filling
}

/// Writes until neither side takes any more.
fn stuff(rig: &mut Rig, peer: &mut Peer) {
    let chunk = vec![b'x'; 64 << 10];
    peer.stream.set_nonblocking(true).unwrap();
    let mut idle = 0;
    while idle < 100 {
        match peer.stream.write(&chunk) {
            Ok(_) => idle = 0,
            Err(error) if error.kind() == ErrorKind::WouldBlock => idle += 1,
            Err(error) => panic!("{error}"),
        }
        rig.turn();
    }
    peer.stream.set_nonblocking(false).unwrap();
}
