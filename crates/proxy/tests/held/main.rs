//! What a slow peer may cost: at most 64 KiB of memory per connection, and the fast peer is held up.
//!
//! The access log is on, as by default: what it remembers of a request counts. Memory is what the whole process holds, counted by its allocator; clients and backends keep to their stacks. What the
//! kernel holds in its socket buffers comes on top, and bounds what the fast peer gets rid of.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

#[expect(dead_code, unused_imports, reason = "shared with the tests of the data path, which use all of it")]
#[path = "../data_path/support/mod.rs"]
mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use fairlead_counting_alloc::{Counting, held};
use fairlead_proxy::ProxyConfig;
use support::{Backend, Proxy};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Connections that are slow at the same time.
const CONNECTIONS: usize = 16;
/// What each of them may cost.
const MOST: u64 = 64 << 10;
/// Nothing has moved three times for so long: everything that can be full is.
const QUIET_MS: u64 = 100;
/// Who floods looks so often whether the case is over; nobody is stuck for so long before.
const STUCK: Duration = Duration::from_millis(700);
const HEAD: &str = "host: app.test\r\nuser-agent: test\r\naccept: */*\r\n";
const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\n";

/// What one side does once the request's head has passed.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Neither reads nor writes.
    Nothing,
    /// Writes these bytes again and again, and reads nothing.
    Floods(&'static [u8]),
    /// Answers each further request with these bytes.
    Answers(&'static [u8]),
}

/// One case: the request, what answers it, and what both do then.
struct Case {
    name: &'static str,
    request: String,
    client: Does,
    answer: String,
    backend: Does,
}

fn cases() -> Vec<Case> {
    const DATA: &[u8] = &[b'x'; 16 << 10];
    let get = format!("GET / HTTP/1.1\r\n{HEAD}\r\n");
    let put = |framing| format!("PUT / HTTP/1.1\r\n{HEAD}{framing}\r\n\r\n");
    // In a field that is logged.
    let large = |head: &str| format!("{head}x-request-id: {}\r\n", "x".repeat(40_000));
    let large_answer = |head: &str| format!("{head}x-large: {}\r\n\r\n", "x".repeat(36_000));
    // As large as a head may be without being large, in all the fields that are logged.
    let logged = ["user-agent", "x-request-id", "x-forwarded-for"];
    let logged = logged.map(|name| format!("{name}: {}\r\n", "x".repeat(520))).concat();
    let wordy = format!("GET /{} HTTP/1.1\r\nhost: app.test\r\n{logged}\r\n", "x".repeat(1_800));
    // It gains a blank on its way, for which there is no room in front of it.
    let growing = large_answer("HTTP/1.1 200 OK\r\ncontent-length:600\r\n") + &"x".repeat(600);
    // The same behind large interim heads: one that fills the buffer, and several that fill it together.
    let early = |fields: usize| format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "x".repeat(fields));
    let hinted = early(36_000) + &early(12_000).repeat(3) + &growing;
    let (whole, body) = (40_960, 1_024);
    let post = format!("POST / HTTP/1.1\r\n{HEAD}content-length: {body}\r\nx-large: ");
    let post = format!("{post}{}\r\n\r\n{}", "x".repeat(whole - post.len() - 4 - body), "x".repeat(body));
    let chunks: &[u8] = format!("400\r\n{}\r\n", "x".repeat(0x400)).repeat(16).leak().as_bytes();
    let pipelined: &[u8] = b"GET / HTTP/1.1\r\nhost: app.test\r\n\r\n".repeat(400).leak();
    let (length, chunked) = ("content-length: 1000000000", "transfer-encoding: chunked");
    vec![
        Case {
            name: "a client that does not read a body with a length",
            request: get.clone(),
            client: Does::Nothing,
            answer: "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned(),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "a client that does not read a chunked body",
            request: get.clone(),
            client: Does::Nothing,
            answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            backend: Does::Floods(chunks),
        },
        Case {
            name: "a client that does not read a body that ends with the connection",
            request: get.clone(),
            client: Does::Nothing,
            answer: "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "a client that does not read the answers to what it pipelines",
            request: get.clone(),
            client: Does::Floods(pipelined),
            answer: "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n".to_owned(),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "an endpoint that does not read a body with a length",
            request: put(length),
            client: Does::Floods(DATA),
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "an endpoint that does not read a chunked body",
            request: put(chunked),
            client: Does::Floods(chunks),
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "an endpoint that does not read a body behind a large head",
            request: large(&put(length)[..put(length).len() - 2]) + "\r\n",
            client: Does::Floods(DATA),
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "both directions of a tunnel at once",
            request: format!("GET / HTTP/1.1\r\n{HEAD}{UPGRADE}\r\n"),
            client: Does::Floods(DATA),
            answer: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                .to_owned(),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "a client that does not end a large head",
            request: large(&get[..get.len() - 2]),
            client: Does::Nothing,
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "a client that does not end its body",
            request: put(length) + "some",
            client: Does::Nothing,
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "a client that does not read a large head and what follows",
            request: get.clone(),
            client: Does::Nothing,
            answer: large_answer("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n"),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "a client that does not read a large head and a body that ends with the connection",
            request: get.clone(),
            client: Does::Nothing,
            answer: large_answer("HTTP/1.1 200 OK\r\n"),
            backend: Does::Floods(DATA),
        },
        Case {
            name: "an endpoint that answers a large head late, and a client that pipelines behind it",
            request: large(&get[..get.len() - 2]) + "\r\n",
            client: Does::Floods(pipelined),
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "an endpoint that does not answer a large head with a small body",
            request: post,
            client: Does::Nothing,
            answer: String::new(),
            backend: Does::Nothing,
        },
        Case {
            name: "a client that pipelines and does not read large heads that grow on their way",
            request: get.clone(),
            client: Does::Floods(pipelined),
            answer: growing.clone(),
            backend: Does::Answers(growing.leak().as_bytes()),
        },
        Case {
            name: "a client that pipelines and does not read large heads of interim answers",
            request: get.clone(),
            client: Does::Floods(pipelined),
            answer: hinted.clone(),
            backend: Does::Answers(hinted.leak().as_bytes()),
        },
        Case {
            name: "a client of HTTP/1.0 that does not read a chunked body",
            request: format!("GET / HTTP/1.0\r\n{HEAD}\r\n"),
            client: Does::Nothing,
            answer: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned(),
            backend: Does::Floods(chunks),
        },
        Case {
            name: "an endpoint that does not end a large head, and a client that pipelines",
            request: wordy,
            client: Does::Floods(pipelined),
            answer: large_answer("HTTP/1.1 200 OK\r\n").trim_end().to_owned(),
            backend: Does::Nothing,
        },
        Case {
            name: "an endpoint that does not end its head",
            request: get.clone(),
            client: Does::Nothing,
            answer: "HTTP/1.1 200 OK\r\nserver: slow\r\n".to_owned(),
            backend: Does::Nothing,
        },
        Case {
            name: "an idle tunnel",
            request: format!("GET / HTTP/1.1\r\n{HEAD}{UPGRADE}\r\n"),
            client: Does::Nothing,
            answer: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
                .to_owned(),
            backend: Does::Nothing,
        },
    ]
}

