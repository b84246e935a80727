//! A panic ends one client's connection, not the worker.
//!
//! Law: after a panic everything that the connection held is let go of: its descriptor, its attempts' connections, its
//! in-flight guards, its place in the gauges. What it had borrowed from the worker (buffers, vectors) is lost, which
//! costs memory once and no more.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Worker;
use super::slab::Key;
use crate::conn::state::{Conn, Role};

impl Worker {
    /// Lets a connection act; if that panics, the connection ends.
    pub(super) fn guard(&mut self, key: Key, act: impl FnOnce(&mut Self)) {
        if catch_unwind(AssertUnwindSafe(|| act(self))).is_err() {
            self.cell().stats.refused.add("panic");
            self.clear_up(key);
        }
    }

    fn clear_up(&mut self, key: Key) {
        let client = match self.conns.get(key) {
            Some(Conn::Up(up)) => match up.role {
                Role::Busy(owner, _) | Role::Dialing(owner, _) => owner,
                Role::Spare(_) | Role::Idle | Role::Leaving => key,
            },
            _ => key,
        };
        self.close_up(key);
        self.close_down(client, true);
        let owned = |conn: &Conn| match conn {
            Conn::Up(up) => {
                matches!(up.role, Role::Busy(owner, _) | Role::Dialing(owner, _) if owner == client)
            }
            Conn::Down(_) => false,
        };
        let owned: Vec<Key> = self.conns.iter().filter(|(_, conn)| owned(conn)).map(|(key, _)| key).collect();
        for key in owned {
            self.close_up(key);
        }
        let open = |conn: &Conn| match conn {
            Conn::Down(down) => down.active.as_ref().is_some_and(|active| active.flow.account.open),
            Conn::Up(_) => false,
        };
        let open = self.conns.iter().filter(|(_, conn)| open(conn)).count();
        self.cell().stats.exchanges.set(open as u64);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::config::ProxyConfig;
    use crate::shared::{ListenSocket, Shared, WorkerMessage};

    #[test]
    fn a_panic_ends_its_connection_and_nothing_else() {
        let shared =
            Shared::new(ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() });
        let mut worker = Worker::new(shared.clone(), 0).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let mut clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        for client in &mut clients {
            client.write_all(b"GET / HTTP/1.1\r\nho").unwrap();
        }
        let open = std::sync::Arc::default();
        shared.workers[0].send(WorkerMessage::Listen(ListenSocket { address, shard: 0, socket, open }));
        let mut events = mio::Events::with_capacity(8);
        let stats = &shared.workers[0].stats;
        while stats.exchanges.get() < 2 {
            worker.turn(&mut events).unwrap();
        }
        let victim = worker.conns.iter().map(|(key, _)| key).next().unwrap();
        worker.guard(victim, |_| panic!("a test's panic"));
        assert_eq!((stats.connections.get(), stats.exchanges.get()), (1, 1));
        // The other one is served: nothing is routed here, so 404.
        for client in &mut clients {
            let _ = client.write_all(b"st: a.test\r\nconnection: close\r\n\r\n");
        }
        while stats.connections.get() > 0 {
            worker.turn(&mut events).unwrap();
        }
        let answers = clients.map(|mut client| {
            let mut answer = String::new();
            let _ = client.read_to_string(&mut answer);
            answer.get(..12).unwrap_or_default().to_owned()
        });
        assert!(
            answers.contains(&"HTTP/1.1 404".to_owned()) && answers.contains(&String::new()),
            "{answers:?}"
        );
        assert_eq!(stats.exchanges.get(), 0);
        assert_eq!(stats.refused.iter().collect::<Vec<_>>(), [("panic", 1)]);
    }
}
