//! Bodies: large, slow, unread.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use crate::support::{self, Backend, Client, Proxy, answer, text};

const LARGE: usize = 8 * 1024 * 1024;

/// Bytes that are not the same everywhere.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index ^ (index >> 8) ^ (index >> 16)) as u8).collect()
}

#[test]
fn a_large_response_reaches_a_slow_reader_whole() {
    let backend = Backend::http(|_| answer("200 OK", &[], &pattern(LARGE)));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::pause(300);
    assert_eq!(client.response("GET").body, pattern(LARGE));
    assert_eq!(client.get("/").body, pattern(LARGE), "and the connection goes on");
    proxy.finish();
}

#[test]
fn a_large_request_reaches_a_slow_endpoint_whole() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        while let Some(head) = reader.head() {
            assert!(head.starts_with("PUT"));
            // Longer than the time after which unacknowledged bytes end a connection.
            support::pause(4_500);
            let body = reader.exactly(LARGE).unwrap_or_default();
            let word = if body == pattern(LARGE) { "whole" } else { "broken" };
            stream.write_all(&text(word)).unwrap();
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(format!("PUT / HTTP/1.1\r\nhost: app.test\r\ncontent-length: {LARGE}\r\n\r\n"));
    client.send(pattern(LARGE));
    let response = client.response("PUT");
    assert_eq!((response.status, response.text().as_str()), (200, "whole"));
    proxy.finish();
}

#[test]
fn a_client_that_does_not_read_stops_the_endpoint() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let backend = Backend::raw(move |mut stream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n").unwrap();
        let _ = stream.set_write_timeout(Some(std::time::Duration::from_secs(1)));
        while let Ok(written) = stream.write(&[7; 16384]) {
            count.fetch_add(written, Ordering::Relaxed);
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::pause(700);
    let before = sent.load(Ordering::Relaxed);
    support::pause(200);
    assert_eq!(sent.load(Ordering::Relaxed), before, "the endpoint is held up");
    assert!(before < 100_000_000, "by the kernel's buffers, not by ours");
    drop(client);
    proxy.finish();
}

#[test]
fn expect_continue_is_passed_on_and_the_body_follows() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        let head = reader.head().unwrap();
        assert!(head.to_ascii_lowercase().contains("expect: 100-continue"));
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap();
        let body = reader.exactly(5).unwrap();
        stream.write_all(&text(std::str::from_utf8(&body).unwrap())).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.head().status, 100);
    client.send("hello");
    assert_eq!(client.response("POST").text(), "hello");
    proxy.finish();
}

#[test]
fn a_refused_expectation_ends_the_connection_and_no_body_goes_astray() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        reader.head().unwrap();
        stream.write_all(&answer("417 Expectation Failed", &[], b"no")).unwrap();
        let rest = reader.rest();
        assert!(rest.is_empty(), "a body that nobody asked for: {rest:?}");
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    let response = client.response("POST");
    assert_eq!((response.status, response.field("connection")), (417, Some("close")));
    client.try_send("hello");
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn an_early_answer_drains_a_small_body_and_keeps_the_connection() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        if reader.head().is_some() {
            let _ = stream.write_all(&answer("401 Unauthorized", &[], b"who?"));
            reader.rest();
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000\r\n\r\npart");
    assert_eq!(client.response("POST").status, 401);
    client.send([b'x'; 996]);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000\r\n\r\npart");
    assert_eq!(client.response("POST").status, 401, "the rest of the first body was not taken for a request");
    assert_eq!(
        backend.connections.load(Ordering::Relaxed),
        2,
        "a connection with an unread body is not used again"
    );
    drop(client);
    proxy.finish();
}

#[test]
fn a_body_that_does_not_come_after_an_early_answer_is_not_waited_for_long() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        if reader.head().is_some() {
            let _ = stream.write_all(&answer("401 Unauthorized", &[], b"who?"));
            reader.rest();
        }
    });
    let mut config = support::config();
    config.timeouts.linger_ms = 200;
    let proxy = Proxy::with(config, &[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000\r\n\r\npart");
    assert_eq!(client.response("POST").status, 401);
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_client_that_ends_its_direction_in_its_body_has_not_sent_a_request() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let mut client = Client::connect(proxy.address);
        client.send(format!("POST / HTTP/1.1\r\nhost: app.test\r\n{framing}\r\n\r\n4\r\nhalf"));
        client.shutdown();
        assert!(client.is_closed(), "{framing}");
    }
    assert_eq!(backend.count(), 0);
    proxy.finish();
}

#[test]
fn an_early_answer_to_a_large_body_is_seen_before_the_connection_ends() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        reader.head().unwrap();
        stream.write_all(&answer("413 Content Too Large", &[], b"too much")).unwrap();
        let mut sink = [0; 16384];
        while matches!(stream.read(&mut sink), Ok(count) if count > 0) {}
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(format!("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: {LARGE}\r\n\r\n"));
    client.send(vec![1; 300_000]);
    let response = client.response("POST");
    assert_eq!((response.status, response.text().as_str()), (413, "too much"));
    assert_eq!(response.field("connection"), Some("close"));
    drop(client);
    proxy.finish();
}

#[test]
fn a_body_that_breaks_its_framing_is_refused_and_not_passed_on() {
    let backend = Backend::raw(|stream, _| {
        let rest = support::reader(&stream).rest();
        assert!(!rest.windows(3).any(|window| window == b"zzz"));
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
    support::pause(50);
    client.send("zzz\r\n");
    assert_eq!(client.response("POST").status, 400);
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_client_that_leaves_in_the_middle_of_its_body_takes_the_attempt_with_it() {
    let backend = Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 1000\r\n\r\npart");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    drop(client);
    proxy.finish();
}
