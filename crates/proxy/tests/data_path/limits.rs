//! Endpoints that may have only so many connections.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use crate::repeats::Silent;
use crate::support::{self, Backend, Client, Proxy, config, text};
use fairlead_balance::{Policy, StatusClass};

const GET: &str = "GET / HTTP/1.1\r\nhost: app.test\r\n\r\n";

/// Holds back the answers of backends until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    fn backend(&self, word: &'static str) -> Backend {
        self.answering(move || text(word))
    }

    fn answering(&self, answer: impl Fn() -> Vec<u8> + Send + Sync + 'static) -> Backend {
        let gate = self.clone();
        Backend::http(move |_| {
            let open =
                gate.0.1.wait_timeout_while(gate.0.0.lock().unwrap(), support::PATIENCE, |open| !*open);
            drop(open);
            answer()
        })
    }
}

/// A client whose request has reached a backend, which does not answer yet.
fn waiting(proxy: &Proxy, backends: &[&Backend]) -> Client {
    let seen = || backends.iter().map(|backend| backend.count()).sum::<usize>();
    let before = seen();
    let mut client = Client::connect(proxy.address);
    client.send(GET);
    support::wait_until("the request at a backend", || seen() > before);
    client
}

/// A proxy in which a dial, and waiting for a connection, may take so long.
fn patient(workers: usize, connect_ms: u64, backends: &[&Backend]) -> Proxy {
    let mut config = fairlead_proxy::ProxyConfig { workers: Some(workers), ..config() };
    config.timeouts.connect_ms = connect_ms;
    Proxy::with(config, backends)
}

fn connections(proxy: &Proxy, backend: &Backend) -> u32 {
    proxy.endpoint(backend.address).load.connections()
}

#[test]
fn an_endpoint_at_its_limit_is_passed_over_and_all_at_theirs_overflow() {
    for policy in [Policy::RoundRobin, Policy::PeakEwma] {
        let gate = Gate::default();
        let backends = [gate.backend("a"), gate.backend("b"), gate.backend("c")];
        let all: Vec<&Backend> = backends.iter().collect();
        let mut proxy = patient(1, 50, &all);
        proxy.set_policy(policy);
        proxy.set_limit(Some(2));
        let mut held: Vec<Client> = (0..6).map(|_| waiting(&proxy, &all)).collect();
        for backend in &backends {
            assert_eq!(connections(&proxy, backend), 2);
        }
        // For any method, and the client's connection lives on.
        let mut late = Client::connect(proxy.address);
        assert_eq!((late.get("/").status, late.post("/", b"x").status), (503, 503));
        assert_eq!(proxy.overflows(), 2);
        gate.open();
        let mut words: Vec<String> = held.iter_mut().map(|client| client.response("GET").text()).collect();
        words.sort();
        assert_eq!(words, ["a", "a", "b", "b", "c", "c"]);
        assert_eq!(late.get("/").status, 200);
        for backend in &backends {
            let endpoint = proxy.endpoint(backend.address);
            assert_eq!((connections(&proxy, backend), endpoint.dial_failures()), (2, 0));
            assert!(!endpoint.load.is_suspect());
            assert_eq!(endpoint.load.requests(StatusClass::NoResponse), 0, "a limit is nobody's failure");
        }
        proxy.finish();
    }
}

