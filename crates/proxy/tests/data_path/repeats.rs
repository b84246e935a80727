//! Attempts that fail: what is repeated, what never is, over real sockets.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::{self, Backend, Client, Proxy, text};

/// An address that does not answer: its backlog is full, so that the kernel drops what comes.
pub(crate) struct Silent {
    pub(crate) address: SocketAddr,
    listener: socket2::Socket,
    filling: Vec<socket2::Socket>,
}

impl Silent {
    pub(crate) fn new() -> Self {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut filling = Vec::new();
        for _ in 0..4 {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address.into());
            filling.push(socket);
        }
        support::pause(20);
        let refused = TcpStream::connect_timeout(&address, Duration::from_millis(100));
        assert!(refused.is_err(), "the backlog is not full");
        Self { address, listener, filling }
    }

    /// Accepts from now on, and answers the requests of the first connection that has some; gives their number at its
    /// end.
    fn wake(self) -> JoinHandle<usize> {
        drop(self.filling);
        let listener: TcpListener = self.listener.into();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
                let (mut writer, mut reader) = (stream.try_clone().unwrap(), support::reader(&stream));
                let mut count = 0;
                while reader.request().is_some() {
                    count += 1;
                    writer.write_all(&text("late")).unwrap();
                }
                if count > 0 {
                    return count;
                }
            }
            0
        })
    }
}

/// Reads one request whole, then closes without an answer; each id that it saw goes to `seen`.
fn dying(seen: &Arc<Mutex<Vec<String>>>) -> Backend {
    let seen = Arc::clone(seen);
    Backend::raw(move |stream, _| {
        if let Some(request) = support::reader(&stream).request() {
            seen.lock().unwrap().push(request.field("x-id").unwrap_or_default().to_owned());
        }
    })
}

/// Sends a request, with the body where the method may have one.
fn send(client: &mut Client, method: &str, id: usize, body: &str) -> u16 {
    let body = if matches!(method, "GET" | "HEAD") { "" } else { body };
    client.send(format!(
        "{method} / HTTP/1.1\r\nhost: app.test\r\nx-id: {id}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    ));
    client.response(method).status
}

#[test]
fn a_refused_dial_moves_on_for_any_method() {
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_members(&[support::refusing(), backend.address, support::refusing()]);
    let mut client = Client::connect(proxy.address);
    for id in 0..20 {
        for method in ["GET", "POST", "PATCH", "DELETE"] {
            assert_eq!(send(&mut client, method, id, "body"), 200, "{method} {id}");
        }
    }
    assert_eq!(backend.count(), 80);
    proxy.finish();
}

#[test]
fn nothing_but_refused_dials_is_502() {
    let backend = Backend::saying("unused");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_members(&[support::refusing(), support::refusing()]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 502);
    assert_eq!(client.post("/", b"x").status, 502);
    proxy.finish();
}

#[test]
fn without_retry_attempts_only_what_was_never_sent_moves_on() {
    let seen = Arc::default();
    let (bad, good) = (dying(&seen), Backend::saying("ok"));
    let mut proxy = Proxy::start(&[&bad, &good]);
    proxy.set_retry_attempts(0);
    let mut client = Client::connect(proxy.address);
    let mut statuses: Vec<u16> = (0..2).map(|id| send(&mut client, "GET", id, "")).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 502], "each had its turn, and what died was not repeated");
    assert_eq!((seen.lock().unwrap().len(), good.count()), (1, 1));
    proxy.set_members(&[support::refusing(), good.address]);
    for id in 2..6 {
        assert_eq!(send(&mut client, "POST", id, "body"), 200, "never sent: it moves on");
    }
    proxy.set_retry_attempts(1);
    proxy.set_members(&[bad.address, good.address]);
    for id in 6..10 {
        assert_eq!(send(&mut client, "GET", id, ""), 200, "repeated again");
    }
    proxy.finish();
}

#[test]
fn sent_and_died_is_repeated_for_idempotent_methods_only() {
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"] {
        let repeatable = !matches!(method, "POST" | "PATCH");
        let seen = Arc::default();
        let (bad, good) = (dying(&seen), Backend::saying("ok"));
        let proxy = Proxy::start(&[&bad, &good]);
        let mut client = Client::connect(proxy.address);
        let mut failed = 0;
        for id in 0..6 {
            match send(&mut client, method, id, "body") {
                200 => {}
                502 => failed += 1,
                status => panic!("{method}: {status}"),
            }
        }
        let died = seen.lock().unwrap().len();
        assert!(died > 0, "{method}: the dying endpoint was never tried");
        assert_eq!(failed, if repeatable { 0 } else { died }, "{method}");
        assert_eq!(good.count(), if repeatable { 6 } else { 6 - died }, "{method}");
        proxy.finish();
    }
}

#[test]
fn a_body_in_the_course_of_being_sent_is_never_repeated() {
    let backend = Backend::raw(|stream, _| {
        let mut reader = support::reader(&stream);
        reader.head();
        reader.exactly(4);
    });
    let other = Backend::raw(|stream, _| {
        let mut reader = support::reader(&stream);
        reader.head();
        reader.exactly(4);
    });
    let proxy = Proxy::start(&[&backend, &other]);
    let mut client = Client::connect(proxy.address);
    client.send("PUT / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 8\r\n\r\n");
    support::pause(50);
    client.send("part");
    assert_eq!(client.response("PUT").status, 502);
    let connections = backend.connections.load(Ordering::Relaxed) + other.connections.load(Ordering::Relaxed);
    assert_eq!(connections, 1);
    proxy.finish();
}

