//! Accepting connections.
//!
//! Laws:
//! 1. A connection above a limit is accepted and closed at once: left in the backlog it would wait for nothing, and its
//!    readiness would be reported for ever.
//! 2. Without a free descriptor the reserve is given up for as long as it takes to accept and close; if even that
//!    fails, accepting pauses for [`PAUSE`]. It never spins. No other failure sends a client away: a connection that has
//!    died in the backlog says nothing about the next one ([`Failed`]).
//! 3. A retiring socket is accepted empty, then closed. Its connections stay, and those accepted last are served like
//!    all others; where their Listener is gone, they are told so and closed.
//! 4. A worker that has two connections more than the one with the fewest hands the next to that one, before it reads
//!    from it. Asking one random worker would leave one in six cases of 16 connections on 4 workers with one worker that
//!    has more than twice as many as another. Nothing is handed to a worker that may have ended ([`Worker::hand_over`]).

use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_balance::{Micros, Rng};
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Token};
use rustix::io::Errno;

use super::slab::Key;
use super::{Bind, Worker};
use crate::conn::socket::Socket;
use crate::conn::state::{Conn, Down};
use crate::listen::BACKLOG;
use crate::shared::{ListenSocket, Phase, WorkerMessage};
use crate::timer::Alarm;

/// How long accepting pauses when there is no descriptor.
const PAUSE: Micros = Micros(100_000);
/// Connections taken from one socket before others get their turn.
const PER_TURN: usize = 256;
/// So many times as often from a socket that retires: all that its backlog held. Who still comes then comes too late.
const LAST_ROUNDS: usize = BACKLOG as usize / PER_TURN + 1;
/// Set in the tokens of listening sockets; the keys of connections leave it clear.
const LISTENER: usize = 1 << 63;

/// A socket that this worker accepts from.
#[derive(Debug)]
pub(super) struct Listening {
    socket: TcpListener,
    bind: u32,
    address: SocketAddr,
    /// There may be more in the backlog, and no event will say so.
    again_at: Option<Micros>,
    _open: Arc<()>,
}

/// How accepting from a socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Backlog {
    Empty,
    /// More is waiting; look again at once.
    More,
    /// Nothing can be accepted now; look again later.
    Stuck,
}

/// What a failed accept says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failed {
    /// Nobody waits.
    Empty,
    /// The connection at the front of the backlog is gone, and with it the error that it had.
    Lost,
    /// The process or the system has no descriptor or no memory for the one at the front.
    Starved,
    /// The socket itself is no good. No code of a TCP socket that listens is known to mean that.
    Broken,
}

impl Failed {
    /// Linux hands out the pending errors of connections, and asks that they be treated like EAGAIN, by another try
    /// (accept(2), "Error handling"); a firewall's refusal (EPERM) is one connection's too.
    fn of(error: &std::io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::AGAIN) => Self::Empty,
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Self::Starved,
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::HOSTDOWN
                | Errno::HOSTUNREACH
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::NETUNREACH
                | Errno::NONET
                | Errno::NOPROTOOPT
                | Errno::OPNOTSUPP
                | Errno::PERM
                | Errno::PROTO
                | Errno::TIMEDOUT,
            ) => Self::Lost,
            _ => Self::Broken,
        }
    }
}

pub(super) fn is_listener(token: Token) -> bool {
    token.0 & LISTENER != 0
}

/// A descriptor to be given up when there is no other.
pub(super) fn reserve() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}

impl Worker {
    /// Takes what other threads left.
    pub(super) fn receive(&mut self) {
        for message in self.cell().receive() {
            match message {
                WorkerMessage::Listen(socket) => self.listen(socket),
                WorkerMessage::Retire(address) => self.retire(Some(address)),
                WorkerMessage::Adopt { bind, socket, peer } => {
                    let bind = self.bind(bind);
                    self.take_in(TcpStream::from_std(socket), peer, bind);
                    self.expect_first_request();
                }
                WorkerMessage::Demand(demand) => self.on_demand(demand),
                WorkerMessage::Room(permit) => self.on_room(permit),
            }
        }
        for index in 0..self.listeners.len() {
            let due = self.listeners[index].as_ref().and_then(|listening| listening.again_at);
            if due.is_some_and(|at| at <= self.now) {
                self.accept(Token(LISTENER | index));
            }
        }
    }

    /// When a socket has to be looked at again without an event.
    pub(super) fn accept_again_at(&self) -> Option<Micros> {
        self.listeners.iter().flatten().filter_map(|listening| listening.again_at).min()
    }

