//! The laws of the whole driver over any bytes of a client, or of an Endpoint: sockets, connections, pools and all.
//!
//! A real proxy with one worker stands between a client and a backend with readers of their own, all on loopback, for as
//! long as the process lives. Whoever is fuzzed sends the bytes in pieces and ends its direction.
//!
//! Laws:
//! 1. What arrives are the requests that the codec finds in the bytes, in their order, and no others.
//! 2. Each that arrives is answered once, with its own answer; at most one refusal follows.
//! 3. A response that the codec finds good reaches the client as it was meant, or is 502 if bytes stand behind it. Of any
//!    other the client gets 502 or a part, never a whole one.
//! 4. The next request, on the same connection if that persists, and of another client, arrives whole and gets its own
//!    answer, whatever came before.
//! 5. Nothing panics.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::support::{self, Backend, Client, Proxy, text};
use crate::targets::{Draw, Seen, all_requests, final_response};

/// The host that is routed.
const HOST: &[u8] = b"app.test";

struct World {
    proxy: Proxy,
    backend: Backend,
}

/// A request that the backend has read whole.
#[derive(Debug)]
struct Arrived {
    line: String,
    body: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let backend = Backend::saying("ok");
        Self { proxy: Proxy::start(&[&backend]), backend }
    }

    /// What arrived since it was asked last.
    fn arrived(&self) -> Vec<Arrived> {
        let requests = std::mem::take(&mut *self.backend.requests.lock().unwrap());
        requests
            .into_iter()
            .map(|request| Arrived { line: request.line().to_owned(), body: request.body })
            .collect()
    }
}

/// Whether normalisation has nothing to do, so that it must arrive as it is.
fn is_plain(target: &[u8]) -> bool {
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    let is_odd = |pair: &[u8]| matches!(pair, b"//" | b"/.");
    path.starts_with(b"/")
        && path.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-'))
        && !path.windows(2).any(is_odd)
}

fn is_routed(seen: &Seen) -> bool {
    let authority = seen.authority.as_deref().unwrap_or_default();
    let host = authority.split(|&byte| byte == b':').next().unwrap_or_default();
    host.strip_suffix(b".").unwrap_or(host).eq_ignore_ascii_case(HOST)
}

/// Law 1.
fn assert_arrived(expected: &[Seen], arrived: &[Arrived]) {
    let mut rest = arrived.iter().peekable();
    // Behind a target that is refused nothing arrives; behind one that nobody takes, and that may have a body, perhaps nothing.
    let mut may_have_ended = false;
    for seen in expected {
        let method = String::from_utf8_lossy(&seen.method);
        // Where there is no query, what was seen ends in an empty one.
        let target = String::from_utf8_lossy(&seen.target);
        let (full, short) =
            (format!("{method} {target} HTTP/1.1"), target.strip_suffix('?').unwrap_or(&target));
        let short = format!("{method} {short} HTTP/1.1");
        let plain = is_plain(&seen.target);
        let is_it = |request: &Arrived| {
            let same_line = request.line == full || request.line == short;
            request.body == seen.body
                && (same_line || (!plain && request.line.starts_with(&format!("{method} "))))
        };
        if is_routed(seen) && rest.next_if(|request| is_it(request)).is_some() {
            continue;
        }
        assert!(!is_routed(seen) || !plain || may_have_ended, "{seen:?} did not arrive: {arrived:?}");
        may_have_ended |= !plain || !matches!(&seen.method[..], b"GET" | b"HEAD");
    }
    assert!(rest.peek().is_none(), "what was not sent arrived: {:?} of {arrived:?}", rest.peek());
}

/// The statuses of the answers to these requests, of which all but the last is the proxy's or the backend's.
fn statuses(client: &mut Client, expected: &[Seen]) -> Vec<u16> {
    let mut found = Vec::new();
    loop {
        let method = expected.get(found.len()).map_or("GET", |seen| match &seen.method[..] {
            b"HEAD" => "HEAD",
            _ => "GET",
        });
        match client.response(method).status {
            0 => return found,
            status => found.push(status),
        }
        assert!(found.len() <= expected.len() + 1, "more answers than requests");
    }
}