#[test]
fn workers_share_the_limit_and_idle_connections_go_where_they_are_needed() {
    const CLIENTS: usize = 12;
    let backend = Backend::saying("ok");
    let mut proxy = patient(4, 10_000, &[&backend]);
    proxy.set_limit(Some(2));
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let used = proxy.shared.workers.iter().filter(|cell| cell.stats.connections.get() > 0).count();
    assert!(used > 1, "the clients are at several workers");
    let endpoint = Arc::clone(proxy.endpoint(backend.address));
    let (stop, highest) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let watching = std::thread::spawn({
        let (stop, highest, endpoint) = (Arc::clone(&stop), Arc::clone(&highest), Arc::clone(&endpoint));
        move || {
            while !stop.load(Ordering::Relaxed) {
                highest.fetch_max(endpoint.load.connections(), Ordering::Relaxed);
                std::thread::yield_now();
            }
        }
    });
    // One request at a time, each time at another worker: the connections are idle at others.
    for round in 0..20 {
        for (index, client) in clients.iter_mut().enumerate() {
            let status = if round % 2 == 0 { client.get("/").status } else { client.post("/", b"x").status };
            assert_eq!(status, 200, "round {round}, client {index}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    watching.join().unwrap();
    assert!((1..=2).contains(&highest.load(Ordering::Relaxed)));
    assert_eq!((backend.count(), proxy.overflows()), (CLIENTS * 21, 0));
    proxy.finish();
}

#[test]
fn as_many_as_there_are_connections_wait_in_each_worker_and_get_what_comes_free_anywhere() {
    const LATE: usize = 8;
    for field in ["connection: keep-alive", "connection: close"] {
        let gate = Gate::default();
        let backend = gate.answering(move || support::answer("200 OK", &[field], b"ok"));
        let mut proxy = patient(2, 10_000, &[&backend]);
        proxy.set_limit(Some(1));
        let mut held = waiting(&proxy, &[&backend]);
        let mut late: Vec<Client> = (0..LATE).map(|_| Client::connect(proxy.address)).collect();
        support::wait_until("clients at both workers", || {
            proxy.shared.workers.iter().map(|cell| cell.stats.connections.get()).sum::<u64>()
                == LATE as u64 + 1
        });
        assert!(proxy.shared.workers.iter().all(|cell| cell.stats.connections.get() > 1));
        for client in &mut late {
            client.send(GET);
        }
        support::wait_until("those that nobody waits for", || proxy.overflows() == LATE as u64 - 2);
        assert_eq!(backend.count(), 1);
        gate.open();
        assert_eq!(held.response("GET").status, 200);
        let served =
            late.iter_mut().map(|client| client.response("GET").status).filter(|status| *status == 200);
        assert_eq!(served.count(), 2, "one of each worker");
        assert_eq!((backend.count(), proxy.overflows()), (3, LATE as u64 - 2));
        proxy.finish();
    }
}

#[test]
fn more_load_than_connections_is_answered_or_refused_and_never_above_the_limit() {
    let open = Arc::new(AtomicUsize::new(0));
    let backends: Vec<Backend> = (0..2).map(|_| Backend::saying("ok")).collect();
    let mut proxy = patient(2, 20, &backends.iter().collect::<Vec<_>>());
    proxy.set_limit(Some(1));
    let address = proxy.address;
    let (served, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let (served, refused) = (Arc::clone(&served), Arc::clone(&refused));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for round in 0..200 {
                    let response = if round % 3 == 0 { client.post("/", b"x") } else { client.get("/") };
                    match response.status {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        503 => refused.fetch_add(1, Ordering::Relaxed),
                        other => panic!("{other}"),
                    };
                }
            })
        })
        .collect();
    while threads.iter().any(|thread| !thread.is_finished()) {
        for backend in &backends {
            let now = connections(&proxy, backend);
            open.fetch_max(now as usize, Ordering::Relaxed);
        }
        std::thread::yield_now();
    }
    for thread in threads {
        thread.join().unwrap();
    }
    let (served, refused) = (served.load(Ordering::Relaxed), refused.load(Ordering::Relaxed));
    assert_eq!((served + refused, refused as u64), (1_600, proxy.overflows()));
    assert!(served > 0);
    assert_eq!(open.load(Ordering::Relaxed), 1);
    proxy.finish();
}

