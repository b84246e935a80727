//! Endpoints that come and go, and the proxy's own end.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::support::{self, Backend, Client, Proxy, text};
use fairlead_balance::{Micros, Policy, StatusClass};
use fairlead_proxy::internals::{Phase, WorkerMessage};

fn addresses(backends: &[&Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

#[test]
fn a_new_endpoint_takes_requests_and_a_gone_one_none() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut proxy = Proxy::start(&[&a]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").text(), "a");
    proxy.set_members(&addresses(&[&a, &b]));
    let words: Vec<String> = (0..10).map(|_| client.get("/").text()).collect();
    assert_eq!(words.iter().filter(|word| *word == "b").count(), 5, "{words:?}");
    proxy.set_members(&addresses(&[&b]));
    let before = a.count();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "b");
    }
    assert_eq!(a.count(), before);
    proxy.set_members(&[]);
    assert_eq!(client.get("/").status, 503);
    proxy.finish();
}

#[test]
fn a_gone_endpoint_takes_its_idle_connections_with_it_within_a_second() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut proxy = Proxy::start(&[&a]);
    let mut clients: Vec<Client> = (0..8).map(|_| Client::connect(proxy.address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.response("GET").text(), "a");
    }
    let endpoint = Arc::clone(proxy.endpoint(a.address));
    assert!(endpoint.load.connections() >= 1);
    let start = std::time::Instant::now();
    proxy.set_members(&addresses(&[&b]));
    support::wait_until("the idle connections' end", || endpoint.load.connections() == 0);
    assert!(start.elapsed().as_millis() < 1_500, "not by their idle time");
    proxy.finish();
}

#[test]
fn a_request_in_flight_at_a_gone_endpoint_is_finished_and_its_connection_not_kept() {
    let a = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        support::pause(300);
        stream.write_all(&text("last")).unwrap();
        support::pause(2_000);
    });
    let b = Backend::saying("b");
    let mut proxy = Proxy::start(&[&a]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    let endpoint = Arc::clone(proxy.endpoint(a.address));
    proxy.set_members(&addresses(&[&b]));
    assert_eq!(client.response("GET").text(), "last");
    support::wait_until("its connection's end", || endpoint.load.connections() == 0);
    proxy.finish();
}

#[test]
fn a_new_pod_on_an_old_address_inherits_no_connection() {
    let a = Backend::saying("a");
    let mut proxy = Proxy::start(&[&a]);
    let mut client = Client::connect(proxy.address);
    client.get("/");
    proxy.set_members(&[]);
    proxy.set_members(&addresses(&[&a]));
    client.get("/");
    assert_eq!(a.connections.load(Ordering::Relaxed), 2);
    proxy.finish();
}

#[test]
fn endpoints_change_under_load_without_a_failure() {
    change_under_load(Policy::RoundRobin);
    change_under_load(Policy::PeakEwma);
}

fn change_under_load(policy: Policy) {
    let backends: Vec<Backend> = (0..4).map(|_| Backend::saying("x")).collect();
    let mut proxy = Proxy::start(&backends.iter().collect::<Vec<_>>());
    proxy.set_policy(policy);
    let stop = Arc::new(AtomicBool::new(false));
    let served = Arc::new(AtomicUsize::new(0));
    let address = proxy.address;
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Relaxed) {
                    assert_eq!(client.get("/").status, 200);
                    assert_eq!(client.post("/", b"x").status, 200);
                    served.fetch_add(2, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..200 {
        let members: Vec<_> =
            (0..4).filter(|index| index % 4 != round % 4).map(|index| backends[index].address).collect();
        proxy.set_members(&members);
        support::pause(3);
    }
    stop.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().unwrap();
    }
    assert!(served.load(Ordering::Relaxed) > 200);
    proxy.finish();
}

#[test]
fn a_rolling_restart_of_endpoints_that_exit_at_once_loses_no_get() {
    for policy in [Policy::RoundRobin, Policy::PeakEwma] {
        let serve = || {
            Backend::http(|_| {
                support::pause(2);
                text("x")
            })
        };
        let mut backends: Vec<Backend> = (0..5).map(|_| serve()).collect();
        let mut proxy = Proxy::start(&[]);
        proxy.set_policy(policy);
        proxy.set_members(&addresses(&backends.iter().collect::<Vec<_>>()));
        let stop = Arc::new(AtomicBool::new(false));
        let address = proxy.address;
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || {
                    let mut client = Client::connect(address);
                    let mut lost = 0;
                    while !stop.load(Ordering::Relaxed) {
                        lost += usize::from(client.get("/").status != 200);
                    }
                    lost
                })
            })
            .collect();
        for _ in 0..backends.len() {
            support::pause(60);
            let old = backends.remove(0);
            backends.push(serve());
            proxy.set_members(&addresses(&backends.iter().chain([&old]).collect::<Vec<_>>()));
            support::pause(20);
            old.kill();
            // The news of its end travels for a while.
            support::pause(40);
            proxy.set_members(&addresses(&backends.iter().collect::<Vec<_>>()));
        }
        stop.store(true, Ordering::Relaxed);
        let lost: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(lost, 0, "{policy:?}");
        proxy.finish();
    }
}

