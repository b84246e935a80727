//! Section A of the table of attacks, row by row, through the whole proxy: requests that must not reach an Endpoint,
//! responses that must not reach a client. Rows that need more than one message are in [`strict`](crate::strict),
//! those about fields of the proxy's own in [`forwarded`](crate::forwarded).

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::{self, Backend, Client, Proxy, text};

const LINE: &str = "HTTP/1.1\r\nhost: app.test\r\n";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nhost: app.test\r\n\r\n";

/// Each request, with [`HIDDEN`] behind it, gets one answer with this status; the connection ends, the code is counted,
/// and no Endpoint hears of it.
#[track_caller]
fn refuses(status: u16, reason: &str, requests: &[String]) {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    for request in requests {
        let mut client = Client::connect(proxy.address);
        client.send([request.as_bytes(), HIDDEN.as_bytes()].concat());
        let answer = client.reader().rest();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{request:?}: {answer:?}");
        assert!(answer.contains("Connection: close\r\n"), "{request:?}: {answer:?}");
        assert!(client.is_closed(), "{request:?}");
    }
    assert_eq!(proxy.refused(reason), requests.len() as u64, "{reason}");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 0, "{reason}");
    proxy.finish();
}

/// The same for heads of POST requests with these lines.
#[track_caller]
fn refuses_lines(status: u16, reason: &str, lines: &[&str]) {
    let request = |lines: &&str| format!("POST / {LINE}{lines}\r\n\r\n");
    refuses(status, reason, &lines.iter().map(request).collect::<Vec<_>>());
}

/// The same for chunked bodies.
#[track_caller]
fn refuses_chunks(status: u16, reason: &str, bodies: &[&str]) {
    let request = |body: &&str| format!("POST / {LINE}transfer-encoding: chunked\r\n\r\n{body}");
    refuses(status, reason, &bodies.iter().map(request).collect::<Vec<_>>());
}

