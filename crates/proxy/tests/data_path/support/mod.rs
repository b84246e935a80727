//! What the integration tests share: a proxy whose root is built directly through `shared`, backends in threads, and a
//! blocking client. Everything is on loopback and bounded by [`PATIENCE`].

mod backend;
mod client;
mod world;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

pub(crate) use backend::{Backend, Reader, answer, text};
pub(crate) use client::{Client, Response};
pub(crate) use world::{Proxy, Standing, config};

/// The longest that any wait may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `done`, for as long as [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < PATIENCE, "waited in vain for: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Lets time pass.
pub(crate) fn pause(millis: u64) {
    let until = Instant::now() + Duration::from_millis(millis);
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        std::thread::park_timeout(left);
    }
}

/// An address that refuses connections, for as long as the process lives: its port is bound, so that nobody else gets
/// it, and nothing listens on it.
pub(crate) fn refusing() -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

/// A reader over a connection that is also written to.
pub(crate) fn reader(stream: &std::net::TcpStream) -> Reader {
    Reader::new(stream.try_clone().unwrap())
}