    /// The bind's place in this worker's list.
    fn bind(&mut self, address: SocketAddr) -> u32 {
        if let Some(known) = self.binds.iter().position(|bind| bind.address == address) {
            return known as u32;
        }
        let (table, open) = (self.root.binds.get(&address).cloned(), self.shared.admission.of_bind(address));
        let bind = Bind { address, table, connections: 0, open };
        // A place that no configuration, no socket and no connection uses is free.
        let listens =
            |index: usize| self.listeners.iter().flatten().any(|other| other.bind as usize == index);
        let free = |(index, bind): &(usize, &Bind)| {
            bind.table.is_none() && bind.connections == 0 && !listens(*index)
        };
        if let Some((index, _)) = self.binds.iter().enumerate().find(free) {
            self.binds[index] = bind;
            return index as u32;
        }
        self.binds.push(bind);
        self.binds.len() as u32 - 1
    }

    fn listen(&mut self, socket: ListenSocket) {
        let bind = self.bind(socket.address);
        let place = self.listeners.iter().position(Option::is_none).unwrap_or_else(|| {
            self.listeners.push(None);
            self.listeners.len() - 1
        });
        let mut listener = TcpListener::from_std(socket.socket);
        let token = Token(LISTENER | place);
        if self.poll.registry().register(&mut listener, token, Interest::READABLE).is_err() {
            self.cell().stats.refused.add("listener_not_registered");
            return;
        }
        self.listeners[place] = Some(Listening {
            socket: listener,
            bind,
            address: socket.address,
            // What came before the registration is not worth a thought: it is looked at once.
            again_at: Some(self.now),
            _open: socket.open,
        });
    }

    /// Accepts the sockets of an address (of all, without one) empty and closes them.
    ///
    /// The kernel resets who comes between the last look and the close, and whose handshake is not through by then: a
    /// socket cannot be told to stop listening without that. Where `net.ipv4.tcp_migrate_req` is set, those go to another
    /// socket of the address, if one is open.
    pub(super) fn retire(&mut self, address: Option<SocketAddr>) {
        for index in 0..self.listeners.len() {
            let matches = |listening: &Listening| address.is_none_or(|address| listening.address == address);
            if !self.listeners[index].as_ref().is_some_and(matches) {
                continue;
            }
            let _ = (0..LAST_ROUNDS).find(|_| self.accept_some(index) != Backlog::More);
            if let Some(mut listening) = self.listeners[index].take() {
                let _ = self.poll.registry().deregister(&mut listening.socket);
            }
        }
    }

    /// Whether this worker accepts from any socket.
    pub(super) fn is_listening(&self) -> bool {
        self.listeners.iter().any(Option::is_some)
    }

    pub(super) fn accept(&mut self, token: Token) {
        let index = token.0 & !LISTENER;
        let again_at = match self.accept_some(index) {
            Backlog::Empty => None,
            Backlog::More => Some(self.now),
            Backlog::Stuck => Some(self.now + PAUSE),
        };
        if let Some(listening) = self.listeners.get_mut(index).and_then(Option::as_mut) {
            listening.again_at = again_at;
        }
    }

    fn accept_some(&mut self, index: usize) -> Backlog {
        let mut lost = 0;
        for _ in 0..PER_TURN {
            let Some(listening) = self.listeners.get(index).and_then(Option::as_ref) else {
                return Backlog::Empty;
            };
            let bind = listening.bind;
            match listening.socket.accept() {
                Ok((stream, peer)) => self.on_accepted(stream, peer, bind),
                Err(error) => match Failed::of(&error) {
                    Failed::Empty => return Backlog::Empty,
                    Failed::Lost => lost += 1,
                    Failed::Starved if self.shed(index) => {}
                    Failed::Starved => return Backlog::Stuck,
                    Failed::Broken => {
                        self.cell().stats.refused.add("accept_failed");
                        return Backlog::Stuck;
                    }
                },
            }
        }
        // A code that is not one connection's after all would be there again at once.
        if lost == PER_TURN { Backlog::Stuck } else { Backlog::More }
    }

    /// Accepts and closes one connection with the reserved descriptor. False if that cannot be done.
    fn shed(&mut self, index: usize) -> bool {
        self.cell().stats.refused.add("no_descriptor");
        if self.reserve.take().is_none() {
            self.reserve = reserve();
            return false;
        }
        let accepted =
            self.listeners[index].as_ref().is_some_and(|listening| listening.socket.accept().is_ok());
        self.reserve = reserve();
        accepted
    }

