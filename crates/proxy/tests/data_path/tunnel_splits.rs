//! Tunnels under every fragmentation: each byte of a head, and of what stands right behind it, is once the last of its
//! packet; both directions, with a half-close from either side.
//!
//! All positions run at once, each on a connection of its own, so that one pause serves them all.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::support::{self, Backend, Client, Proxy, text};

const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nserver: test\r\n\r\n";
/// Masked frames of a client, one of them empty, and bytes that look like the end of a head.
const EARLY: &[u8] = b"\x81\x85\x01\x02\x03\x04igohn\x89\x80\x00\x00\x00\x00\x82\x84\x00\x00\x00\x00\r\n\r\n";
/// Frames of a server, one with a 16-bit length.
const FRAMES: &[u8] = b"\x81\x05hello\x8a\x00\x82\x7e\x00\x04\r\n\r\n\x81\x02ok";
/// Between two packets: long enough for the proxy to have read the first, though nothing fails if it has not.
const GAP_MS: u64 = 40;

fn upgrade(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nhost: app.test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         content-length: 0\r\n\r\n"
    )
    .into_bytes()
}

/// Sends each wire in two packets, split at its position: all first ones, then all second ones.
fn send_split(proxy: &Proxy, wires: &[(Vec<u8>, usize)]) -> Vec<Client> {
    let mut clients: Vec<_> = wires.iter().map(|_| Client::connect(proxy.address)).collect();
    for (client, (wire, at)) in clients.iter_mut().zip(wires) {
        client.send(&wire[..*at]);
    }
    support::pause(GAP_MS);
    for (client, (wire, at)) in clients.iter_mut().zip(wires) {
        client.send(&wire[*at..]);
    }
    clients
}

/// The number that ends a request's path.
fn number(head: &str) -> usize {
    head.split(' ').nth(1).and_then(|path| path.rsplit('/').next()).unwrap().parse().unwrap()
}

/// Says that nothing has come in `stream` for a moment.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(GAP_MS))).unwrap();
    let silent = matches!(stream.read(&mut [0; 1]), Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(support::PATIENCE)).unwrap();
    silent
}

fn send_back(mut stream: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        if stream.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
    let _ = stream.write_all(b"bye");
}

