//! Kinds of deadlines over real sockets: what the client sees, and how it is counted and logged. That each fires in time
//! is told in virtual time, in `worker/tests/deadlines.rs`.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::accounts::lines;
use crate::repeats::Silent;
use crate::support::{self, Backend, Client, Proxy, Response, text};
use fairlead_proxy::ProxyConfig;

/// What a deadline below is set to.
const SHORT_MS: u64 = 300;
/// More than all buffers of the kernel hold.
const HUGE: usize = 64 << 20;

/// A proxy that logs, with one deadline set.
fn proxy(set: impl Fn(&mut ProxyConfig), backend: &Backend) -> Proxy {
    let mut config = ProxyConfig { access_log: true, ..support::config() };
    set(&mut config);
    Proxy::with(config, &[backend])
}

/// A client that was answered once and is idle.
fn idle(proxy: &Proxy) -> Client {
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/first").text(), "ok");
    client
}

/// Answers `/first`; leaves everything else unanswered and, behind its head, unread.
fn mute() -> Backend {
    Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        while let Some(head) = reader.head() {
            if !head.contains("/first") {
                std::thread::park_timeout(support::PATIENCE * 2);
                return;
            }
            stream.write_all(&text("ok")).unwrap();
        }
    })
}

/// Runs `request`, which must not take less than the deadline; gives what came back, and the log's line.
fn timed(
    proxy: &Proxy,
    client: &mut Client,
    request: impl FnOnce(&mut Client) -> Response,
) -> (Response, Value) {
    // The line of `/first`.
    lines(proxy, 1);
    let start = Instant::now();
    let response = request(client);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(SHORT_MS), "{took:?}");
    (response, lines(proxy, 1).remove(0))
}

#[track_caller]
fn assert_line(line: &Value, code: u16, flags: &str, details: &str) {
    let seen = (&line["response_code"], &line["response_flags"], &line["response_code_details"]);
    assert_eq!(seen, (&code.into(), &flags.into(), &details.into()), "{line}");
}

#[test]
fn request_head() {
    let backend = mute();
    let proxy = proxy(|config| config.timeouts.request_head_ms = SHORT_MS, &backend);
    let mut client = idle(&proxy);
    let (response, line) = timed(&proxy, &mut client, |client| {
        client.send("GET / HTTP/1.1\r\nhost: app");
        client.response("GET")
    });
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert!(client.is_closed());
    assert_line(&line, 408, "DPE", "request_head_timeout");
    assert_eq!(proxy.refused("request_head_timeout"), 1);
    proxy.finish();
}

#[test]
fn idle_connection() {
    let backend = mute();
    let proxy = proxy(|config| config.timeouts.downstream_idle_ms = SHORT_MS, &backend);
    let mut client = idle(&proxy);
    assert!(client.is_closed(), "without a word");
    assert_eq!(lines(&proxy, 1).len(), 1, "no request, no line");
    proxy.finish();
}

#[test]
fn request_and_backend_request() {
    let backend = mute();
    let proxy = proxy(|_| {}, &backend);
    let mut client = idle(&proxy);
    for (path, details) in [("/timed", "request_timeout"), ("/hurried", "backend_request_timeout")] {
        let (response, line) = timed(&proxy, &mut client, |client| client.get(path));
        assert_eq!((response.status, response.field("connection")), (504, None), "the client may go on");
        assert_line(&line, 504, "UT", details);
        assert_eq!(client.get("/first").text(), "ok");
    }
    proxy.finish();
}

#[test]
fn connect() {
    let backend = mute();
    let silent = Silent::new();
    let mut proxy = proxy(|config| config.timeouts.connect_ms = SHORT_MS, &backend);
    let mut client = idle(&proxy);
    proxy.set_members(&[silent.address]);
    let (response, line) = timed(&proxy, &mut client, |client| client.get("/"));
    assert_eq!((response.status, response.field("connection")), (504, None));
    assert_line(&line, 504, "UF", "upstream_connection_timeout");
    proxy.finish();
}

#[test]
fn stalled_write_to_the_client() {
    let backend = Backend::http(|request| {
        if request.line().contains("/first") {
            text("ok")
        } else {
            support::answer("200 OK", &[], &vec![1; HUGE])
        }
    });
    let proxy = proxy(|config| config.timeouts.stream_idle_ms = SHORT_MS, &backend);
    let mut client = idle(&proxy);
    let (response, line) = timed(&proxy, &mut client, |client| {
        client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
        support::wait_until("the exchange", || proxy.in_flight() == 2);
        support::wait_until("the end of the exchange", || proxy.in_flight() == 0);
        client.response("GET")
    });
    assert_eq!(response.status, 0, "cut off: not to be taken for a whole one");
    assert_line(&line, 200, "SI", "stream_idle_timeout");
    proxy.finish();
}

#[test]
fn stalled_read_from_the_client() {
    let backend = mute();
    let proxy = proxy(|config| config.timeouts.stream_idle_ms = SHORT_MS, &backend);
    let mut client = idle(&proxy);
    let (response, line) = timed(&proxy, &mut client, |client| {
        client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 10\r\n\r\nhalf");
        client.response("POST")
    });
    assert_eq!((response.status, response.field("connection")), (408, Some("close")));
    assert_line(&line, 408, "SI", "stream_idle_timeout");
    proxy.finish();
}
