//! Requests and responses without incident.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::Ordering;

use crate::support::{self, Backend, Client, Proxy, answer, text};

#[test]
fn a_get_is_proxied_and_the_connection_to_the_endpoint_is_kept() {
    let backend = Backend::saying("hello");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..10 {
        let response = client.get("/greet?q=1");
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
    let requests = backend.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 10);
    assert_eq!(requests[0].line(), "GET /greet?q=1 HTTP/1.1");
    assert_eq!(requests[0].field("host"), Some("app.test"));
    assert_eq!(requests[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(requests[0].field("x-forwarded-proto"), Some("http"));
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
    proxy.finish();
}

#[test]
fn what_has_no_endpoint_is_answered_here_and_the_connection_is_kept() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: other.test\r\n\r\n");
    assert_eq!(client.response("GET").status, 404);
    for (path, status) in [("/invalid", 500), ("/empty", 503)] {
        let response = client.get(path);
        assert_eq!(response.status, status, "{path}");
        assert_eq!(response.body.len().to_string(), response.field("content-length").unwrap());
    }
    client.send("HEAD /empty HTTP/1.1\r\nhost: app.test\r\n\r\n");
    assert_eq!(client.response("HEAD").status, 503);
    assert_eq!(client.post("/empty", b"body").status, 503);
    assert_eq!(client.get("/").status, 200);
    proxy.finish();
}

#[test]
fn what_is_not_http_is_refused_counted_and_closed() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client
        .send("GET / HTTP/1.1\r\nhost: app.test\r\nhost: b\r\n\r\nGET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.status, 400);
    assert_eq!(response.field("connection"), Some("close"));
    assert!(client.is_closed());
    assert_eq!(proxy.refused("duplicate_host"), 1);
    proxy.finish();
}

#[test]
fn chunks_and_trailers_pass_both_ways() {
    let backend = Backend::http(|request| {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        format!(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\nx-echo: {}\r\n\r\n",
            body.len(),
            request.trailers.trim()
        )
        .into_bytes()
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for split in [false, true] {
        let head = "POST /up HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n";
        for part in [head, "5\r\nhel", "lo\r\n6;a=b\r\n world\r\n", "0\r\nx-t", "rail: 1\r\n\r\n"] {
            client.send(part);
            if split {
                support::pause(20);
            }
        }
        let response = client.response("POST");
        assert_eq!((response.status, response.text().as_str()), (200, "hello world"));
        assert_eq!(response.trailers, "x-echo: x-trail: 1\r\n");
    }
    proxy.finish();
}

#[test]
fn a_head_response_has_no_body_and_the_connection_goes_on() {
    let backend = Backend::http(|request| {
        if request.line().starts_with("HEAD") {
            return b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec();
        }
        text("next")
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("HEAD / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    let response = client.response("HEAD");
    assert_eq!((response.status, response.field("content-length")), (200, Some("1000")));
    assert_eq!(client.get("/").text(), "next");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1);
    proxy.finish();
}

#[test]
fn interim_responses_reach_http_1_1_clients_only() {
    let backend = Backend::http(|_| {
        [
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n".to_vec(),
            text("done"),
        ]
        .concat()
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    let early = client.head();
    assert_eq!((early.status, early.field("link")), (103, Some("</a>")));
    assert_eq!(client.head().status, 102);
    assert_eq!(client.response("GET").text(), "done");

    let mut old = Client::connect(proxy.address);
    old.send("GET / HTTP/1.0\r\nhost: app.test\r\n\r\n");
    assert_eq!(old.response("GET").status, 200);
    proxy.finish();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let backend = Backend::http(|request| text(request.line().split(' ').nth(1).unwrap()));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let mut all = String::new();
    for index in 0..50 {
        let fields = "HTTP/1.1\r\nhost: app.test\r\n";
        write!(all, "POST /{index} {fields}content-length: 3\r\n\r\nabcGET /{index}/g {fields}\r\n").unwrap();
    }
    client.send(&all);
    for index in 0..50 {
        assert_eq!(client.response("POST").text(), format!("/{index}"));
        assert_eq!(client.response("GET").text(), format!("/{index}/g"));
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1, "one exchange at a time");
    proxy.finish();
}

#[test]
fn http_1_0_gets_decoded_bodies_and_closes_unless_it_asks() {
    let backend = Backend::http(|request| match request.line().split(' ').nth(1) {
        Some("/chunked") => {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".to_vec()
        }
        _ => text("sized"),
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET /chunked HTTP/1.0\r\nhost: app.test\r\n\r\n");
    let response = client.response("GET");
    assert_eq!((response.text().as_str(), response.field("transfer-encoding")), ("abcde", None));

    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: app.test\r\nconnection: keep-alive\r\n\r\n");
        assert_eq!(client.response("GET").text(), "sized");
    }
    client.send("GET / HTTP/1.0\r\nhost: app.test\r\n\r\n");
    assert_eq!(client.response("GET").text(), "sized");
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_body_that_ends_with_the_connection_becomes_chunks() {
    let backend = Backend::raw(|mut stream, _| {
        let mut reader = support::reader(&stream);
        reader.request();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil ").unwrap();
        support::pause(20);
        stream.write_all(b"the end").unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.text(), "until the end");
        assert_eq!(response.field("transfer-encoding"), Some("chunked"));
    }
    assert_eq!(backend.connections.load(Ordering::Relaxed), 2);
    proxy.finish();
}

#[test]
fn a_body_that_ends_with_the_connection_ends_so_for_an_http_1_0_client() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end").unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.0\r\nhost: app.test\r\nconnection: keep-alive\r\n\r\n");
    let response = client.response("GET");
    assert_eq!(response.text(), "until the end");
    assert_eq!((response.field("transfer-encoding"), response.field("connection")), (None, Some("close")));
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_body_that_ends_with_a_reset_is_not_whole() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil ").unwrap();
        support::pause(50);
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 0, "no last chunk");
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_client_that_pipelines_and_ends_its_direction_gets_all_its_answers() {
    let backend = Backend::http(|request| {
        support::pause(50);
        text(request.line().split(' ').nth(1).unwrap())
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let fields = "HTTP/1.1\r\nhost: app.test\r\n";
    client
        .send(format!("GET /1 {fields}\r\nPOST /2 {fields}content-length: 3\r\n\r\nabcGET /3 {fields}\r\n"));
    client.shutdown();
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.response("GET").text(), path);
    }
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn connection_close_is_honoured_on_both_sides() {
    let backend = Backend::http(|_| answer("200 OK", &["connection: close"], b"bye"));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let response = client.get("/");
    assert_eq!((response.text().as_str(), response.field("connection")), ("bye", None));
    assert_eq!(client.get("/").text(), "bye");
    assert_eq!(
        backend.connections.load(Ordering::Relaxed),
        2,
        "the endpoint's wish ends its own connection only"
    );
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n");
    assert_eq!(client.response("GET").field("connection"), Some("close"));
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_head_larger_than_a_read_buffer_passes_and_one_above_the_limit_does_not() {
    let backend =
        Backend::http(|request| text(&request.field("x-large").unwrap_or_default().len().to_string()));
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    let large = "v".repeat(40_000);
    client.send(format!("GET / HTTP/1.1\r\nhost: app.test\r\nx-large: {large}\r\n\r\n"));
    assert_eq!(client.response("GET").text(), "40000");
    client.send(format!("GET / HTTP/1.1\r\nhost: app.test\r\nx-large: {large}{large}\r\n\r\n"));
    assert_eq!(client.response("GET").status, 431);
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_response_that_is_not_http_is_502_and_its_connection_is_not_used_again() {
    let backend = Backend::http(|request| match request.line().split(' ').nth(1) {
        Some("/bad") => b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab".to_vec(),
        Some("/more") => [text("ok"), b"extra".to_vec()].concat(),
        _ => text("ok"),
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/bad").status, 502);
    assert_eq!(client.get("/more").status, 502);
    assert_eq!(client.get("/").text(), "ok");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 3);
    proxy.finish();
}

#[test]
fn a_response_that_breaks_off_is_cut_off() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart").unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 0, "never a whole response");
    assert_eq!(backend.connections.load(Ordering::Relaxed), 1, "and never a second attempt");
    proxy.finish();
}

#[test]
fn several_workers_share_the_connections() {
    let backend = Backend::saying("x");
    let config = fairlead_proxy::ProxyConfig { workers: Some(3), ..support::config() };
    let proxy = Proxy::with(config, &[&backend]);
    let mut clients: Vec<Client> = (0..30).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status, 200);
    }
    let held: Vec<u64> = proxy.shared.workers.iter().map(|cell| cell.stats.connections.get()).collect();
    assert_eq!(held.iter().sum::<u64>(), 30);
    assert!(held.iter().all(|count| *count >= 5), "{held:?}");
    drop(clients);
    support::wait_until("all connections closed", || {
        proxy.shared.workers.iter().all(|cell| cell.stats.connections.get() == 0)
    });
    proxy.finish();
}