    fn on_accepted(&mut self, stream: TcpStream, peer: SocketAddr, bind: u32) {
        self.cell().stats.accepted.add(1);
        if let Err(limit) = self.shared.admission.admit(&self.binds[bind as usize].open) {
            self.cell().stats.refused.add(limit);
            return;
        }
        let Some(stream) = self.hand_over(stream, peer, bind) else { return };
        self.cell().assign();
        self.take_in(stream, peer, bind);
    }

    /// Hands a connection to a worker that has fewer; gives it back if there is none, or if that one may have ended: while
    /// the proxy is closing a worker ends as soon as no connection is assigned to it. It looks at the phase first and then
    /// at what is assigned, here it is the other way round: one of the two sees what the other has done.
    fn hand_over(&mut self, stream: TcpStream, peer: SocketAddr, bind: u32) -> Option<TcpStream> {
        let Some(other) = self.less_loaded() else { return Some(stream) };
        let other = &self.shared.workers[other];
        other.assign();
        if self.shared.phase() >= Phase::Closing {
            other.unassign();
            other.wake();
            return Some(stream);
        }
        let bind = self.binds[bind as usize].address;
        other.send(WorkerMessage::Adopt { bind, socket: std::net::TcpStream::from(stream), peer });
        None
    }

    /// The worker with the fewest connections, of several a random one, if those are at least two fewer than here.
    fn less_loaded(&mut self) -> Option<usize> {
        let cells = &self.shared.workers;
        let first = self.rng.below(cells.len() as u32) as usize;
        let (fewest, other) = (first..cells.len())
            .chain(0..first)
            .map(|index| (cells[index].assigned(), index))
            .min_by_key(|(connections, _)| *connections)?;
        (fewest + 2 <= cells[self.index].assigned()).then_some(other)
    }

    /// Makes a connection this worker's own; it is admitted and assigned already.
    fn take_in(&mut self, stream: TcpStream, peer: SocketAddr, bind: u32) {
        let _ = stream.set_nodelay(true);
        let registry = self.poll.registry();
        let key = self.conns.insert_with(|key| {
            let mut socket = Socket::register(stream, key, registry)?;
            socket.assume_ready();
            Ok::<_, std::io::Error>(Conn::Down(Down {
                socket,
                alarm: Alarm::default(),
                peer,
                bind,
                in_line: false,
                active: None,
            }))
        });
        let Ok(key) = key else {
            self.cell().stats.refused.add("connection_not_registered");
            self.cell().unassign();
            self.shared.admission.release(&self.binds[bind as usize].open);
            return;
        };
        self.binds[bind as usize].connections += 1;
        self.cell().stats.connections.add(1);
        self.line_up(key);
    }

    /// Closes a client's connection.
    pub(crate) fn close_down(&mut self, key: Key, reset: bool) {
        let Some(Conn::Down(_)) = self.conns.get(key) else { return };
        if let Some(Conn::Down(down)) = self.conns.remove(key) {
            if reset {
                down.socket.reset_on_close();
            }
            down.socket.close(self.poll.registry());
            let bind = &mut self.binds[down.bind as usize];
            bind.connections = bind.connections.saturating_sub(1);
            self.shared.admission.release(&bind.open);
            self.cell().unassign();
            self.cell().stats.connections.sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(code: Errno) -> Failed {
        Failed::of(&std::io::Error::from_raw_os_error(code.raw_os_error()))
    }

    #[test]
    fn only_want_of_descriptors_or_memory_sends_a_client_away() {
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert_eq!(failed(code), Failed::Starved, "{code:?}");
        }
        assert_eq!(failed(Errno::AGAIN), Failed::Empty);
        assert_eq!(failed(Errno::WOULDBLOCK), Failed::Empty);
    }

    #[test]
    fn a_connection_that_died_in_the_backlog_is_passed_over() {
        // As accept(2) lists them, and those that TCP has besides.
        for code in [
            Errno::NETDOWN,
            Errno::PROTO,
            Errno::NOPROTOOPT,
            Errno::HOSTDOWN,
            Errno::NONET,
            Errno::HOSTUNREACH,
            Errno::OPNOTSUPP,
            Errno::NETUNREACH,
            Errno::CONNABORTED,
            Errno::CONNRESET,
            Errno::TIMEDOUT,
            Errno::PERM,
            Errno::INTR,
        ] {
            assert_eq!(failed(code), Failed::Lost, "{code:?}");
        }
    }

    #[test]
    fn what_would_be_there_again_at_once_waits() {
        for code in [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT] {
            assert_eq!(failed(code), Failed::Broken, "{code:?}");
        }
        assert_eq!(Failed::of(&std::io::Error::other("no code")), Failed::Broken);
    }
}
