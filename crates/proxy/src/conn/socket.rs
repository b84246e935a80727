//! A non-blocking TCP socket under edge-triggered polling.
//!
//! Laws:
//! 1. It is registered once, for both directions, and never again.
//! 2. `readable` and `writable` are what is known: an event sets them, a short read or write clears them. So a read
//!    that gave less than asked is not followed by one that only finds out that nothing is there; unless a hang-up was
//!    seen, which has no further edge.
//! 3. Options are set when it is made, never per request.
//! 4. Reads and writes are bare system calls: what the C library wraps around them (points of cancellation) costs as
//!    much as routing, and no thread here is ever cancelled.

use std::io::ErrorKind;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Interest, Registry};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use socket2::{SockRef, TcpKeepalive};

use super::buffer::Buffer;
use crate::exchange::{Death, DialError};
use crate::worker::slab::Key;

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadEnd {
    /// So many bytes came.
    Data(usize),
    /// Nothing is there now.
    Blocked,
    /// The peer has ended its direction.
    Eof,
    /// The connection is dead.
    Dead(Death),
}

/// What a look at a connection found on which nothing is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// Nothing is there.
    Kept,
    /// The peer has ended its direction, or the connection is dead.
    Ended,
    /// There are bytes.
    Broken,
}

/// The socket with what is known of its readiness.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts, in four bytes")]
pub(crate) struct Socket {
    stream: TcpStream,
    readable: bool,
    writable: bool,
    /// The peer has shut down its direction, or everything has failed: there may be no further edge.
    hung_up: bool,
    dead: bool,
}

impl Socket {
    /// Takes a connected or connecting socket into the poller.
    pub(crate) fn register(mut stream: TcpStream, key: Key, registry: &Registry) -> std::io::Result<Self> {
        registry.register(&mut stream, key.token(), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, readable: false, writable: false, hung_up: false, dead: false })
    }

    /// Notes what the poller saw.
    pub(crate) fn note(&mut self, event: &Event) {
        self.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        self.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        self.hung_up |= event.is_read_closed() || event.is_error();
        self.dead |= event.is_error() || event.is_write_closed();
    }

    /// An accepted socket can be written to, and its first bytes are usually there.
    pub(crate) fn assume_ready(&mut self) {
        self.readable = true;
        self.writable = true;
    }

    /// Whether a read may give something.
    pub(crate) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Whether a write may take something.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether the peer has ended its direction or the connection is dead.
    pub(crate) fn is_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Whether both directions are over.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead
    }

    /// Reads once into the buffer's room, which must not be empty.
    pub(crate) fn read(&mut self, buffer: &mut Buffer) -> ReadEnd {
        if !self.readable {
            return ReadEnd::Blocked;
        }
        let room = buffer.room();
        let asked = room.len();
        debug_assert!(asked > 0, "a read into nothing looks like the end of the stream");
        loop {
            return match recv(&self.stream, buffer.room(), RecvFlags::empty()) {
                Ok((_, 0)) => {
                    self.hung_up = true;
                    ReadEnd::Eof
                }
                Ok((_, count)) => {
                    buffer.fill(count);
                    self.readable = count == asked || self.hung_up;
                    ReadEnd::Data(count)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.readable = false;
                    ReadEnd::Blocked
                }
                Err(error) => {
                    self.hung_up = true;
                    self.dead = true;
                    ReadEnd::Dead(death(&error.into()))
                }
            };
        }
    }

    /// Looks whether something came, without taking it, whatever is known of its readiness.
    pub(crate) fn look(&self) -> Silence {
        loop {
            return match self.stream.peek(&mut [0]) {
                Ok(0) => Silence::Ended,
                Ok(_) => Silence::Broken,
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => continue,
                    ErrorKind::WouldBlock => Silence::Kept,
                    _ => Silence::Ended,
                },
            };
        }
    }

    /// Writes once; 0 if nothing can be taken now.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<usize, Death> {
        if !self.writable || bytes.is_empty() {
            return Ok(0);
        }
        loop {
            return match send(&self.stream, bytes, SendFlags::NOSIGNAL) {
                Ok(count) => {
                    self.writable = count == bytes.len();
                    Ok(count)
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.writable = false;
                    Ok(0)
                }
                Err(error) => {
                    self.hung_up = true;
                    self.readable = true;
                    self.dead = true;
                    Err(death(&error.into()))
                }
            };
        }
    }

    /// Ends our direction.
    pub(crate) fn shutdown_write(&self) {
        // Fails only on a connection that is gone already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Makes the close that follows a reset: the peer must not take a cut-off message for a whole one.
    pub(crate) fn reset_on_close(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// How the dial ended, or None while it goes on.
    pub(crate) fn dial_result(&self) -> Option<Result<(), DialError>> {
        match self.stream.take_error() {
            Ok(Some(error)) | Err(error) => return Some(Err(dial_error(&error))),
            Ok(None) => {}
        }
        match self.stream.peer_addr() {
            Ok(_) => Some(Ok(())),
            Err(error) if error.kind() == ErrorKind::NotConnected => None,
            Err(error) => Some(Err(dial_error(&error))),
        }
    }

    /// How long sent bytes may stay unacknowledged. A peer that just stops reading counts too (its window stays
    /// closed), so a body in the course of being sent gets a longer one.
    pub(crate) fn set_user_timeout(&self, timeout: Duration) {
        let _ = SockRef::from(&self.stream).set_tcp_user_timeout(Some(timeout));
    }

    /// Lets the kernel hold so little of what is sent that it takes a part at a time.
    #[cfg(test)]
    pub(crate) fn set_send_buffer(&self, bytes: usize) {
        SockRef::from(&self.stream).set_send_buffer_size(bytes).unwrap();
    }

    /// Takes it out of the poller and closes it.
    pub(crate) fn close(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.stream);
    }
}