/// What the threads share.
#[derive(Default)]
struct Stage {
    /// Bytes that the kernel took from those who flood.
    moved: AtomicU64,
    over: AtomicBool,
}

impl Stage {
    /// Does so until the case is over, or the connection.
    fn act(&self, stream: &mut TcpStream, does: Does) {
        match does {
            Does::Nothing => {
                while !self.is_over() {
                    support::pause(20);
                }
            }
            Does::Answers(bytes) => {
                while skip_head(stream) && stream.write_all(bytes).is_ok() {
                    self.moved.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                }
            }
            Does::Floods(bytes) => {
                stream.set_write_timeout(Some(STUCK)).unwrap();
                // A write that is given up may have taken a part: the rest is next, or chunks would lose their framing.
                let mut at = 0;
                loop {
                    match stream.write(&bytes[at..]) {
                        Ok(count) => {
                            self.moved.fetch_add(count as u64, Ordering::Relaxed);
                            at = (at + count) % bytes.len();
                        }
                        Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_over() => {}
                        Err(_) => return,
                    }
                }
            }
        }
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits until nothing moves any more.
    fn settle(&self) {
        let (mut before, mut quiet) = ((u64::MAX, u64::MAX), 0);
        support::wait_until("everything that can be full is", || {
            let now = (self.moved.load(Ordering::Relaxed), held());
            quiet = if now == before { quiet + 1 } else { 0 };
            before = now;
            support::pause(QUIET_MS);
            quiet == 3
        });
    }
}

/// Reads up to the end of a head, without allocating and with nothing behind it.
fn skip_head(stream: &mut TcpStream) -> bool {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        if stream.read_exact(&mut last[3..]).is_err() {
            return false;
        }
    }
    true
}

