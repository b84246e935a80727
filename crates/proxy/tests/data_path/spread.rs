//! Clients' connections over the workers.

use std::net::TcpStream;

use fairlead_proxy::ProxyConfig;

use crate::support::{self, Backend, Client, Proxy};

const WORKERS: usize = 4;
const CONNECTIONS: u64 = 16;

#[test]
fn of_16_connections_no_worker_has_more_than_twice_as_many_as_another() {
    let backend = Backend::saying("ok");
    let config = ProxyConfig { workers: Some(WORKERS), ..support::config() };
    let proxy = Proxy::with(config, &[&backend]);
    let counts =
        || -> Vec<u64> { proxy.shared.workers.iter().map(|cell| cell.stats.connections.get()).collect() };
    for trial in 0..50 {
        let connect = |_| std::thread::spawn(move || TcpStream::connect(proxy.address).unwrap());
        let threads: Vec<_> = (0..CONNECTIONS).map(connect).collect();
        let clients: Vec<TcpStream> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        support::wait_until("all to be taken in", || counts().iter().sum::<u64>() == CONNECTIONS);
        let counts = counts();
        let (most, fewest) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
        assert!(*most <= 2 * fewest, "trial {trial}: {counts:?}");
        drop(clients);
        support::wait_until("all to be closed", || {
            proxy.shared.workers.iter().all(|cell| cell.stats.connections.get() == 0)
        });
    }
    proxy.finish();
}

#[test]
fn a_connection_that_was_handed_over_is_served() {
    let backend = Backend::saying("ok");
    let config = ProxyConfig { workers: Some(2), ..support::config() };
    let proxy = Proxy::with(config, &[&backend]);
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    proxy.finish();
}