/// Sends the bytes in pieces that depend on them alone; the receiver may be gone before the end. A few pieces are often
/// sent slowly, so that the proxy reads each by itself.
fn send_in_pieces(stream: &mut TcpStream, data: &[u8]) {
    let (mut draw, mut start) = (Draw::new(data), 0);
    let cuts = draw.cuts(data.len());
    let slowly = cuts.len() < 8 && draw.below(2) == 0;
    for cut in cuts {
        if stream.write_all(&data[start..cut]).is_err() {
            return;
        }
        start = cut;
        if slowly && cut < data.len() {
            support::pause(1);
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Laws 4 and 5.
fn assert_serves(proxy: &Proxy) {
    let answer = Client::connect(proxy.address).get("/next");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]), "to another client");
    assert_eq!(proxy.refused("panic"), 0);
}

/// All that a client sends on one connection, in pieces.
pub fn proxied_requests(data: &[u8]) {
    static WORLD: OnceLock<Mutex<World>> = OnceLock::new();
    let world = WORLD.get_or_init(|| Mutex::new(World::new()));
    let world = world.lock().unwrap_or_else(PoisonError::into_inner);
    world.arrived();
    let expected = all_requests(data);
    let mut client = Client::connect(world.proxy.address);
    send_in_pieces(client.stream(), data);
    let answers = statuses(&mut client, &expected);
    let arrived = world.arrived();
    assert_arrived(&expected, &arrived);
    let good = answers.iter().filter(|&&status| status == 200).count();
    assert_eq!(good, arrived.len(), "{answers:?} to {arrived:?}");
    assert_serves(&world.proxy);
    let lines: Vec<_> = world.arrived().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /next HTTP/1.1"], "of another client's connection");
}

/// An Endpoint that sends the same bytes to whoever asks for `/fuzzed`, and then ends; to others it says `ok`.
struct Script {
    proxy: Proxy,
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Answers that have not been sent to their end.
    open: Arc<AtomicUsize>,
}

impl Script {
    fn new() -> Self {
        let (bytes, open) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let (script, count) = (Arc::clone(&bytes), Arc::clone(&open));
        let backend = Backend::raw(move |mut stream, _| {
            let mut reader = support::reader(&stream);
            while let Some(request) = reader.request() {
                if request.line().starts_with("GET /fuzzed ") {
                    count.fetch_add(1, Ordering::SeqCst);
                    let bytes = script.lock().unwrap().clone();
                    send_in_pieces(&mut stream, &bytes);
                    drop((stream, reader));
                    count.fetch_sub(1, Ordering::SeqCst);
                    return;
                }
                if stream.write_all(&text("ok")).is_err() {
                    return;
                }
            }
        });
        let proxy = Proxy::start(&[&backend]);
        // It serves for as long as the process lives.
        std::mem::forget(backend);
        Self { proxy, bytes, open }
    }
}

/// What an Endpoint sends back to a GET, in pieces.
pub fn proxied_responses(data: &[u8]) {
    static SCRIPT: OnceLock<Script> = OnceLock::new();
    let script = SCRIPT.get_or_init(Script::new);
    data.clone_into(&mut script.bytes.lock().unwrap());
    let mut client = Client::connect(script.proxy.address);
    let mut found = client.get("/fuzzed");
    while matches!(found.status, 100..=199) {
        found = client.response("GET");
    }
    match final_response(data) {
        Some(whole) if whole.surplus && found.status == 502 => {}
        Some(whole) => assert_eq!((found.status, &found.body), (whole.status, &whole.payload)),
        None => assert!(matches!(found.status, 0 | 502), "a whole response: {found:?}"),
    }
    // What is sent behind a response when the next request is there already cannot be told from its answer by anybody.
    support::wait_until("the answer's end", || script.open.load(Ordering::SeqCst) == 0);
    if found.status != 0 && client.try_send("GET /next HTTP/1.1\r\nhost: app.test\r\n\r\n") {
        let next = client.response("GET");
        let ended = next.status == 0 && next.head.is_empty();
        assert!(ended || (next.status, &next.body[..]) == (200, b"ok"), "behind it came {next:?}");
    }
    assert_serves(&script.proxy);
}
