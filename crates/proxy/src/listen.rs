//! The process's listening sockets, keyed by address and shard.
//!
//! Laws:
//! 1. A bind has one socket per shard; the number of shards is fixed at start. A worker accepts from the shards
//!    whose number it gets by division; a worker more or less moves no socket that is open.
//! 2. Descriptors that were passed to the process are used before anything is bound.
//! 3. A bind that fails hurts no other one. The system's reason is a fact, and it is tried again every second.
//! 4. What is accepted inherits keep-alive probes. A client that closes while it waits for an answer looks like one that
//!    has ended its direction only; when its system has forgotten the connection, a probe is answered with a reset.
//! 5. A retiring socket is accepted empty by its worker and then closed; connections stay. Its address can be opened
//!    again before that.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use fairlead_balance::Micros;
use fairlead_snapshot::BindFact;
use listenfd::ListenFd;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::shared::{ListenSocket, WorkerCell, WorkerMessage};

const RETRY: Micros = Micros::from_secs(1);
/// The kernel caps it at `net.core.somaxconn`.
pub(crate) const BACKLOG: i32 = 4096;

/// After so long without a word a client is probed, then this often until it answers or the probes are used up.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: u32 = 3;

/// Addresses with the names of their binds.
pub(crate) type Wanted = BTreeMap<SocketAddr, Arc<str>>;

#[derive(Debug)]
enum Bind {
    Listening,
    Failed { message: String, retry_at: Micros },
}

/// All sockets of the process.
#[derive(Debug)]
pub(crate) struct Sockets {
    shards: usize,
    passed: Vec<(SocketAddr, TcpListener)>,
    wanted: Wanted,
    binds: BTreeMap<SocketAddr, Bind>,
    /// Sockets given to workers that have not closed them yet.
    open: BTreeMap<SocketAddr, Arc<()>>,
}

impl Sockets {
    /// Takes the descriptors that were passed to the process (`LISTEN_FDS`), if any.
    pub(crate) fn from_environment(shards: usize) -> Self {
        let mut from = ListenFd::from_env();
        let mut passed = Vec::new();
        for index in 0..from.len() {
            if let Ok(Some(socket)) = from.take_tcp_listener(index)
                && socket.set_nonblocking(true).is_ok()
                && let Ok(address) = socket.local_addr()
            {
                passed.push((address, socket));
            }
        }
        Self::new(shards, passed)
    }

    pub(crate) fn new(shards: usize, passed: Vec<(SocketAddr, TcpListener)>) -> Self {
        Self { shards, passed, wanted: Wanted::new(), binds: BTreeMap::new(), open: BTreeMap::new() }
    }

    /// Opens what is missing and retires what is not wanted any more. Says whether a fact changed.
    pub(crate) fn want(&mut self, wanted: &Wanted, workers: &[WorkerCell], now: Micros) -> bool {
        if *wanted == self.wanted {
            return false;
        }
        self.wanted.clone_from(wanted);
        let gone: Vec<SocketAddr> =
            self.binds.keys().filter(|address| !wanted.contains_key(address)).copied().collect();
        for address in gone {
            self.binds.remove(&address);
            for worker in workers {
                worker.send(WorkerMessage::Retire(address));
            }
        }
        self.open_missing(workers, now, false);
        true
    }

    /// Tries again what failed, when it is due. Says whether a fact changed.
    pub(crate) fn retry(&mut self, workers: &[WorkerCell], now: Micros) -> bool {
        self.next_retry().is_some_and(|at| at <= now) && self.open_missing(workers, now, true)
    }

    /// When the next attempt is due.
    pub(crate) fn next_retry(&self) -> Option<Micros> {
        let due = self.binds.values().filter_map(|bind| match bind {
            Bind::Listening => None,
            Bind::Failed { retry_at, .. } => Some(*retry_at),
        });
        due.min()
    }

