//! Endpoints that are passed over: when that is counted, and as what.

use std::net::SocketAddr;

use fairlead_balance::Dialable;
use fairlead_proxy::internals::metrics_page;

use crate::repeats::Silent;
use crate::support::{self, Backend, Client, Proxy};

/// The series of `fairlead_upstream_ejections_total`, by reason.
fn ejections(proxy: &Proxy) -> Vec<(String, u64)> {
    let page = String::from_utf8(metrics_page(&proxy.shared)).unwrap();
    let labels = "backend_namespace=\"default\",backend=\"Service/default/app/80\",reason=\"";
    let start = format!("fairlead_upstream_ejections_total{{{labels}");
    let series = page.lines().filter_map(|line| line.strip_prefix(&start)?.split_once("\"} "));
    series.map(|(reason, count)| (reason.to_owned(), count.parse().unwrap())).collect()
}

/// Sends requests until the Endpoint is passed over; all are answered.
fn until_passed_over(proxy: &Proxy, address: SocketAddr) {
    let mut client = Client::connect(proxy.address);
    let load = &proxy.endpoint(address).load;
    support::wait_until("it is passed over", || {
        assert_eq!(client.get("/").status, 200);
        load.dialable(proxy.shared.clock.now()) == Dialable::PassedOver
    });
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
    }
}

#[test]
fn an_endpoint_that_refuses_is_counted_once_however_often_it_refuses() {
    let backend = Backend::saying("ok");
    let mut proxy = Proxy::start(&[&backend]);
    let refusing = support::refusing();
    proxy.set_members(&[refusing, backend.address]);
    assert_eq!(ejections(&proxy), [], "a Backend that never met one has no series");
    until_passed_over(&proxy, refusing);
    // With nobody else it is dialled nevertheless: it stays passed over.
    proxy.set_members(&[refusing]);
    for _ in 0..3 {
        assert_eq!(Client::connect(proxy.address).get("/").status, 502);
    }
    assert_eq!(ejections(&proxy), [("refused".to_owned(), 1)]);
    proxy.set_members(&[refusing, backend.address]);
    // It comes back, and is lost again.
    proxy.endpoint(refusing).load.dial_succeeded(proxy.shared.clock.now());
    until_passed_over(&proxy, refusing);
    assert_eq!(ejections(&proxy), [("refused".to_owned(), 2)]);
    proxy.finish();
}

#[test]
fn one_that_is_silent_is_counted_when_its_dial_is_hedged() {
    let silent = Silent::new();
    let backend = Backend::saying("ok");
    let mut config = support::config();
    // It is known by the hedge, long before its dials end.
    config.timeouts.connect_ms = 60_000;
    let mut proxy = Proxy::with(config, &[]);
    proxy.set_members(&[silent.address, backend.address]);
    until_passed_over(&proxy, silent.address);
    assert_eq!(ejections(&proxy), [("timed_out".to_owned(), 1)]);
    proxy.finish();
}

#[test]
fn a_dial_that_nobody_waits_for_counts_for_the_backend_that_it_was_for() {
    let silent = Silent::new();
    let backend = Backend::saying("unused");
    let mut config = support::config();
    config.timeouts.hedge_ms = 60_000;
    let mut proxy = Proxy::with(config, &[&backend]);
    proxy.set_members(&[silent.address]);
    // The requests' time is up long before that of their dials, which then are nobody's.
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        assert_eq!(client.get("/timed").status, 504);
    }
    assert_eq!(ejections(&proxy), [], "the dials go on");
    support::wait_until("the dials' ends", || ejections(&proxy) == [("timed_out".to_owned(), 1)]);
    proxy.finish();
}