#[test]
fn a_request_that_needs_a_new_connection_gets_the_place_of_an_idle_one() {
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_limit(Some(1));
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 200);
    // A POST takes no connection that was idle for a second.
    support::pause(1_050);
    assert_eq!(client.post("/", b"x").status, 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2);
    // Whether a suspect endpoint lives is told by a dial.
    proxy.endpoint(backend.address).load.suspected(proxy.shared.clock.now());
    assert_eq!(client.get("/").status, 200);
    assert_eq!((backend.connections.load(Ordering::Relaxed), connections(&proxy, &backend)), (3, 1));
    proxy.finish();
}

#[test]
fn a_tunnel_keeps_its_place_until_its_end() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        let head = reader.head().unwrap_or_default();
        if !head.contains("websocket") {
            let _ = stream.write_all(&text("plain"));
            return;
        }
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
            )
            .unwrap();
        let _ = stream.read(&mut [0; 1]);
    });
    let mut proxy = patient(1, 50, &[&backend]);
    proxy.set_limit(Some(1));
    let mut tunnel = Client::connect(proxy.address);
    tunnel.send("GET / HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(tunnel.head().status, 101);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 503);
    drop(tunnel);
    support::wait_until("the tunnel's end", || connections(&proxy, &backend) == 0);
    assert_eq!(client.get("/").text(), "plain");
    proxy.finish();
}

#[test]
fn dials_that_fail_or_lose_give_their_places_back() {
    let (backend, silent) = (Backend::saying("ok"), Silent::new());
    let refusing = support::refusing();
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_limit(Some(1));
    proxy.set_members(&[silent.address, refusing, backend.address]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..6 {
        assert_eq!(client.get("/").status, 200);
    }
    let left = |address| proxy.endpoint(address).load.connections();
    assert_eq!(left(refusing), 0);
    // The hedged dial's loser goes on until its own end.
    assert!(left(silent.address) <= 1);
    support::wait_until("the late dial's end", || left(silent.address) == 0);
    proxy.finish();
}

#[test]
fn a_busy_endpoint_is_worth_more_than_one_whose_dials_fail() {
    let gate = Gate::default();
    let backend = gate.backend("ok");
    let refusing = support::refusing();
    let mut proxy = patient(1, 50, &[&backend]);
    proxy.set_limit(Some(1));
    proxy.set_members(&[refusing, backend.address]);
    let now = proxy.shared.clock.now();
    for _ in 0..2 {
        proxy.endpoint(refusing).load.dial_failed(now);
    }
    let mut held = waiting(&proxy, &[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 503, "an overflow, not 502");
    assert_eq!((proxy.overflows(), proxy.endpoint(refusing).dial_failures()), (1, 0));
    gate.open();
    assert_eq!(held.response("GET").status, 200);
    proxy.finish();
}

#[test]
fn a_lowered_limit_takes_the_place_of_connections_as_they_are_used() {
    let gate = Gate::default();
    let backend = gate.backend("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_limit(Some(5));
    let mut clients: Vec<Client> = (0..5).map(|_| waiting(&proxy, &[&backend])).collect();
    assert_eq!(connections(&proxy, &backend), 5);
    proxy.set_limit(Some(2));
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response("GET").status, 200, "what runs is finished");
    }
    // Each connection above the limit goes after its next use, or its idle time.
    for _ in 0..3 {
        assert_eq!(clients[0].get("/").status, 200);
    }
    support::wait_until("the new limit", || connections(&proxy, &backend) == 2);
    proxy.set_limit(None);
    assert_eq!(clients[0].get("/").status, 200);
    proxy.finish();
}

#[test]
fn a_gone_endpoint_gives_its_places_back() {
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_limit(Some(1));
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 200);
    let old = Arc::clone(proxy.endpoint(backend.address));
    proxy.set_members(&[]);
    assert_eq!(client.get("/").status, 503);
    proxy.set_members(&[backend.address]);
    assert_eq!(client.get("/").status, 200, "another identity, another count");
    support::wait_until("the idle connection's end", || old.load.connections() == 0);
    assert_eq!(proxy.overflows(), 0, "no endpoint is no overflow");
    proxy.finish();
}