/// What all of a kernel's buffers of one exchange hold at most: sender and receiver of two connections.
fn kernel_buffers() -> u64 {
    let largest = |name| {
        let sizes = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{name}")).unwrap();
        sizes.split_whitespace().next_back().unwrap().parse::<u64>().unwrap()
    };
    2 * (largest("tcp_rmem") + largest("tcp_wmem"))
}

/// Bytes held per connection, and bytes that those who flood got rid of per connection.
fn measure(case: &Case) -> (u64, u64) {
    let stage = Arc::new(Stage::default());
    let (answer, does, backends) = (case.answer.clone(), case.backend, Arc::clone(&stage));
    let backend = Backend::raw(move |mut stream, _| {
        if skip_head(&mut stream) && stream.write_all(answer.as_bytes()).is_ok() {
            backends.act(&mut stream, does);
        }
    });
    // Many answers make many lines, and those are the worker's, not the connections'.
    let access_log = !matches!(case.backend, Does::Answers(_));
    let config = ProxyConfig { access_log, ..support::config() };
    let proxy = Proxy::with(config, &[&backend]);
    let (shared, ended) = (Arc::clone(&proxy.shared), Arc::clone(&stage));
    let reader = std::thread::spawn(move || {
        while !ended.is_over() {
            drop(shared.workers[0].log.drain(Vec::new()));
            support::pause(20);
        }
    });
    stage.settle();
    let before = held();
    let clients: Vec<TcpStream> =
        (0..CONNECTIONS).map(|_| TcpStream::connect(proxy.address).unwrap()).collect();
    let mut threads = Vec::new();
    for mut stream in &clients {
        stream.write_all(case.request.as_bytes()).unwrap();
        if matches!(case.client, Does::Floods(_)) {
            let (mut stream, does, clients) = (stream.try_clone().unwrap(), case.client, Arc::clone(&stage));
            threads.push(std::thread::spawn(move || clients.act(&mut stream, does)));
        }
    }
    stage.settle();
    assert!(proxy.in_flight() >= CONNECTIONS as u64, "{}: none has ended", case.name);
    let held = held().saturating_sub(before) / CONNECTIONS as u64;
    let moved = stage.moved.load(Ordering::Relaxed) / CONNECTIONS as u64;
    stage.over.store(true, Ordering::Relaxed);
    for stream in &clients {
        // One that flooded may have been reset meanwhile: its peer ended with bytes unread.
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    drop(clients);
    for thread in threads.into_iter().chain([reader]) {
        thread.join().unwrap();
    }
    proxy.finish();
    (held, moved)
}

/// One test for all cases: what is counted is the process's, so two must not run at once.
#[test]
fn a_slow_peer_costs_at_most_64_kib_and_holds_up_the_fast_one() {
    let kernel = kernel_buffers();
    let mut over = Vec::new();
    for case in cases() {
        let (held, moved) = measure(&case);
        println!("{}: {held} bytes held, {moved} bytes taken, per connection", case.name);
        if held > MOST || moved > kernel + MOST {
            over.push((case.name, held, moved));
        }
    }
    assert!(over.is_empty(), "bytes held and taken per connection: {over:?}");
}
