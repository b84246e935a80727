//! Requests whose key decides which endpoint takes them.

use std::collections::HashMap;
use std::net::SocketAddr;

use crate::support::{self, Backend, Client, Proxy};
use fairlead_balance::Permit;
use fairlead_proxy::ProxyConfig;
use fairlead_proxy::internals::HashOn;

const WORDS: [&str; 5] = ["a", "b", "c", "d", "e"];
const KEYS: usize = 200;

fn proxy(config: ProxyConfig, on: HashOn) -> (Proxy, Vec<Backend>) {
    let backends: Vec<Backend> = WORDS.into_iter().map(Backend::saying).collect();
    let mut proxy = Proxy::with(config, &backends.iter().collect::<Vec<_>>());
    proxy.hash_on(on);
    (proxy, backends)
}

fn by_user(workers: usize) -> (Proxy, Vec<Backend>) {
    let config = ProxyConfig { workers: Some(workers), ..support::config() };
    proxy(config, HashOn::Header("x-user".into()))
}

fn addresses(backends: &[Backend]) -> Vec<SocketAddr> {
    backends.iter().map(|backend| backend.address).collect()
}

/// Who answers a request with this line.
fn asked(client: &mut Client, line: &str) -> String {
    client.send(format!("GET / HTTP/1.1\r\nhost: app.test\r\n{line}\r\n\r\n"));
    let response = client.response("GET");
    assert_eq!(response.status, 200);
    response.text()
}

/// Who answers each user.
fn users(client: &mut Client) -> Vec<String> {
    (0..KEYS).map(|user| asked(client, &format!("X-User: user-{user}"))).collect()
}

#[test]
fn equal_values_go_to_the_same_endpoint_over_connections_and_workers() {
    let (proxy, _backends) = by_user(4);
    let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(proxy.address)).collect();
    let first = users(&mut clients[0]);
    for client in &mut clients {
        assert_eq!(users(client), first);
    }
    assert!(
        proxy.shared.workers.iter().all(|cell| cell.stats.connections.get() > 0),
        "all workers had a say"
    );
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for word in &first {
        *counts.entry(word).or_default() += 1;
    }
    assert!(counts.len() == 5 && counts.values().all(|count| *count >= KEYS / 5 / 4), "{counts:?}");
    drop(clients);
    proxy.finish();
}

#[test]
fn an_endpoint_that_goes_moves_its_own_keys_and_few_others() {
    let (mut proxy, backends) = by_user(2);
    let mut client = Client::connect(proxy.address);
    let before = users(&mut client);
    proxy.set_members(&addresses(&backends[..4]));
    let after = users(&mut client);
    assert!(after.iter().all(|word| word != "e"));
    let moved = |(one, other): &(&String, &String)| *one != "e" && one != other;
    let moved = before.iter().zip(&after).filter(moved).count();
    assert!(moved <= KEYS / 50, "{moved} of {KEYS}");
    proxy.finish();
}

#[test]
fn an_endpoint_that_refuses_loses_its_keys_for_a_while_and_nobody_else_any() {
    let (mut proxy, backends) = by_user(1);
    let mut client = Client::connect(proxy.address);
    let before = users(&mut client);
    let members = addresses(&backends);
    backends[1].kill();
    let after = users(&mut client);
    for (one, other) in before.iter().zip(&after) {
        assert!(if one == "b" { other != "b" } else { one == other }, "{one} {other}");
    }
    // Another Pod at another address, and the keys of those that stay are where they were, but for few.
    proxy.set_members(&members[..1].iter().chain(&members[2..]).copied().collect::<Vec<_>>());
    let moved =
        before.iter().zip(users(&mut client)).filter(|(one, other)| *one != "b" && *one != other).count();
    assert!(moved <= KEYS / 50, "{moved} of {KEYS}");
    drop(client);
    proxy.finish();
}

#[test]
fn requests_without_the_header_spread_by_chance() {
    let (proxy, backends) = by_user(1);
    let mut client = Client::connect(proxy.address);
    for line in ["a: b", "x-user:"] {
        for _ in 0..KEYS {
            asked(&mut client, line);
        }
    }
    assert!(backends.iter().all(|backend| backend.count() >= KEYS * 2 / 5 / 2), "all have their share");
    drop(client);
    proxy.finish();
}

#[test]
fn a_clients_address_is_its_key_and_a_trusted_proxys_word_for_it() {
    let mut config = ProxyConfig { workers: Some(2), ..support::config() };
    config.forwarded.trusted = vec!["127.9.9.9".parse().unwrap()];
    let (proxy, _backends) = proxy(config, HashOn::SourceIp);
    let own = |source: &str, line: &str| asked(&mut Client::connect_from(source, proxy.address), line);
    let sources: Vec<String> = (1..=20).map(|last| format!("127.0.0.{last}")).collect();
    let words: Vec<String> = sources.iter().map(|source| own(source, "a: b")).collect();
    assert!(words.iter().any(|word| *word != words[0]), "{words:?}");
    for (source, word) in sources.iter().zip(&words) {
        assert_eq!(own(source, "x-forwarded-for: 203.0.113.5"), *word, "what strangers say does not count");
        assert_eq!(own("127.9.9.9", &format!("x-forwarded-for: 203.0.113.5, {source}")), *word);
    }
    proxy.finish();
}

#[test]
fn an_endpoint_at_its_limit_gives_its_keys_to_others() {
    let mut config = ProxyConfig { workers: Some(1), ..support::config() };
    config.timeouts.upstream_idle_ms = 50;
    let (mut proxy, backends) = proxy(config, HashOn::Header("x-user".into()));
    proxy.set_limit(Some(1));
    let mut client = Client::connect(proxy.address);
    let own = asked(&mut client, "x-user: anna");
    let at = WORDS.iter().position(|word| *word == own).unwrap();
    let busy = Permit::take(proxy.endpoint(backends[at].address), None).unwrap();
    support::wait_until("the idle connection's end", || busy.load.connections() == 1);
    let other = asked(&mut client, "x-user: anna");
    assert_ne!(other, own);
    assert_eq!(asked(&mut client, "x-user: anna"), other, "the same one again");
    drop(busy);
    assert_eq!(asked(&mut client, "x-user: anna"), own);
    drop(client);
    proxy.finish();
}
