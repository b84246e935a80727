//! The usual bugs of gateways that follow `EndpointSlice`s, as far as a data plane can have them; each test is named after
//! what went wrong elsewhere (reference: endpoints, section 2). Those of translation are in
//! `tests/translate/test_endpoints_usual_bugs.py`, that of the ack in `control/slow_worker.rs`.

use std::sync::Arc;

use fairlead_balance::{Dialable, StatusClass};

use crate::support::{self, Backend, Client, Proxy, Standing};

/// "Active health checks keep removed hosts" (Contour 603).
#[test]
fn health_does_not_keep_a_removed_endpoint_nor_mark_its_successor() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut proxy = Proxy::start(&[&a, &b]);
    let removed = Arc::clone(proxy.endpoint(a.address));
    let now = proxy.shared.clock.now();
    removed.load.suspected(now);
    removed.load.suspected(now);
    let mut client = Client::connect(proxy.address);
    let words = |client: &mut Client| (0..10).map(|_| client.get("/").text()).collect::<Vec<_>>();
    assert!(words(&mut client).iter().all(|word| word == "b"), "it is passed over");
    proxy.set_members(&[b.address]);
    assert!(words(&mut client).iter().all(|word| word == "b"));
    // Its health has nobody to keep it: where it is the last resort, and were it sound again, it takes nothing.
    removed.load.dial_succeeded(proxy.shared.clock.now());
    proxy.set_members(&[]);
    assert_eq!(client.get("/").status, 503);
    assert_eq!((a.count(), removed.load.in_flight(), removed.load.connections()), (0, 0, 0));
    // Another Pod on its address: nothing is held against it.
    removed.load.suspected(proxy.shared.clock.now());
    removed.load.suspected(proxy.shared.clock.now());
    proxy.set_members(&[a.address, b.address]);
    let successor = &proxy.endpoint(a.address).load;
    assert!(!successor.is_suspect());
    assert_eq!(successor.dialable(proxy.shared.clock.now()), Dialable::Yes);
    assert_eq!(words(&mut client).iter().filter(|word| *word == "a").count(), 5);
    assert_eq!(removed.load.requests(StatusClass::Success), 0, "its account is closed");
    proxy.finish();
}

/// "Worker-level lag: each worker polls its endpoint table every 1 s" (ingress-nginx 3335).
#[test]
fn no_worker_lags_behind_an_endpoint_change_that_is_adopted() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut config = support::config();
    config.workers = Some(4);
    let mut proxy = Proxy::with(config, &[&a]);
    // Some at each worker: connections are spread evenly.
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(proxy.address)).collect();
    for round in 0..20 {
        let (there, word) = if round % 2 == 0 { (&a, "a") } else { (&b, "b") };
        proxy.set_members(&[there.address]);
        for client in &mut clients {
            assert_eq!(client.get("/").text(), word, "round {round}");
        }
    }
    let busy = proxy.shared.workers.iter().filter(|worker| worker.stats.connections.get() > 0);
    assert_eq!(busy.count(), 4);
    proxy.finish();
}

/// "Retries used to hide all this": what is repeated is counted, with the endpoint that made it necessary; and where
/// repeats are forbidden there are none (NGINX Gateway Fabric repeats although attempts=0).
#[test]
fn retries_hide_no_endpoint_that_is_gone() {
    let a = Backend::saying("a");
    let dead = support::refusing();
    let mut proxy = Proxy::start(&[&a]);
    proxy.set_members(&[dead, a.address]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
    }
    let endpoint = Arc::clone(proxy.endpoint(dead));
    let retries: u64 = proxy.shared.workers[0].stats.retries.iter().map(|(_, count)| count).sum();
    assert!((1..=2).contains(&retries), "{retries}");
    assert_eq!(endpoint.dial_failures(), retries, "each retry has its failure");
    assert_eq!(endpoint.last_failure.get().map(|(_, flag)| flag), Some("UF"));
    assert_eq!(proxy.shared.workers[0].stats.stale_picks.get(), 0, "as far as anybody knew it was there");
    // Gone by the time of its dial: a stale pick, which no retry makes undone.
    endpoint.load.dial_succeeded(proxy.shared.clock.now());
    endpoint.set_gone();
    for _ in 0..2 {
        assert_eq!(client.get("/").status, 200);
    }
    let stale = proxy.shared.workers[0].stats.stale_picks.get();
    assert!((1..=2).contains(&stale), "{stale}");
    proxy.finish();
}

/// "Terminating pods never drained" (Traefik 12417 and others; 503 while all of them terminate is in `fallback`).
#[test]
fn terminating_pods_are_drained_before_they_are_gone() {
    let (a, b) = (Backend::saying("a"), Backend::saying("b"));
    let mut config = support::config();
    config.timeouts.upstream_idle_ms = 60_000;
    let mut proxy = Proxy::with(config, &[&a, &b]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..4 {
        assert_eq!(client.get("/").status, 200);
    }
    let endpoint = Arc::clone(proxy.endpoint(a.address));
    assert_eq!(endpoint.load.connections(), 1);
    proxy.set_standings(&[(&a, Standing::Serving)]);
    let before = a.count();
    for _ in 0..10 {
        assert_eq!(client.get("/").text(), "b", "no new request");
    }
    support::wait_until("its connection's end", || endpoint.load.connections() == 0);
    assert_eq!((a.count(), endpoint.is_gone()), (before, false));
    proxy.finish();
}