/// Each response, with a second one behind it, becomes 502; the connection that it came from is closed and never used
/// again, and the code is counted.
#[track_caller]
fn refuses_responses(reason: &str, responses: &[&str]) {
    let closed = Arc::new(AtomicUsize::new(0));
    let answers = Arc::new(Mutex::new(responses.iter().rev().map(ToString::to_string).collect::<Vec<_>>()));
    let count = Arc::clone(&closed);
    let backend = Backend::raw(move |mut stream, _| {
        let mut reader = support::reader(&stream);
        if reader.head().is_some() {
            let answer = answers.lock().unwrap().pop().unwrap();
            let _ = stream.write_all(&[answer.as_bytes(), &text("poison")].concat());
            assert!(reader.rest().is_empty(), "nothing more is sent to it");
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for (index, response) in responses.iter().enumerate() {
        assert_eq!(client.get("/").status, 502, "{response:?}");
        support::wait_until("the end of its connection", || closed.load(Ordering::Relaxed) == index + 1);
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), responses.len());
    assert_eq!(proxy.refused_responses(reason), responses.len() as u64, "{reason}");
    proxy.finish();
}

#[track_caller]
fn refuses_response_lines(reason: &str, lines: &[&str]) {
    let responses: Vec<_> = lines.iter().map(|lines| format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")).collect();
    refuses_responses(reason, &responses.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a1_content_length_and_transfer_encoding() {
    let lines = [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
    ];
    refuses_lines(400, "ambiguous_framing", &lines);
    refuses_response_lines("ambiguous_framing", &lines);
}

#[test]
fn a2_content_length_that_is_not_one_plain_number() {
    let twice = ["content-length: 5\r\ncontent-length: 6", "content-length: 5\r\nContent-Length: 5"];
    refuses_lines(400, "duplicate_content_length", &twice);
    refuses_response_lines("duplicate_content_length", &twice);
    let values = ["1, 2", "5,5", "+5", "-1", "0x10", "1_0", "010", "", "5 5", "9223372036854775808"];
    let lines = values.map(|value| format!("content-length: {value}"));
    let lines = lines.each_ref().map(String::as_str);
    refuses_lines(400, "invalid_content_length", &lines);
    refuses_response_lines("invalid_content_length", &lines);
}

#[test]
fn a3_transfer_encoding_other_than_one_chunked() {
    let values =
        [",chunked", "chunked,", "x", "chunked, identity", "chunked, chunked", "xchunked", "identity"];
    let mut lines = values.map(|value| format!("transfer-encoding: {value}")).to_vec();
    lines.push("transfer-encoding: chunked\r\ntransfer-encoding: chunked".to_owned());
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    refuses_lines(400, "invalid_transfer_encoding", &lines);
    refuses_response_lines("invalid_transfer_encoding", &lines);
    let disguised = ["transfer-encoding: \x0bchunked", "transfer-encoding: chunked\x7f"];
    refuses_lines(400, "control_character", &disguised);
    refuses_response_lines("control_character", &disguised);
    let unknown = ["transfer-encoding: gzip, chunked", "transfer-encoding: x,chunked"];
    refuses_lines(501, "unknown_transfer_coding", &unknown);
    refuses_response_lines("unknown_transfer_coding", &unknown);
}

#[test]
fn a4_transfer_encoding_in_http_1_0() {
    let request = "POST / HTTP/1.0\r\nhost: app.test\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n0\r\n\r\n";
    refuses(400, "transfer_encoding_in_http10", &[request.to_owned()]);
    let response = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n\r\n0\r\n\r\n";
    refuses_responses("transfer_encoding_in_http10", &[response]);
}

/// Bodies and why they are refused.
const CHUNKS: [(&str, &[&str]); 5] = [
    (
        "invalid_chunk_size",
        &[
            "0x1\r\nx\r\n0\r\n\r\n",
            "-0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "1_0\r\nx\r\n0\r\n\r\n",
            "\r\nx\r\n0\r\n\r\n",
            "00000000000000001\r\nx\r\n0\r\n\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1\r\nx\r\n\r\n0\r\n\r\n",
        ],
    ),
    (
        "invalid_chunk_extension",
        &["1;\r\nx\r\n0\r\n\r\n", "1; a\r\nx\r\n0\r\n\r\n", "1;a=\"\r\nx\r\n0\r\n\r\n"],
    ),
    ("bare_cr", &["1;a\rb\r\nx\r\n0\r\n\r\n", "1\rx\r\n0\r\n\r\n"]),
    ("bare_lf", &["1\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\n\r\n", "1\r\nx\r\n0\r\n\n"]),
    ("invalid_chunk_end", &["1\r\nx0\r\n\r\n", "1\r\nx\n0\r\n\r\n", "1\r\nxy\r\n0\r\n\r\n"]),
];

#[test]
fn a5_chunks_that_are_none() {
    for (reason, bodies) in CHUNKS {
        refuses_chunks(400, reason, bodies);
        let response = |body: &&str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let responses: Vec<_> = bodies.iter().map(response).collect();
        refuses_responses(reason, &responses.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a6_chunk_extensions_trailers_and_tiny_chunks_have_budgets() {
    let extensions = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(5_000));
    refuses_chunks(400, "chunk_extensions_too_large", &[&extensions]);
    let long = format!("x-t: {}\r\n", "1".repeat(193));
    refuses_chunks(431, "trailers_too_large", &[&format!("0\r\n{}\r\n", long.repeat(50))]);
    // As many lines as a head may have, and no more.
    let lines = |count| format!("0\r\n{}\r\n", "x-t: 1\r\n".repeat(count));
    refuses_chunks(431, "too_many_fields", &[&lines(101), &lines(2_000)]);
    // One byte per chunk costs six: beyond four times the payload and the budget, after some 64 KiB of framing.
    let tiny = ["1\r\nx\r\n".repeat(64 * 1_024), "0\r\n\r\n".to_owned()].concat();
    let backend = Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.try_send(format!("POST / {LINE}transfer-encoding: chunked\r\n\r\n{tiny}"));
    assert_eq!(client.response("POST").status, 400);
    assert!(client.is_closed());
    assert_eq!(proxy.refused("chunk_overhead"), 1);
    proxy.finish();
}

#[test]
fn a6_trailers_say_nothing_that_only_a_head_may_say() {
    let trailers = [
        "content-length: 5",
        "Transfer-Encoding: chunked",
        "host: b",
        "x-forwarded-for: 6.6.6.6",
        "x-real-ip: 6.6.6.6",
        "x-envoy-external-address: 6.6.6.6",
    ];
    let bodies = trailers.map(|trailer| format!("0\r\n{trailer}\r\n\r\n"));
    let bodies = bodies.each_ref().map(String::as_str);
    refuses_chunks(400, "forbidden_trailer", &bodies);
    let response = |body: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
    let responses = bodies.map(response);
    refuses_responses("forbidden_trailer", &responses.each_ref().map(String::as_str));
    let lookalike = "0\r\ncontent--length: 5\r\n\r\n";
    refuses_chunks(400, "lookalike_field_name", &[lookalike]);
    refuses_responses("lookalike_field_name", &[&response(lookalike)]);
}

#[test]
fn a6_chunk_extensions_and_trailers_of_responses_have_budgets() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let extensions = format!("{chunked}1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(5_000));
    refuses_responses("chunk_extensions_too_large", &[&extensions]);
    // Each is within its budget, their sum is not; some of it may have left by then.
    let many = format!("{chunked}{}0\r\n\r\n", format!("1;{}\r\nx\r\n", "a".repeat(1_000)).repeat(200));
    let long = format!("x-t: {}\r\n", "1".repeat(193));
    let trailers = format!("{chunked}0\r\n{}\r\n", long.repeat(90));
    let lines = |count| format!("0\r\n{}\r\n", "x-t: 1\r\n".repeat(count));
    refuses_responses(
        "too_many_fields",
        &[&format!("{chunked}{}", lines(101)), &format!("{chunked}{}", lines(2_000))],
    );
    // And where the beginning has left before.
    let later = format!("{chunked}{}{}", format!("3e8\r\n{}\r\n", "x".repeat(1_000)).repeat(100), lines(101));
    for (reason, answer) in
        [("chunk_extensions_too_large", many), ("trailers_too_large", trailers), ("too_many_fields", later)]
    {
        let backend = Backend::raw(move |mut stream, _| {
            let mut reader = support::reader(&stream);
            while reader.head().is_some() {
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let proxy = Proxy::start(&[&backend]);
        let mut client = Client::connect(proxy.address);
        let status = client.get("/").status;
        assert!(matches!(status, 0 | 502), "{reason}: never a whole response: {status}");
        assert!(status == 502 || client.is_closed(), "{reason}");
        assert_eq!(proxy.refused_responses(reason), 1, "{reason}");
        proxy.finish();
    }
}

#[test]
fn a6_as_many_trailers_as_a_head_has_fields_pass_both_ways() {
    let lines = format!("0\r\n{}\r\n", "x-t: 1\r\n".repeat(100));
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{lines}");
    let backend = Backend::http(move |_| answer.clone().into_bytes());
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.send(format!("POST / {LINE}transfer-encoding: chunked\r\n\r\n{lines}"));
        assert_eq!(client.response("POST").status, 200);
    }
    assert_eq!(backend.count(), 2);
    proxy.finish();
}

#[test]
fn a6_a_response_of_tiny_chunks_without_end_is_cut_off() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        while reader.head().is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
            while stream.write_all(&b"1\r\nx\r\n".repeat(1_000)).is_ok() {}
        }
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 0, "never a whole response");
    assert_eq!(proxy.refused_responses("chunk_overhead"), 1);
    proxy.finish();
}

#[test]
fn a7_bare_lf_bare_cr_and_nul() {
    refuses(
        400,
        "bare_lf",
        &[
            "GET / HTTP/1.1\nhost: app.test\r\n\r\n".to_owned(),
            "GET / HTTP/1.1\r\nhost: app.test\n\r\n".to_owned(),
            format!("POST / {LINE}x: y\ntransfer-encoding: chunked\r\n\r\n"),
        ],
    );
    refuses(
        400,
        "bare_cr",
        &[
            "GET / HTTP/1.1\rhost: app.test\r\n\r\n".to_owned(),
            format!("POST / {LINE}x: y\rtransfer-encoding: chunked\r\n\r\n"),
        ],
    );
    refuses(
        400,
        "control_character",
        &[
            format!("GET /\0 {LINE}\r\n"),
            format!("GET / {LINE}a\0: b\r\n\r\n"),
            format!("GET / {LINE}a: b\0\r\n\r\n"),
        ],
    );
    refuses_responses(
        "bare_lf",
        &["HTTP/1.1 200 OK\ncontent-length: 0\r\n\r\n", "HTTP/1.1 200 OK\r\na: b\ncontent-length: 0\r\n\r\n"],
    );
    refuses_response_lines("bare_cr", &["a: b\rcontent-length: 0"]);
    refuses_responses(
        "control_character",
        &["HTTP/1.1 200 O\0K\r\n\r\n", "HTTP/1.1 200 OK\r\na: \0\r\n\r\n"],
    );
}

#[test]
fn a7_in_line_name_and_value_of_requests_and_responses() {
    for (reason, byte) in [("bare_lf", '\n'), ("bare_cr", '\r'), ("control_character", '\0')] {
        let fields = [format!("a{byte}b: c"), format!("a: b{byte}c")];
        let mut requests = fields.each_ref().map(|field| format!("GET / {LINE}{field}\r\n\r\n")).to_vec();
        requests.push(format!("GET /{byte} {LINE}\r\n"));
        requests.push(format!("G{byte}ET / {LINE}\r\n"));
        refuses(400, reason, &requests);
        let mut responses =
            fields.each_ref().map(|field| format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n")).to_vec();
        responses.push(format!("HTTP/1.1 200 O{byte}K\r\n\r\n"));
        refuses_responses(reason, &responses.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[test]
fn a8_field_lines_that_are_none() {
    let names = ["a : b", "a", ": b", "a b: c", "(a): b", "a\u{e9}: b", "\u{80}a: b", "content-length : 5"];
    refuses_lines(400, "invalid_field_name", &names);
    refuses_response_lines("invalid_field_name", &names);
    let folded = ["a: b\r\n c", "a: b\r\n\tc", " a: b"];
    refuses_lines(400, "folded_line", &folded);
    refuses(400, "folded_line", &["GET / HTTP/1.1\r\n host: app.test\r\n\r\n".to_owned()]);
    refuses_response_lines("folded_line", &folded);
}

#[test]
fn a9_request_lines_that_are_none() {
    let lines = |lines: &[&str]| {
        lines.iter().map(|line| format!("{line}\r\nhost: app.test\r\n\r\n")).collect::<Vec<_>>()
    };
    refuses(400, "bare_lf", &lines(&["GET /\nHTTP/1.1"]));
    refuses(400, "invalid_request_line", &lines(&["GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 "]));
    refuses(400, "invalid_version", &lines(&["GET / HTTP/1.32", "GET / HTTP/4294967295.255"]));
    refuses(505, "unsupported_version", &lines(&["GET / HTTP/1.2", "GET / HTTP/2.0", "GET / HTTP/0.9"]));
    let targets = ["GET * HTTP/1.1", "GET a/b HTTP/1.1", "GET /a#b HTTP/1.1", "GET ftp://app.test/ HTTP/1.1"];
    refuses(400, "invalid_target", &lines(&targets));
    refuses(400, "control_character", &lines(&["GET /\x01 HTTP/1.1", "GET /\x7f HTTP/1.1"]));
}

#[test]
fn a9_an_absolute_target_replaces_host() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET http://app.test/a?b HTTP/1.1\r\nhost: other.test\r\n\r\n");
    assert_eq!(client.response("GET").status, 200, "routed by the target");
    client.send("GET http://other.test/a HTTP/1.1\r\nhost: app.test\r\n\r\n");
    assert_eq!(client.response("GET").status, 404, "and never by Host");
    let requests = backend.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].line(), requests[0].field("host")), ("GET /a?b HTTP/1.1", Some("app.test")));
    assert_eq!(requests[0].head.to_ascii_lowercase().matches("\nhost:").count(), 1);
    proxy.finish();
}

#[test]
fn a10_host_is_there_once_and_is_one_host() {
    refuses(400, "missing_host", &["GET / HTTP/1.1\r\n\r\n".to_owned()]);
    let twice = "GET / HTTP/1.1\r\nhost: app.test\r\nHost: app.test\r\n\r\n";
    refuses(400, "duplicate_host", &[twice.to_owned()]);
    let host = |host: &str| format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
    refuses(400, "invalid_host", &["a,b", "a@b", "a b", "", "app.test/x", "app.test:x"].map(host));
}
