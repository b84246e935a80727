//! The health thread: `/livez`, `/readyz`, `/healthz` and `/metrics` over HTTP/1.1.
//!
//! Laws:
//! 1. It waits for no other thread: it reads atomics, and what the control thread left under a short lock.
//! 2. At most [`MAX_CONNECTIONS`] at a time; one that is slow is closed. Only GET and HEAD, and no bodies.
//! 3. It answers even when the process has no descriptor left: some are kept for it ([`RESERVE`]), given up for as long
//!    as a connection lasts.
//! 4. It answers until the very end of a graceful stop.

mod checks;
mod connection;

use std::fs::File;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use fairlead_balance::Micros;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::diagnostics::{Level, say};
use crate::shared::{Phase, Shared};
use checks::Report;
use connection::{Connection, Progress};

const MAX_CONNECTIONS: usize = 64;
/// Descriptors kept for connections when there is no other. A worker may be quicker to take one that is given up, hence
/// several.
const RESERVE: usize = 4;
const BELL: Token = Token(MAX_CONNECTIONS);
const LISTENER: Token = Token(MAX_CONNECTIONS + 1);
const TICK: std::time::Duration = std::time::Duration::from_millis(500);

/// The health server.
pub(crate) struct Health {
    shared: Arc<Shared>,
    poll: Poll,
    listener: mio::net::TcpListener,
    connections: Vec<Option<Connection>>,
    address: SocketAddr,
    reserve: Vec<File>,
    /// Somebody waits whom there was no descriptor for, and no event will say so.
    starved: bool,
}

impl Health {
    /// Binds the configured address.
    pub(crate) fn new(shared: Arc<Shared>) -> io::Result<Self> {
        let socket = TcpListener::bind(shared.config.health_address)?;
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        let mut listener = mio::net::TcpListener::from_std(socket);
        let poll = Poll::new()?;
        shared.health_bell.hang(Waker::new(poll.registry(), BELL)?);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let connections = (0..MAX_CONNECTIONS).map(|_| None).collect();
        let mut health =
            Self { shared, poll, listener, connections, address, reserve: Vec::new(), starved: false };
        health.fill_reserve();
        Ok(health)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the process stops.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(MAX_CONNECTIONS);
        while self.shared.phase() < Phase::Stopped {
            if let Err(error) = self.poll.poll(&mut events, Some(TICK))
                && error.kind() != io::ErrorKind::Interrupted
            {
                say(Level::Error, "poll failed", &[("error", &error)]);
            }
            let now = self.shared.clock.now();
            let tokens: Vec<Token> = events.iter().map(mio::event::Event::token).collect();
            for token in tokens {
                match token {
                    LISTENER => self.accept(now),
                    BELL => {}
                    Token(index) => self.turn(index, now),
                }
            }
            for index in 0..MAX_CONNECTIONS {
                if self.connections[index].as_ref().is_some_and(|connection| connection.is_overdue(now)) {
                    self.connections[index] = None;
                }
            }
            if self.fill_reserve() && self.starved {
                self.accept(now);
            }
        }
    }

    /// Takes back what was given up, as far as possible. Says whether there is any.
    fn fill_reserve(&mut self) -> bool {
        while self.reserve.len() < RESERVE
            && let Ok(file) = File::open("/dev/null")
        {
            self.reserve.push(file);
        }
        !self.reserve.is_empty()
    }

    fn accept(&mut self, now: Micros) {
        self.starved = false;
        // Edge-triggered: all that wait. One above the limit is closed at once.
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let Some(index) = self.connections.iter().position(Option::is_none) else { continue };
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    if self.poll.registry().register(&mut stream, Token(index), interest).is_ok() {
                        self.connections[index] = Some(Connection::new(stream, now));
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => return,
                    // The client left before it was accepted.
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted => {}
                    _ => {
                        self.starved = true;
                        if self.reserve.pop().is_none() {
                            return;
                        }
                    }
                },
            }
        }
    }

    fn turn(&mut self, index: usize, now: Micros) {
        let shared = &self.shared;
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        let answer = |path: &str, verbose: bool| respond(shared, path, verbose, now);
        if connection.turn(now, &answer) == Progress::Over {
            self.connections[index] = None;
        }
    }
}

/// Status, content type and body.
pub(super) type Answer = (u16, &'static str, Vec<u8>);

const TEXT: &str = "text/plain; charset=utf-8";

fn respond(shared: &Shared, path: &str, verbose: bool, now: Micros) -> Answer {
    let checked = |report: Report| {
        let status = if report.ok() { 200 } else { 503 };
        (status, TEXT, report.text(verbose || status != 200).into_bytes())
    };
    match path {
        "/livez" => checked(checks::live(shared, now)),
        "/readyz" | "/healthz" => checked(checks::ready(shared)),
        "/metrics" => (200, crate::metrics::CONTENT_TYPE, crate::metrics::render(shared, now)),
        _ => (404, TEXT, b"not found\n".to_vec()),
    }
}
