//! Endpoints on their way out (KEP-1669): ready ones first, else those that terminate and still serve, else 503; and what
//! becomes of connections to those that take no more requests.

use std::io::Write;
use std::sync::Arc;

use fairlead_balance::Policy;

use crate::support::{self, Backend, Client, Proxy, Standing, text};

const POLICIES: [Policy; 2] = [Policy::RoundRobin, Policy::PeakEwma];

/// Who answered so many requests, sorted, each once.
fn who(client: &mut Client, count: usize) -> Vec<String> {
    let mut words: Vec<String> = (0..count)
        .map(|_| {
            let response = client.get("/");
            assert_eq!(response.status, 200);
            response.text()
        })
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

#[test]
fn ready_ones_first_else_serving_and_terminating_ones_else_503() {
    for policy in POLICIES {
        let (a, b) = (Backend::saying("a"), Backend::saying("b"));
        let mut proxy = Proxy::start(&[&a, &b]);
        proxy.set_policy(policy);
        let mut client = Client::connect(proxy.address);
        assert_eq!(who(&mut client, 40), ["a", "b"], "{policy:?}");
        proxy.set_standings(&[(&a, Standing::Serving)]);
        assert_eq!(who(&mut client, 10), ["b"], "{policy:?}: one of them is ready");
        proxy.set_standings(&[(&b, Standing::Serving)]);
        assert_eq!(who(&mut client, 40), ["a", "b"], "{policy:?}: all terminate and serve");
        proxy.set_standings(&[(&a, Standing::Ended)]);
        assert_eq!(who(&mut client, 10), ["b"], "{policy:?}: one serves no more");
        proxy.set_standings(&[(&b, Standing::Ended)]);
        for _ in 0..3 {
            assert_eq!(client.get("/").status, 503, "{policy:?}: nobody serves");
        }
        let before = (a.count(), b.count());
        assert_eq!(client.post("/", b"x").status, 503, "{policy:?}");
        assert_eq!((a.count(), b.count()), before, "{policy:?}: none of them was asked");
        proxy.set_standings(&[(&a, Standing::Serving)]);
        assert_eq!(who(&mut client, 10), ["a"], "{policy:?}");
        proxy.set_standings(&[(&b, Standing::Ready)]);
        assert_eq!(who(&mut client, 10), ["b"], "{policy:?}: a ready one takes everything again");
        proxy.finish();
    }
}

#[test]
fn an_answer_of_503_for_nobody_is_flagged_uh() {
    let a = Backend::saying("a");
    let config = fairlead_proxy::ProxyConfig { access_log: true, ..support::config() };
    let mut proxy = Proxy::with(config, &[&a]);
    proxy.set_standings(&[(&a, Standing::Ended)]);
    assert_eq!(Client::connect(proxy.address).get("/").status, 503);
    let line = crate::accounts::lines(&proxy, 1).remove(0);
    assert_eq!(line["response_flags"], "UH");
    proxy.finish();
}

/// A proxy before two backends. The first one stands as said and has idle connections, which do not end by their idle
/// time while the test is patient; the second one has ended.
fn with_idle_connections(policy: Policy, leaving: Standing) -> (Proxy, Backend, Backend) {
    let a = Backend::http(|_| {
        support::pause(100);
        text("a")
    });
    let b = Backend::saying("b");
    let mut config = support::config();
    config.timeouts.upstream_idle_ms = 60_000;
    let mut proxy = Proxy::with(config, &[&a, &b]);
    proxy.set_policy(policy);
    proxy.set_standings(&[(&a, leaving), (&b, Standing::Ended)]);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response("GET").text(), "a");
    }
    support::wait_until("rest", || proxy.in_flight() == 0);
    assert!(proxy.endpoint(a.address).load.connections() > 1, "one per request at the same time");
    (proxy, a, b)
}

#[test]
fn an_endpoint_that_turns_terminating_lets_its_idle_connections_go() {
    for (policy, standing) in [(POLICIES[0], Standing::Serving), (POLICIES[1], Standing::Ended)] {
        let (mut proxy, a, b) = with_idle_connections(policy, Standing::Ready);
        let served = a.count();
        proxy.set_standings(&[(&b, Standing::Ready), (&a, standing)]);
        let mut client = Client::connect(proxy.address);
        assert_eq!(who(&mut client, 10), ["b"]);
        let load = Arc::clone(&proxy.endpoint(a.address).load);
        support::wait_until("the idle connections' end", || load.connections() == 0);
        assert_eq!(a.count(), served, "no request met one of them");
        proxy.finish();
    }
}

#[test]
fn one_that_terminates_lets_them_go_when_another_becomes_ready() {
    // Nothing is said of it: what changes is that it is not needed any more.
    let (mut proxy, a, b) = with_idle_connections(Policy::RoundRobin, Standing::Serving);
    proxy.set_standings(&[(&b, Standing::Ready)]);
    let load = Arc::clone(&proxy.endpoint(a.address).load);
    support::wait_until("the idle connections' end", || load.connections() == 0);
    proxy.finish();
}

#[test]
fn a_request_in_flight_at_a_terminating_endpoint_is_finished_and_its_connection_not_kept() {
    let gate = Arc::new(std::sync::Barrier::new(2));
    let held = Arc::clone(&gate);
    let a = Backend::raw(move |mut stream, _| {
        let mut reader = support::reader(&stream);
        reader.request();
        held.wait();
        stream.write_all(&text("last")).unwrap();
        reader.rest();
    });
    let b = Backend::saying("b");
    let mut config = support::config();
    config.timeouts.upstream_idle_ms = 60_000;
    let mut proxy = Proxy::with(config, &[&a, &b]);
    proxy.set_standings(&[(&b, Standing::Ended)]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    proxy.set_standings(&[(&a, Standing::Serving), (&b, Standing::Ready)]);
    gate.wait();
    assert_eq!(client.response("GET").text(), "last");
    let load = Arc::clone(&proxy.endpoint(a.address).load);
    support::wait_until("its connection's end", || load.connections() == 0);
    proxy.finish();
}