#[test]
fn an_upgrade_request_with_early_bytes_may_be_split_anywhere_and_the_bytes_wait_for_the_101() {
    let backend = Backend::raw(|mut stream, _| {
        // Byte by byte: what came behind the head stays unread.
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0; 1];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        if is_silent(&mut stream) {
            stream.write_all(SWITCH).unwrap();
            send_back(stream);
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let wire = [&upgrade("/early"), EARLY].concat();
    let wires: Vec<_> = (1..wire.len()).map(|at| (wire.clone(), at)).collect();
    let clients = send_split(&proxy, &wires);
    for (client, at) in clients.into_iter().zip(1..) {
        let mut client = client;
        assert_eq!(client.head().status, 101, "split at {at}: bytes went before the 101");
        client.send("more");
        client.shutdown();
        assert_eq!(client.reader().rest(), [EARLY, b"more", b"bye"].concat(), "split at {at}");
    }
    proxy.finish();
}

#[test]
fn a_101_with_frames_behind_it_may_be_split_anywhere() {
    let wire = [SWITCH, FRAMES].concat();
    let backend = Backend::raw(move |mut stream, _| {
        let at = number(&support::reader(&stream).head().unwrap());
        stream.write_all(&wire[..at]).unwrap();
        support::pause(GAP_MS);
        stream.write_all(&wire[at..]).unwrap();
        send_back(stream);
    });
    let proxy = Proxy::start(&[&backend]);
    let wires: Vec<_> = (1..SWITCH.len() + FRAMES.len()).map(|at| (upgrade(&format!("/{at}")), 1)).collect();
    let clients = send_split(&proxy, &wires);
    for (client, at) in clients.into_iter().zip(1..) {
        let mut client = client;
        assert_eq!(client.head().status, 101, "split at {at}");
        client.send(EARLY);
        client.shutdown();
        assert_eq!(client.reader().rest(), [FRAMES, EARLY, b"bye"].concat(), "split at {at}");
    }
    proxy.finish();
}

#[test]
fn packets_of_one_byte_pass_both_ways() {
    let wire = [SWITCH, FRAMES].concat();
    let backend = Backend::raw(move |mut stream, _| {
        support::reader(&stream).head().unwrap();
        for byte in &wire {
            stream.write_all(&[*byte]).unwrap();
            support::pause(1);
        }
        send_back(stream);
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for byte in [&upgrade("/bytes"), EARLY].concat() {
        client.send([byte]);
        support::pause(1);
    }
    client.shutdown();
    assert_eq!(client.head().status, 101);
    assert_eq!(client.reader().rest(), [FRAMES, EARLY, b"bye"].concat());
    proxy.finish();
}

#[test]
fn a_client_may_end_its_direction_behind_any_byte() {
    // Half of them have ended it before the 101 comes.
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        let at = number(&reader.head().unwrap());
        support::pause(if at.is_multiple_of(2) { 0 } else { GAP_MS * 3 });
        stream.write_all(SWITCH).unwrap();
        let received = reader.rest();
        stream.write_all(format!("{} bytes:", received.len()).as_bytes()).unwrap();
        stream.write_all(&received).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let head = upgrade("/00").len();
    let cases = 0..=EARLY.len() * 2;
    let wires: Vec<_> = cases
        .clone()
        .map(|case| {
            let wire = [&upgrade(&format!("/{case:02}")), &EARLY[..case / 2]].concat();
            (wire, head)
        })
        .collect();
    let mut clients = send_split(&proxy, &wires);
    for client in &clients {
        client.shutdown();
    }
    for (client, case) in clients.iter_mut().zip(cases) {
        let early = &EARLY[..case / 2];
        assert_eq!(client.head().status, 101, "ended behind {} bytes", early.len());
        let expected = [format!("{} bytes:", early.len()).as_bytes(), early].concat();
        assert_eq!(client.reader().rest(), expected);
    }
    drop(clients);
    proxy.finish();
}

#[test]
fn an_endpoint_may_end_its_direction_behind_any_byte_and_still_hear_the_client() {
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let all = std::sync::Arc::clone(&heard);
    let backend = Backend::raw(move |mut stream, _| {
        let mut reader = support::reader(&stream);
        let at = number(&reader.head().unwrap());
        stream.write_all(&[SWITCH, &FRAMES[..at]].concat()).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let rest = reader.rest();
        all.lock().unwrap().push((at, rest));
    });
    let proxy = Proxy::start(&[&backend]);
    let wires: Vec<_> = (0..=FRAMES.len()).map(|at| (upgrade(&format!("/{at}")), 1)).collect();
    let clients = send_split(&proxy, &wires);
    for (client, at) in clients.into_iter().zip(0..) {
        let mut client = client;
        assert_eq!(client.head().status, 101, "ended behind {at} bytes");
        assert_eq!(client.reader().rest(), &FRAMES[..at]);
        client.send(EARLY);
        client.send(format!("after the end {at}"));
        client.shutdown();
    }
    support::wait_until("all that the clients said", || heard.lock().unwrap().len() == wires.len());
    for (at, received) in heard.lock().unwrap().iter() {
        assert_eq!(*received, [EARLY, format!("after the end {at}").as_bytes()].concat());
    }
    proxy.finish();
}

#[test]
fn a_101_that_comes_before_the_request_was_read_is_good() {
    // As eager as may be: when the request's first byte has come. Before that it would be nobody's answer. (Here the proxy
    // may have sent all of it by then; that it has not is forced in the worker's own test `early_switch`.)
    let backend = Backend::raw(|mut stream, _| {
        stream.peek(&mut [0]).unwrap();
        stream.write_all(&[SWITCH, FRAMES].concat()).unwrap();
        let mut reader = support::reader(&stream);
        let head = reader.head().unwrap();
        let rest = reader.rest();
        stream.write_all(format!("{}:", head.len()).as_bytes()).unwrap();
        stream.write_all(&rest).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    for filling in [0, 100, 20_000, 39_000] {
        let request = upgrade("/eager");
        let field = format!("x-fill: {}\r\n\r\n", "x".repeat(filling));
        let mut client = Client::connect(proxy.address);
        client.send([&request[..request.len() - 2], field.as_bytes(), EARLY].concat());
        client.shutdown();
        assert_eq!(client.head().status, 101, "{filling}");
        let rest = client.reader().rest();
        let rest = rest.strip_prefix(FRAMES).unwrap();
        let colon = rest.iter().position(|byte| *byte == b':').unwrap();
        let head: usize = std::str::from_utf8(&rest[..colon]).unwrap().parse().unwrap();
        assert!(head > filling && &rest[colon + 1..] == EARLY, "{filling}: {rest:?}");
    }
    proxy.finish();
}

#[test]
fn an_upgrade_that_is_answered_with_200_stays_http_wherever_its_early_bytes_are_split() {
    // Nothing but requests ever arrives here.
    let backend = Backend::http(|request| {
        let (method, path) = request.line().split_once(' ').unwrap();
        assert_eq!(method, "GET", "bytes of no request were passed on");
        text(path.split(' ').next().unwrap())
    });
    let proxy = Proxy::start(&[&backend]);
    let next = b"GET /next HTTP/1.1\r\nhost: app.test\r\n\r\n";
    for (behind, status, body) in [(&next[..], 200, "/next"), (EARLY, 400, "")] {
        let wire = [&upgrade("/chat"), behind].concat();
        let wires: Vec<_> = (1..wire.len()).map(|at| (wire.clone(), at)).collect();
        let clients = send_split(&proxy, &wires);
        for (client, at) in clients.into_iter().zip(1..) {
            let mut client = client;
            assert_eq!(client.response("GET").text(), "/chat", "split at {at}");
            let second = client.response("GET");
            assert_eq!(second.status, status, "split at {at}");
            assert!(body.is_empty() || second.text() == body, "split at {at}");
        }
    }
    for request in backend.requests.lock().unwrap().iter() {
        assert!(matches!(request.line(), "GET /chat HTTP/1.1" | "GET /next HTTP/1.1"), "{request:?}");
        assert!(request.body.is_empty());
    }
    proxy.finish();
}
