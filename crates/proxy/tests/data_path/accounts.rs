//! What is remembered of requests: counters, the Ledger, the access log.

use std::io::Write;

use fairlead_balance::StatusClass;
use serde_json::Value;

use crate::support::{self, Backend, Client, Proxy, answer, text};

/// A proxy that logs.
fn logging(members: &[&Backend]) -> Proxy {
    Proxy::with(fairlead_proxy::ProxyConfig { access_log: true, ..support::config() }, members)
}

/// Waits for so many lines of the access log.
pub(crate) fn lines(proxy: &Proxy, count: usize) -> Vec<Value> {
    let mut bytes = Vec::new();
    support::wait_until("the log's lines", || {
        bytes.extend(proxy.shared.workers[0].log.drain(Vec::new()));
        bytes.split(|byte| *byte == b'\n').count() > count
    });
    bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

#[test]
fn a_request_is_one_line_with_all_that_is_known() {
    let backend = Backend::http(|_| answer("201 Created", &[], b"12345"));
    let proxy = logging(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send(
        "PUT /a%20b?q=1 HTTP/1.1\r\nhost: app.test\r\nuser-agent: \"agent\"\r\nx-request-id: r-1\r\n\
         content-length: 3\r\n\r\nabc",
    );
    assert_eq!(client.response("PUT").status, 201);
    let line = lines(&proxy, 1).remove(0);
    for (key, value) in [
        ("method", Value::from("PUT")),
        ("path", "/a%20b?q=1".into()),
        ("protocol", "HTTP/1.1".into()),
        ("response_code", 201.into()),
        ("response_flags", "-".into()),
        ("bytes_received", 3.into()),
        ("bytes_sent", 5.into()),
        ("upstream_host", backend.address.to_string().into()),
        ("upstream_cluster", "Service/default/app/80".into()),
        ("user-agent", "\"agent\"".into()),
        ("x-request-id", "r-1".into()),
        ("attempts", 1.into()),
    ] {
        assert_eq!(line[key], value, "{key} in {line}");
    }
    proxy.finish();
}

#[test]
fn every_bad_end_has_its_flags() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        while let Some(request) = reader.request() {
            let path = request.line().split(' ').nth(1).unwrap().to_owned();
            match path.as_str() {
                "/die" => return,
                "/timed" => support::pause(1_000),
                "/cut" => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx").unwrap();
                    return;
                }
                "/noise" => {
                    stream.write_all(b"220 smtp ready\r\n\r\n").unwrap();
                    return;
                }
                _ => stream.write_all(&text("ok")).unwrap(),
            }
        }
    });
    let mut proxy = logging(&[&backend]);
    let mut expected = Vec::new();
    for (method, path, status, flags) in [
        ("GET", "/empty", 503, "UH"),
        ("GET", "/invalid", 500, "NC"),
        ("POST", "/die", 502, "UC"),
        ("GET", "/timed", 504, "UT"),
        ("GET", "/cut", 200, "UC"),
        ("GET", "/noise", 502, "UPE"),
    ] {
        let mut client = Client::connect(proxy.address);
        client.send(format!("{method} {path} HTTP/1.1\r\nhost: app.test\r\n\r\n"));
        client.response(method);
        expected.push((status, flags.to_owned()));
    }
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: nobody.test\r\n\r\n");
    client.response("GET");
    expected.push((404, "NR".to_owned()));
    client.send("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    client.response("GET");
    expected.push((400, "DPE".to_owned()));
    proxy.set_members(&[support::refusing()]);
    assert_eq!(Client::connect(proxy.address).get("/").status, 502);
    expected.push((502, "UF".to_owned()));
    let lines = lines(&proxy, expected.len());
    let seen: Vec<(u64, String)> = lines
        .iter()
        .map(|line| {
            (line["response_code"].as_u64().unwrap(), line["response_flags"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(seen, expected);
    proxy.finish();
}

#[test]
fn a_client_that_left_is_logged_as_such() {
    let backend = Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    });
    let proxy = logging(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    client.reset();
    let line = lines(&proxy, 1).remove(0);
    assert_eq!((line["response_code"].as_u64(), line["response_flags"].as_str()), (Some(0), Some("DC")));
    proxy.finish();
}

#[test]
fn the_ledger_knows_classes_and_latencies() {
    let backend = Backend::http(|request| match request.line().split(' ').nth(1) {
        Some("/missing") => answer("404 Not Found", &[], b""),
        Some("/broken") => answer("500 Internal Server Error", &[], b""),
        Some("/moved") => answer("301 Moved Permanently", &["location: /"], b""),
        _ => text("ok"),
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for path in ["/", "/", "/missing", "/broken", "/moved"] {
        client.get(path);
    }
    let load = &proxy.endpoint(backend.address).load;
    let counts = [
        (StatusClass::Success, 2),
        (StatusClass::Redirection, 1),
        (StatusClass::ClientError, 1),
        (StatusClass::ServerError, 1),
    ];
    for (class, count) in counts {
        support::wait_until("the Ledger's counter", || load.requests(class) == count);
        support::wait_until("the rule's counter", || proxy.stats.requests(class) == count);
    }
    assert_eq!(load.totals().latency.count(), 5);
    assert!(load.latency(proxy.shared.clock.now()).is_some());
    proxy.finish();
}

#[test]
fn retries_are_counted_by_their_reason() {
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    proxy.set_members(&[support::refusing(), backend.address]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
    }
    let retries: Vec<_> = proxy.shared.workers[0].stats.retries.iter().collect();
    // The endpoint that refuses has its turn once or twice, by the phase.
    assert!(matches!(retries[..], [("never_sent", 1 | 2)]), "{retries:?}");
    proxy.finish();
}