#[test]
fn a_counter_survives_the_changes_around_it() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut proxy = Proxy::start(&[&a]);
    let mut client = Client::connect(proxy.address);
    for round in 0..10 {
        proxy.set_members(&if round % 2 == 0 { addresses(&[&a, &b]) } else { addresses(&[&a]) });
        client.get("/");
    }
    // An attempt counts when it is over, a moment after the client has its answer.
    support::wait_until("all of them counted", || {
        proxy.endpoint(a.address).load.requests(StatusClass::Success) == a.count() as u64
    });
    proxy.finish();
}

#[test]
fn a_retired_listener_is_closed_and_its_connections_stay() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    assert_eq!(client.get("/").status, 200);
    // The worker's copy, this test's, and no other.
    let address = proxy.address;
    proxy.shared.workers[0].send(WorkerMessage::Retire(address));
    support::wait_until("the socket's end", || Arc::strong_count(&proxy.open) == 1);
    assert!(TcpStream::connect(address).is_err());
    assert_eq!(client.get("/").status, 200);
    proxy.finish();
}

#[test]
fn draining_answers_with_close_and_still_accepts() {
    let backend = Backend::saying("x");
    let proxy = Proxy::start(&[&backend]);
    let mut before = Client::connect(proxy.address);
    assert_eq!(before.get("/").field("connection"), None);
    proxy.shared.advance(Phase::Draining);
    support::wait_until("the phase", || {
        let response = Client::connect(proxy.address).get("/");
        assert_eq!(response.status, 200, "still accepts");
        response.field("connection") == Some("close")
    });
    let response = before.get("/");
    assert_eq!((response.status, response.field("connection")), (200, Some("close")));
    assert!(before.is_closed());
    proxy.finish();
}

#[test]
fn closing_ends_idle_connections_finishes_requests_and_then_the_worker() {
    let backend = Backend::raw(|mut stream, _| {
        support::reader(&stream).request();
        support::pause(400);
        stream.write_all(&text("last")).unwrap();
    });
    let mut proxy = Proxy::start(&[&backend]);
    let mut idle = Client::connect(proxy.address);
    let mut busy = Client::connect(proxy.address);
    busy.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    proxy.shared.advance(Phase::Draining);
    proxy.shared.set_deadline(proxy.shared.clock.now() + Micros::from_secs(20));
    proxy.shared.advance(Phase::Closing);
    assert!(idle.is_closed());
    support::wait_until("the socket's end", || Arc::strong_count(&proxy.open) == 1);
    assert!(TcpStream::connect(proxy.address).is_err());
    let response = busy.response("GET");
    assert_eq!((response.text().as_str(), response.field("connection")), ("last", Some("close")));
    proxy.join();
    assert_eq!(proxy.in_flight(), 0);
}

#[test]
fn closing_still_answers_the_first_request_of_a_connection_that_was_just_accepted() {
    let backend = Backend::saying("x");
    // It has a fifth of a second to come, which a busy machine may let pass: not every time.
    let served = (0..20).any(|_| {
        let mut proxy = Proxy::start(&[&backend]);
        let mut fresh = Client::connect(proxy.address);
        proxy.shared.set_deadline(proxy.shared.clock.now() + Micros::from_secs(20));
        proxy.shared.advance(Phase::Closing);
        support::wait_until("the socket's end", || Arc::strong_count(&proxy.open) == 1);
        let served = fresh.try_get();
        proxy.join();
        served
    });
    assert!(served);
}

#[test]
fn the_deadline_ends_what_will_not() {
    let backend = Backend::raw(|stream, _| {
        support::reader(&stream).rest();
    });
    let mut proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n");
    support::wait_until("the attempt", || proxy.in_flight() == 2);
    proxy.shared.set_deadline(proxy.shared.clock.now() + Micros::from_millis(300));
    proxy.shared.advance(Phase::Closing);
    proxy.join();
    assert_eq!(client.response("GET").status, 0);
}

#[test]
fn above_the_connection_limit_connections_are_closed_at_once() {
    let backend = Backend::saying("x");
    let mut config = support::config();
    config.limits.connections = 2;
    let proxy = Proxy::with(config, &[&backend]);
    let mut held = [Client::connect(proxy.address), Client::connect(proxy.address)];
    for client in &mut held {
        assert_eq!(client.get("/").status, 200);
    }
    assert!(Client::connect(proxy.address).is_closed());
    assert_eq!(proxy.refused("connection_limit"), 1);
    drop(held);
    support::wait_until("room again", || Client::connect(proxy.address).try_get());
    proxy.finish();
}
