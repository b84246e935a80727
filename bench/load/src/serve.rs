//! The backend: answers every GET from memory, two system calls per request.
//!
//! Laws:
//! 1. One thread, edge-triggered, registered once.
//! 2. Bounded in time.
//! 3. What asks for `/later` is answered [`LATER`] after it came: so many requests can be under way at once.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::message::{Answers, LATER_PATH, asks_for, head_length};

/// How long an answer that was asked for later is held back.
pub(crate) const LATER: Duration = Duration::from_secs(4);
const BUFFER: usize = 64 << 10;

struct Connection {
    stream: TcpStream,
    /// Of all connections ever, so that an answer held back never goes to a successor in the same place.
    serial: u64,
    /// Requests for later that the server has not taken note of yet.
    held: usize,
    /// A request that came in parts.
    head: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

/// An answer that is held back.
struct Held {
    until: Instant,
    place: usize,
    serial: u64,
}

struct Server {
    poll: Poll,
    listeners: Vec<TcpListener>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    accepted: u64,
    /// Soonest first.
    held: VecDeque<Held>,
    answers: Answers,
    buffer: Vec<u8>,
}

/// Serves on these ports for so long.
pub(crate) fn serve(address: IpAddr, ports: &[u16], time: Duration) -> io::Result<()> {
    let mut server = Server::listen(address, ports)?;
    println!("serving");
    let end = Instant::now() + time;
    let mut events = Events::with_capacity(1024);
    loop {
        let now = Instant::now();
        let mut left = end.saturating_duration_since(now);
        if left.is_zero() {
            return Ok(());
        }
        if let Some(until) = server.release(now) {
            left = left.min(until.saturating_duration_since(now));
        }
        server.turn(&mut events, left)?;
    }
}

impl Server {
    fn listen(address: IpAddr, ports: &[u16]) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listeners = Vec::new();
        for (index, port) in ports.iter().enumerate() {
            let mut listener = TcpListener::bind(SocketAddr::new(address, *port))?;
            poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
            listeners.push(listener);
        }
        Ok(Self {
            poll,
            listeners,
            connections: Vec::new(),
            free: Vec::new(),
            accepted: 0,
            held: VecDeque::new(),
            answers: Answers::default(),
            buffer: vec![0; BUFFER],
        })
    }

    /// Waits for events and handles them.
    fn turn(&mut self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &*events {
            let token = event.token().0;
            if token < self.listeners.len() {
                self.accept(token)?;
            } else {
                self.serve(token - self.listeners.len());
            }
        }
        Ok(())
    }

    fn accept(&mut self, listener: usize) -> io::Result<()> {
        loop {
            let mut stream = match self.listeners[listener].accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => continue,
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let token = Token(index + self.listeners.len());
            self.poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
            self.accepted += 1;
            let serial = self.accepted;
            self.connections[index] =
                Some(Connection { stream, serial, held: 0, head: Vec::new(), unsent: Vec::new() });
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(connection) = self.connections.get_mut(index).and_then(Option::as_mut) else { return };
        let done = connection.go_on(&self.answers, &mut self.buffer);
        for _ in 0..std::mem::take(&mut connection.held) {
            let until = Instant::now() + LATER;
            self.held.push_back(Held { until, place: index, serial: connection.serial });
        }
        if done.is_err() {
            self.connections[index] = None;
            self.free.push(index);
        }
    }

    /// Sends the answers that were held back long enough; gives when the next one is due.
    fn release(&mut self, now: Instant) -> Option<Instant> {
        while self.held.front()?.until <= now {
            let held = self.held.pop_front()?;
            let Some(connection) = self.connections[held.place].as_mut() else { continue };
            // An error shows again as an event, which ends the connection.
            if connection.serial == held.serial {
                let _ = connection.send(self.answers.to(b""));
            }
        }
        self.held.front().map(|held| held.until)
    }
}

impl Connection {
    /// Sends what was left over, then reads and answers until there is nothing to read. An error ends the connection.
    fn go_on(&mut self, answers: &Answers, buffer: &mut [u8]) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let unsent = std::mem::take(&mut self.unsent);
            self.send(&unsent)?;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.answer(answers, &buffer[..length])?;
                    if length < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn answer(&mut self, answers: &Answers, bytes: &[u8]) -> io::Result<()> {
        let mut pending = std::mem::take(&mut self.head);
        let mut rest = if pending.is_empty() {
            bytes
        } else {
            pending.extend_from_slice(bytes);
            &pending[..]
        };
        while let Some(end) = head_length(rest) {
            if asks_for(rest, LATER_PATH) {
                self.held += 1;
            } else {
                self.send(answers.to(&rest[..end]))?;
            }
            rest = &rest[end..];
        }
        if !rest.is_empty() {
            self.head = rest.to_vec();
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = if self.unsent.is_empty() {
            match self.stream.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                other => other?,
            }
        } else {
            0
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::message::request;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn connected(server: &mut Server) -> std::net::TcpStream {
        let address = server.listeners[0].local_addr().unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Turns until it is so.
    fn until(server: &mut Server, so: impl Fn(&Server) -> bool) {
        let mut events = Events::with_capacity(16);
        while !so(server) {
            server.turn(&mut events, PATIENCE).unwrap();
        }
    }

    #[test]
    fn an_answer_for_later_comes_when_it_is_due_and_to_nobody_else() {
        let mut server = Server::listen(Ipv4Addr::LOCALHOST.into(), &[0]).unwrap();
        let mut gone = connected(&mut server);
        gone.write_all(&request("a", LATER_PATH)).unwrap();
        until(&mut server, |server| server.held.len() == 1);
        drop(gone);
        until(&mut server, |server| server.free.len() == 1);

        // It takes the place of the one that has gone.
        let mut client = connected(&mut server);
        client.write_all(&request("a", LATER_PATH)).unwrap();
        until(&mut server, |server| server.held.len() == 2);
        let due = server.held[1].until;
        assert_eq!(server.release(due.checked_sub(Duration::from_nanos(1)).unwrap()), Some(due));
        client.set_nonblocking(true).unwrap();
        assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
        client.set_nonblocking(false).unwrap();

        assert_eq!(server.release(due), None);
        let mut answer = vec![0; server.answers.to(b"").len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, server.answers.to(b""));
    }
}
