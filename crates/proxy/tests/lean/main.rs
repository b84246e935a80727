//! What a request may cost, where no busy machine can blur it: no heap allocation.
//!
//! Every thread of this process is counted, so clients and backends keep to fixed buffers while they are.
#![allow(clippy::unwrap_used, reason = "a test's failure is a panic")]

#[expect(dead_code, unused_imports, reason = "shared with the tests of the data path, which use all of it")]
#[path = "../data_path/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairlead_counting_alloc::{Counting, allocations};
use fairlead_proxy::ProxyConfig;
use fairlead_proxy::internals::{HashOn, Shared};
use support::{Backend, Proxy};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: usize = 64;
const WARM_UP: usize = 300;
const ROUNDS: usize = 200;
const WINDOWS: usize = 20;

/// Answers each read that ends a head, without allocating.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let mut buffer = [0; 8 << 10];
    let mut held = 0;
    while let Ok(count @ 1..) = stream.read(&mut buffer[held..]) {
        held += count;
        // A request here is a head, or a head whose body of one byte is an end of line.
        if buffer[..held].ends_with(b"\r\n\r\n") || buffer[..held].ends_with(b"\r\n\r\n\n") {
            held = 0;
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// All connections at once ask and are answered, again and again.
struct Clients {
    streams: Vec<TcpStream>,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Clients {
    fn connect(proxy: &Proxy, request: &str, answer_length: usize) -> Self {
        let connect = |_| {
            let stream = TcpStream::connect(proxy.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
            stream
        };
        Self {
            streams: (0..CONNECTIONS).map(connect).collect(),
            request: request.as_bytes().to_vec(),
            answer: vec![0; answer_length],
        }
    }

    fn rounds(&mut self, count: usize) {
        for _ in 0..count {
            for stream in &mut self.streams {
                stream.write_all(&self.request).unwrap();
            }
            for stream in &mut self.streams {
                stream.read_exact(&mut self.answer).unwrap();
                assert!(
                    self.answer.starts_with(b"HTTP/1.1 200 "),
                    "{}",
                    String::from_utf8_lossy(&self.answer)
                );
                assert!(self.answer.ends_with(b"x"));
            }
        }
    }
}

/// Reads the access log until it is told to end, as the log thread does.
fn read_log(shared: &Shared, over: &AtomicBool) {
    let mut lines = Vec::new();
    while !over.load(Ordering::Relaxed) {
        lines = shared.workers[0].log.drain(lines);
        support::pause(50);
    }
}

fn allocations_while_saturated(
    request: &str,
    answer: &[u8],
    access_log: bool,
    hash_on: Option<&HashOn>,
) -> u64 {
    let answer: &'static [u8] = answer.to_vec().leak();
    let backends: Vec<_> =
        (0..4).map(|_| Backend::raw(move |stream, _| answer_all(stream, answer))).collect();
    let config = ProxyConfig { access_log, ..support::config() };
    let mut proxy = Proxy::with(config, &backends.iter().collect::<Vec<_>>());
    if let Some(on) = hash_on {
        proxy.hash_on(on.clone());
    }
    let (shared, over) = (Arc::clone(&proxy.shared), Arc::new(AtomicBool::new(false)));
    let ended = Arc::clone(&over);
    let reader = std::thread::spawn(move || read_log(&shared, &ended));
    // The proxy passes the answer on as it is; this is checked by the answer's last byte.
    let mut clients = Clients::connect(&proxy, request, answer.len());
    clients.rounds(WARM_UP);
    let dialled =
        || backends.iter().map(|backend| backend.connections.load(Ordering::Relaxed)).sum::<usize>();
    // A dial allocates (and so does the backend's thread for it, a moment later), and how requests spread over the endpoints is drawn: a round may need more connections to
    // one of them than any before.
    // So may a burst: how many requests are under way at once depends on how fast the backends are served.
    let window = |_| {
        let dialled_before = dialled();
        clients.rounds(ROUNDS);
        let before = allocations();
        clients.rounds(ROUNDS);
        let count = allocations() - before;
        (dialled() == dialled_before).then_some(count)
    };
    let mut fewest = None;
    for count in (0..WINDOWS).filter_map(window) {
        fewest = Some(fewest.map_or(count, |fewest: u64| fewest.min(count)));
        if is_few(count) {
            break;
        }
    }
    drop(clients);
    over.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    proxy.finish();
    fewest.expect("a time without a dial")
}

/// What is left comes with time, not with requests: a slot of the timer wheel that is used for the first time.
fn is_few(count: u64) -> bool {
    count * 1_000 < ROUNDS as u64 * CONNECTIONS as u64
}

fn answer(body: usize) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 200 OK\r\nserver: test\r\ncontent-length: {body}\r\n\r\n").into_bytes();
    bytes.resize(bytes.len() + body, b'x');
    bytes
}

/// One test for all shapes: the count is the process's, so two must not run at once.
#[test]
fn a_request_in_steady_state_allocates_nothing() {
    let fields = "host: app.test\r\nuser-agent: test\r\naccept: */*\r\ncookie: a=b\r\nx-tag: 1";
    let get = format!("GET /some/path?q=1 HTTP/1.1\r\n{fields}\r\n\r\n");
    let post = format!("POST /up HTTP/1.1\r\n{fields}\r\ncontent-length: 1\r\n\r\n\n");
    let (tag, lacking) = (HashOn::Header("x-tag".into()), HashOn::Header("x-lacking".into()));
    for (name, request, body, hash_on) in [
        ("GET, 100 B", &get, 100, None),
        ("GET, 16 KiB", &get, 16 << 10, None),
        ("POST, 100 B", &post, 100, None),
        ("GET by a header", &get, 100, Some(&tag)),
        ("GET by a header that it lacks", &get, 100, Some(&lacking)),
        ("GET by the client's address", &get, 100, Some(&HashOn::SourceIp)),
    ] {
        for access_log in [false, true] {
            let count = allocations_while_saturated(request, &answer(body), access_log, hash_on);
            let requests = ROUNDS as u64 * CONNECTIONS as u64;
            println!("{name}, access log {access_log}: {count} allocations in {requests} requests");
            assert!(
                is_few(count),
                "{name}, access log {access_log}: {count} allocations in {requests} requests"
            );
        }
    }
}