    /// The state of every bind that is wanted.
    pub(crate) fn facts(&self) -> Vec<BindFact> {
        let fact = |(address, name): (&SocketAddr, &Arc<str>)| {
            let (listening, message) = match self.binds.get(address) {
                Some(Bind::Listening) => (true, String::new()),
                Some(Bind::Failed { message, .. }) => (false, message.clone()),
                None => (false, "not opened yet".to_owned()),
            };
            BindFact { listening, message, name: (**name).into() }
        };
        self.wanted.iter().map(fact).collect()
    }

    fn open_missing(&mut self, workers: &[WorkerCell], now: Micros, again: bool) -> bool {
        let mut changed = false;
        let missing: Vec<SocketAddr> = self
            .wanted
            .keys()
            .filter(|address| match self.binds.get(address) {
                Some(Bind::Listening) => false,
                Some(Bind::Failed { retry_at, .. }) => again && *retry_at <= now,
                None => true,
            })
            .copied()
            .collect();
        for address in missing {
            let (bind, fact_changed) = match self.open_bind(address) {
                Ok(sockets) => {
                    self.hand_over(address, sockets, workers);
                    (Bind::Listening, true)
                }
                Err(error) => {
                    let message = error.to_string();
                    let before = self.binds.get(&address);
                    let same =
                        matches!(before, Some(Bind::Failed { message: before, .. }) if *before == message);
                    (Bind::Failed { message, retry_at: now + RETRY }, !same)
                }
            };
            self.binds.insert(address, bind);
            changed |= fact_changed;
        }
        changed
    }

    fn open_bind(&mut self, address: SocketAddr) -> io::Result<Vec<TcpListener>> {
        let (mut sockets, rest) =
            std::mem::take(&mut self.passed).into_iter().partition::<Vec<_>, _>(|(at, _)| *at == address);
        self.passed = rest;
        if !sockets.is_empty() {
            return Ok(sockets.drain(..).map(|(_, socket)| socket).collect());
        }
        let ours = self.open.get(&address).is_some_and(|open| Arc::strong_count(open) > 1);
        if !ours {
            // With SO_REUSEPORT the kernel would let us share the port with a stranger that sets it too.
            socket(address, false)?;
        }
        (0..self.shards)
            .map(|_| {
                let socket = socket(address, true)?;
                socket.listen(BACKLOG)?;
                Ok(socket.into())
            })
            .collect()
    }

    fn hand_over(&mut self, address: SocketAddr, sockets: Vec<TcpListener>, workers: &[WorkerCell]) {
        let open = self.open.entry(address).or_default();
        let probes =
            TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY).with_retries(PROBES);
        for (shard, socket) in sockets.into_iter().enumerate() {
            // A passed descriptor may be none that can be probed; it is served all the same.
            let _ = SockRef::from(&socket).set_tcp_keepalive(&probes);
            let socket = ListenSocket { address, shard, socket, open: Arc::clone(open) };
            workers[shard % workers.len()].send(WorkerMessage::Listen(socket));
        }
    }
}