/// Begins a dial with the options of an upstream connection.
pub(crate) fn dial(address: SocketAddr, user_timeout: Duration) -> Result<TcpStream, DialError> {
    let stream = TcpStream::connect(address).map_err(|error| dial_error(&error))?;
    let socket = SockRef::from(&stream);
    let _ = socket.set_tcp_nodelay(true);
    let _ = socket.set_tcp_user_timeout(Some(user_timeout));
    // A host that dies after it has acknowledged the request is noticed by nothing else.
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(3);
    let _ = socket.set_tcp_keepalive(&keepalive);
    Ok(stream)
}

fn dial_error(error: &std::io::Error) -> DialError {
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => {
            DialError::Refused
        }
        ErrorKind::TimedOut => DialError::TimedOut,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            DialError::Unreachable
        }
        _ => DialError::Local,
    }
}

fn death(error: &std::io::Error) -> Death {
    match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::NotConnected | ErrorKind::UnexpectedEof => Death::Closed,
        ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown => Death::Silent,
        _ => Death::Reset,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel says, what it means at the end of a dial, and under a request.
    const VERDICTS: [(Errno, DialError, Death); 17] = [
        (Errno::CONNREFUSED, DialError::Refused, Death::Reset),
        (Errno::CONNRESET, DialError::Refused, Death::Reset),
        (Errno::CONNABORTED, DialError::Refused, Death::Reset),
        (Errno::TIMEDOUT, DialError::TimedOut, Death::Silent),
        (Errno::HOSTUNREACH, DialError::Unreachable, Death::Silent),
        (Errno::NETUNREACH, DialError::Unreachable, Death::Silent),
        (Errno::NETDOWN, DialError::Unreachable, Death::Silent),
        (Errno::PIPE, DialError::Local, Death::Closed),
        (Errno::NOTCONN, DialError::Local, Death::Closed),
        (Errno::MFILE, DialError::Local, Death::Reset),
        (Errno::NFILE, DialError::Local, Death::Reset),
        (Errno::NOBUFS, DialError::Local, Death::Reset),
        (Errno::NOMEM, DialError::Local, Death::Reset),
        (Errno::ADDRNOTAVAIL, DialError::Local, Death::Reset),
        (Errno::ADDRINUSE, DialError::Local, Death::Reset),
        (Errno::PERM, DialError::Local, Death::Reset),
        (Errno::ACCESS, DialError::Local, Death::Reset),
    ];

    #[test]
    fn what_a_dials_error_says_of_the_endpoint() {
        for (errno, expected, _) in VERDICTS {
            assert_eq!(dial_error(&errno.into()), expected, "{errno}");
        }
    }

    #[test]
    fn how_a_connection_died() {
        for (errno, _, expected) in VERDICTS {
            assert_eq!(death(&errno.into()), expected, "{errno}");
        }
        assert_eq!(death(&ErrorKind::UnexpectedEof.into()), Death::Closed);
    }
}
