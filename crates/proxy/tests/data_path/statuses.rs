//! Every status of a refusal, through the proxy, with its code read back from the metrics page.

use std::time::Duration;

use fairlead_proxy::internals::metrics_page;

use crate::support::{self, Backend, Client, Proxy};

/// A request without an end: nothing follows until the proxy has answered.
const POST: &str = "POST / HTTP/1.1\r\nhost: app.test\r\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: app.test\r\n";
const BODY_BYTES: u64 = 1_000;

/// The count of refused requests with this code, as a scraper reads it.
fn counted(proxy: &Proxy, reason: &str) -> u64 {
    let page = String::from_utf8(metrics_page(&proxy.shared)).unwrap();
    let series = format!("fairlead_http_requests_refused_total{{reason=\"{reason}\"}} ");
    page.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok()).unwrap_or(0)
}

#[test]
fn each_status_has_a_counted_code_and_ends_the_connection() {
    let rows = [
        (400, "duplicate_host", format!("{GET}host: b\r\n\r\n")),
        (400, "path_encoded_slash", GET.replace("/ ", "/a%2fb ") + "\r\n"),
        (400, "unexpected_body", format!("{GET}content-length: 1\r\n\r\nx")),
        (400, "invalid_chunk_size", format!("{POST}transfer-encoding: chunked\r\n\r\nx\r\n")),
        (408, "request_head_timeout", GET.to_owned()),
        (408, "stream_idle_timeout", format!("{POST}content-length: 10\r\n\r\nhalf")),
        (413, "body_too_large", format!("{POST}content-length: {}\r\n\r\n", BODY_BYTES + 1)),
        (413, "body_too_large", format!("{POST}transfer-encoding: chunked\r\n\r\n{:x}\r\n", BODY_BYTES + 1)),
        (414, "target_too_long", GET.replace("/ ", &format!("/{} ", "x".repeat(17_000))) + "\r\n"),
        (417, "expectation_failed", format!("{POST}content-length: 1\r\nexpect: x\r\n\r\n")),
        (431, "head_too_large", format!("{GET}a: {}\r\n\r\n", "x".repeat(70_000))),
        (431, "too_many_fields", format!("{GET}{}\r\n", "a: b\r\n".repeat(100))),
        (
            431,
            "trailers_too_large",
            format!("{POST}transfer-encoding: chunked\r\n\r\n0\r\na: {}", "x".repeat(9_000)),
        ),
        (501, "unknown_transfer_coding", format!("{POST}transfer-encoding: gzip, chunked\r\n\r\n")),
        (501, "connect_refused", "CONNECT app.test:443 HTTP/1.1\r\nhost: app.test\r\n\r\n".to_owned()),
        (501, "method_too_long", GET.replace("GET", &"G".repeat(30)) + "\r\n"),
        (501, "reserved_method", GET.replace("GET", "PRI") + "\r\n"),
        (505, "unsupported_version", GET.replace("1.1", "3.0") + "\r\n"),
    ];
    let backend = Backend::saying("x");
    let mut config = support::config();
    config.timeouts.request_head_ms = 200;
    config.timeouts.stream_idle_ms = 200;
    config.limits.request_body_bytes = BODY_BYTES;
    let proxy = Proxy::with(config, &[&backend]);
    for (status, reason, request) in rows {
        let before = counted(&proxy, reason);
        let mut client = Client::connect(proxy.address);
        client.send(&request);
        let response = client.response("POST");
        assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{reason}");
        assert_eq!(response.text().split(' ').next(), Some(&*status.to_string()), "{reason}: it says so");
        assert!(client.is_closed(), "{reason}");
        assert_eq!(counted(&proxy, reason), before + 1, "{reason}");
    }
    assert_eq!(backend.count(), 0, "no whole request has reached the endpoint");
    assert_eq!(Client::connect(proxy.address).post("/", &[b'x'; BODY_BYTES as usize]).status, 200);
    proxy.finish();
}

#[test]
fn a_refusal_in_the_middle_of_a_body_has_its_own_status_too() {
    let backend = Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    });
    let mut config = support::config();
    config.limits.request_body_bytes = 8;
    let proxy = Proxy::with(config, &[&backend]);
    for (status, reason, rest) in [
        (413, "body_too_large", "5\r\nworld\r\n".to_owned()),
        (431, "trailers_too_large", format!("0\r\na: {}", "x".repeat(9_000))),
        (400, "invalid_chunk_end", "1\r\nxyz".to_owned()),
    ] {
        let mut client = Client::connect(proxy.address);
        client.send(format!("{POST}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        support::wait_until("the attempt", || proxy.in_flight() == 2);
        std::thread::park_timeout(Duration::from_millis(20));
        client.send(rest);
        let response = client.response("POST");
        assert_eq!((response.status, response.field("connection")), (status, Some("close")), "{reason}");
        assert!(client.is_closed(), "{reason}");
        assert_eq!(counted(&proxy, reason), 1, "{reason}");
        support::wait_until("the end of the exchange", || proxy.in_flight() == 0);
    }
    proxy.finish();
}
