//! Deadlines: heads, idle connections, routes, clients that leave.

use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::{self, Backend, Client, Proxy, text};
use fairlead_balance::StatusClass;
use fairlead_proxy::ProxyConfig;

fn quick() -> ProxyConfig {
    let mut config = support::config();
    config.timeouts.request_head_ms = 200;
    config.timeouts.downstream_idle_ms = 300;
    config.timeouts.stream_idle_ms = 400;
    config.timeouts.upstream_idle_ms = 100;
    config
}

/// Reads requests and never answers.
fn mute() -> Backend {
    Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    })
}

#[test]
fn a_slow_head_is_408_however_it_drips() {
    let backend = Backend::saying("x");
    let proxy = Proxy::with(quick(), &[&backend]);
    let mut client = Client::connect(proxy.address);
    let start = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nhost: app" {
        if start.elapsed() > Duration::from_millis(400) || !client.try_send([*byte]) {
            break;
        }
        support::pause(20);
    }
    assert_eq!(client.response("GET").status, 408);
    assert!(client.is_closed());
    assert_eq!(proxy.refused("request_head_timeout"), 1);
    proxy.finish();
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let backend = Backend::saying("x");
    let proxy = Proxy::with(quick(), &[&backend]);
    let mut fresh = Client::connect(proxy.address);
    let mut used = Client::connect(proxy.address);
    assert_eq!(used.get("/").status, 200);
    assert!(used.is_closed() && fresh.is_closed());
    proxy.finish();
}

#[test]
fn an_idle_connection_to_an_endpoint_is_closed_after_its_time() {
    let backend = Backend::saying("x");
    let proxy = Proxy::with(quick(), &[&backend]);
    assert_eq!(Client::connect(proxy.address).get("/").status, 200);
    assert_eq!(proxy.endpoint(backend.address).load.connections(), 1);
    support::wait_until("the idle connection's end", || {
        proxy.endpoint(backend.address).load.connections() == 0
    });
    proxy.finish();
}

#[test]
fn a_routes_deadline_is_504() {
    let backend = mute();
    let other = mute();
    let proxy = Proxy::start(&[&backend, &other]);
    for path in ["/timed", "/hurried"] {
        let mut client = Client::connect(proxy.address);
        let start = Instant::now();
        assert_eq!(client.get(path).status, 504);
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(300), "{path}: {took:?}");
    }
    assert_eq!(
        backend.connections.load(Ordering::Relaxed) + other.connections.load(Ordering::Relaxed),
        2,
        "no repeat"
    );
    support::wait_until("both counted", || proxy.stats.requests(StatusClass::ServerError) == 2);
    proxy.finish();
}

#[test]
fn a_routes_deadline_in_the_middle_of_a_response_cuts_it_off() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").unwrap();
        support::pause(1_500);
    });
    let proxy = Proxy::start(&[&backend]);
    assert_eq!(Client::connect(proxy.address).get("/timed").status, 0);
    proxy.finish();
}

#[test]
fn no_deadline_binds_a_response_that_takes_its_time() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        support::pause(700);
        stream.write_all(&text("late")).unwrap();
    });
    // Longer than every other time in this configuration.
    let proxy = Proxy::with(quick(), &[&backend]);
    assert_eq!(Client::connect(proxy.address).get("/").text(), "late");
    proxy.finish();
}

#[test]
fn a_client_that_stalls_in_its_body_is_408() {
    let backend = mute();
    let proxy = Proxy::with(quick(), &[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(client.response("POST").status, 408);
    assert!(client.is_closed());
    proxy.finish();
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let backend = Backend::http(|_| support::answer("200 OK", &[], &vec![1; 50_000_000]));
    let proxy = Proxy::with(quick(), &[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the end of the exchange", || proxy.stats.requests(StatusClass::Success) == 1);
    assert_eq!(client.response("GET").status, 0);
    proxy.finish();
}

#[test]
fn a_client_that_leaves_ends_its_attempt() {
    let backend = mute();
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    // As a client does that is killed, or that closes with something unread. What a mere end means is told in
    // `worker/tests/half_closed.rs`.
    client.reset();
    proxy.finish();
}

#[test]
fn a_client_that_ends_its_direction_still_gets_its_answer() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        support::pause(200);
        stream.write_all(&text("late")).unwrap();
    });
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    client.shutdown();
    assert_eq!(client.response("GET").text(), "late");
    proxy.finish();
}