#[test]
fn a_response_byte_forbids_a_repeat() {
    let serve = |mut stream: TcpStream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.1 1").unwrap();
    };
    let (one, other) = (Backend::raw(serve), Backend::raw(serve));
    let proxy = Proxy::start(&[&one, &other]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 502);
    assert_eq!(one.connections.load(Ordering::Relaxed) + other.connections.load(Ordering::Relaxed), 1);
    proxy.finish();
}

#[test]
fn a_pooled_connection_closed_by_its_server_is_never_met_by_a_request() {
    // Closes each connection right after its first answer, without saying so.
    let backend = Backend::raw(|mut stream, _| {
        if support::reader(&stream).request().is_some() {
            stream.write_all(&text("once")).unwrap();
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for id in 0..50 {
        assert_eq!(send(&mut client, "GET", id, ""), 200, "request {id}");
    }
    proxy.finish();
}

#[test]
fn a_post_takes_a_pooled_connection_only_while_it_is_fresh() {
    let backend = Backend::saying("ok");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(send(&mut client, "GET", 0, ""), 200);
    assert_eq!(send(&mut client, "POST", 1, "body"), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1, "fresh");
    support::pause(1_100);
    assert_eq!(send(&mut client, "POST", 2, "body"), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "a second old");
    support::pause(1_100);
    assert_eq!(send(&mut client, "GET", 3, ""), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "good enough for what can be repeated");
    proxy.finish();
}

#[test]
fn no_post_is_executed_twice_whatever_the_endpoints_do() {
    // Executes each request; of every third connection it then drops the answer.
    let executed: Arc<Mutex<HashMap<String, usize>>> = Arc::default();
    let backends: Vec<Backend> = (0..3)
        .map(|_| {
            let executed = Arc::clone(&executed);
            Backend::raw(move |mut stream, number| {
                let mut reader = support::reader(&stream);
                let mut served = 0;
                while let Some(request) = reader.request() {
                    let id = request.field("x-id").unwrap_or_default().to_owned();
                    *executed.lock().unwrap().entry(id).or_default() += 1;
                    served += 1;
                    if (number + served) % 3 == 0 || stream.write_all(&text("done")).is_err() {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut proxy = Proxy::start(&backends.iter().collect::<Vec<_>>());
    let mut members: Vec<_> = backends.iter().map(|backend| backend.address).collect();
    members.push(support::refusing());
    proxy.set_members(&members);
    let address = proxy.address;
    let answered = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let answered = Arc::clone(&answered);
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                for id in 0..100 {
                    let status = send(&mut client, "POST", thread * 1_000 + id, "body");
                    assert!(matches!(status, 200 | 502), "{status}");
                    answered.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let executed = executed.lock().unwrap().clone();
    assert!(executed.values().all(|times| *times == 1), "{executed:?}");
    assert!(answered.load(Ordering::Relaxed) > 100 && executed.len() > answered.load(Ordering::Relaxed));
    proxy.finish();
}

#[test]
fn a_dial_without_an_answer_is_hedged() {
    let silent = Silent::new();
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_members(&[silent.address]);
    proxy.set_members(&[silent.address, backend.address]);
    let mut client = Client::connect(proxy.address);
    let mut slow = 0;
    for id in 0..6 {
        let start = Instant::now();
        assert_eq!(send(&mut client, if id % 2 == 0 { "GET" } else { "POST" }, id, ""), 200);
        let took = start.elapsed();
        assert!(took < Duration::from_millis(900), "{took:?}: waited for the dial to end");
        slow += u32::from(took >= Duration::from_millis(190));
    }
    assert!(slow >= 1, "the silent endpoint was tried");
    assert!(slow <= 3, "and then passed over: {slow}");
    assert!(proxy.endpoint(silent.address).load.is_suspect());
    proxy.finish();
}

#[test]
fn the_loser_of_a_hedge_finishes_into_the_pool_and_is_used() {
    let late = Silent::new();
    let backend = Backend::saying("ok");
    let mut config = support::config();
    // The kernel asks again after a second.
    config.timeouts.connect_ms = 5_000;
    config.timeouts.upstream_unacked_ms = 5_000;
    config.timeouts.upstream_idle_ms = 20_000;
    let mut proxy = Proxy::with(config, &[]);
    proxy.set_members(&[late.address, backend.address]);
    let endpoint = Arc::clone(proxy.endpoint(late.address));
    let mut client = Client::connect(proxy.address);
    let hedged = (0..2).any(|id| {
        assert_eq!(send(&mut client, "GET", id, ""), 200);
        endpoint.load.is_suspect()
    });
    assert!(hedged, "it was one of two endpoints' turn");
    let served = late.wake();
    support::wait_until("the loser's connection", || !endpoint.load.is_suspect());
    let open = || endpoint.load.connections();
    assert_eq!(open(), 1);
    let late_answers = (0..6).filter(|_| client.get("/").text() == "late").count();
    assert_eq!((late_answers, open()), (3, 1), "its turns are served on the connection that came late");
    proxy.finish();
    assert_eq!(served.join().unwrap(), 3);
}

#[test]
fn idle_connections_of_a_suspect_endpoint_are_passed_over_until_a_dial_succeeds() {
    let backend = Backend::saying("ok");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(send(&mut client, "GET", 0, ""), 200);
    let load = &proxy.endpoint(backend.address).load;
    load.suspected(proxy.shared.clock.now());
    assert_eq!(send(&mut client, "GET", 1, ""), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2, "a new dial");
    assert!(!load.is_suspect());
    assert_eq!(send(&mut client, "GET", 2, ""), 200);
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2);
    proxy.finish();
}

#[test]
fn nothing_but_silence_is_504_after_the_dials() {
    let silent = Silent::new();
    let backend = Backend::saying("unused");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_members(&[silent.address]);
    let start = Instant::now();
    assert_eq!(Client::connect(proxy.address).get("/").status, 504);
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    proxy.finish();
}