fn socket(address: SocketAddr, reuse_port: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: usize) -> Vec<WorkerCell> {
        (0..count).map(|_| WorkerCell::new()).collect()
    }

    fn wanted(addresses: &[SocketAddr]) -> Wanted {
        addresses.iter().map(|address| (*address, Arc::from(address.to_string()))).collect()
    }

    /// A port of loopback that nobody listens on, and a listener that holds it.
    fn held_port() -> (SocketAddr, TcpListener) {
        let holder = TcpListener::bind("127.0.0.1:0").unwrap();
        (holder.local_addr().unwrap(), holder)
    }

    #[test]
    fn each_worker_gets_a_socket_of_its_own() {
        let (address, holder) = held_port();
        drop(holder);
        let workers = workers(2);
        let mut sockets = Sockets::new(2, Vec::new());
        assert!(sockets.want(&wanted(&[address]), &workers, Micros(0)));
        assert_eq!(
            sockets.facts(),
            [BindFact { listening: true, message: String::new(), name: address.to_string().into() }]
        );
        for worker in &workers {
            let got = worker.receive();
            let [WorkerMessage::Listen(socket)] = got.as_slices().0 else { panic!("{got:?}") };
            assert_eq!(socket.socket.local_addr().unwrap(), address);
        }
    }

    #[test]
    fn a_taken_port_is_a_fact_with_the_systems_reason_and_is_tried_again() {
        let (address, holder) = held_port();
        for shards in [1, 2] {
            let workers = workers(shards);
            let mut sockets = Sockets::new(shards, Vec::new());
            assert!(sockets.want(&wanted(&[address]), &workers, Micros(0)));
            let facts = sockets.facts();
            assert!(!facts[0].listening && facts[0].message.contains("in use"), "{facts:?}");
            assert!(!sockets.retry(&workers, Micros(1)), "not due yet");
            assert!(!sockets.retry(&workers, RETRY), "the same reason is no news");
            assert!(sockets.next_retry().is_some_and(|at| at > RETRY));
        }
        let workers = workers(1);
        let mut sockets = Sockets::new(1, Vec::new());
        sockets.want(&wanted(&[address]), &workers, Micros(0));
        drop(holder);
        assert!(sockets.retry(&workers, RETRY));
        assert!(sockets.facts()[0].listening);
    }

    #[test]
    fn a_passed_descriptor_is_used_before_any_bind() {
        let (address, holder) = held_port();
        let workers = workers(2);
        let mut sockets = Sockets::new(2, vec![(address, holder)]);
        assert!(sockets.want(&wanted(&[address]), &workers, Micros(0)));
        assert!(sockets.facts()[0].listening);
        assert_eq!(workers[0].receive().len(), 1);
    }

    #[test]
    fn clients_are_probed_whoever_opened_the_socket() {
        let (address, holder) = held_port();
        for passed in [vec![(address, holder)], Vec::new()] {
            let workers = workers(1);
            Sockets::new(1, passed).want(&wanted(&[address]), &workers, Micros(0));
            let got = workers[0].receive();
            let [WorkerMessage::Listen(socket)] = got.as_slices().0 else { panic!("{got:?}") };
            socket.socket.set_nonblocking(false).unwrap();
            let _client = std::net::TcpStream::connect(address).unwrap();
            let (accepted, _) = socket.socket.accept().unwrap();
            let accepted = SockRef::from(&accepted);
            assert!(accepted.keepalive().unwrap());
            assert_eq!(accepted.tcp_keepalive_time().unwrap(), PROBE_AFTER);
        }
    }

    #[test]
    fn an_address_can_be_opened_again_before_its_old_socket_is_closed() {
        let (address, holder) = held_port();
        drop(holder);
        let workers = workers(1);
        let mut sockets = Sockets::new(1, Vec::new());
        sockets.want(&wanted(&[address]), &workers, Micros(0));
        let old = workers[0].receive();
        sockets.want(&Wanted::new(), &workers, Micros(1));
        sockets.want(&wanted(&[address]), &workers, Micros(2));
        assert!(sockets.facts()[0].listening, "{:?}", sockets.facts());
        assert_eq!(workers[0].receive().len(), 2, "retire the old one, listen on the new one");
        drop(old);
    }

    #[test]
    fn what_is_not_wanted_any_more_is_retired_everywhere() {
        let (address, holder) = held_port();
        let workers = workers(2);
        let mut sockets = Sockets::new(1, vec![(address, holder)]);
        sockets.want(&wanted(&[address]), &workers, Micros(0));
        workers[0].receive();
        assert!(sockets.want(&Wanted::new(), &workers, Micros(1)));
        for worker in &workers {
            assert!(matches!(worker.receive().as_slices().0, [WorkerMessage::Retire(at)] if *at == address));
        }
        assert!(sockets.facts().is_empty());
    }
}
