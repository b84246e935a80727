//! Whatever happened before: what is held decides what is served, and what is gone leaves nothing behind.

use std::net::SocketAddr;

use fairlead_balance::Micros;
use fairlead_route::RequestView;
use proptest::prelude::*;

use super::core::{Commit, Core};
use super::last_good;
use super::world::{NoHeaders, Sent, attached, backend, bind_at, core, endpoints, listener_of};
use crate::shared::{Destination, Root};

const BINDS: [&str; 2] = ["127.0.0.2:8080", "127.0.0.3:8080"];
const LISTENERS: [&str; 2] = ["infra/edge/one", "infra/edge/two"];
const SERVICES: [&str; 2] = ["app", "other"];
const HOSTS: [&str; 3] = ["a.test", "b.test", "c.test"];
const PATHS: [&str; 2] = ["/", "/deep/er"];

/// One change of one resource of a small world.
#[derive(Debug, Clone)]
enum Change {
    Bind(usize),
    Listener(usize, usize, Option<usize>),
    Endpoints(usize, Vec<u8>),
    Delta(usize, u8, Option<u8>),
    Backend(usize),
    Route(usize, Vec<(usize, Option<usize>)>, usize, usize),
    Remove(usize, usize),
    Broken(usize, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let attachments = prop::collection::vec((0..2usize, prop::option::of(0..3usize)), 0..3);
    prop_oneof![
        (0..2usize).prop_map(Change::Bind),
        (0..2usize, 0..2usize, prop::option::of(0..3usize)).prop_map(|(a, b, c)| Change::Listener(a, b, c)),
        (0..2usize, prop::collection::vec(1..6u8, 0..4)).prop_map(|(a, b)| Change::Endpoints(a, b)),
        (0..2usize, 1..6u8, prop::option::of(1..6u8)).prop_map(|(a, b, c)| Change::Delta(a, b, c)),
        (0..2usize).prop_map(Change::Backend),
        (0..3usize, attachments, 0..2usize, 0..2usize).prop_map(|(a, b, c, d)| Change::Route(a, b, c, d)),
        (0..5usize, 0..3usize).prop_map(|(a, b)| Change::Remove(a, b)),
        (0..5usize, 0..3usize).prop_map(|(a, b)| Change::Broken(a, b)),
    ]
}

fn service(index: usize) -> String {
    format!("Service/shop/{}/80", SERVICES[index % 2])
}

fn name(kind: usize, index: usize) -> (&'static str, String) {
    match kind {
        0 => ("bind", BINDS[index % 2].to_owned()),
        1 => ("listener", LISTENERS[index % 2].to_owned()),
        2 => ("endpoints", service(index)),
        3 => ("backend", service(index)),
        _ => ("route", format!("HTTPRoute/shop/r{index}")),
    }
}

fn sent(change: &Change, step: usize) -> Sent {
    let hash = format!("h{step}");
    match change {
        Change::Bind(which) => Sent::default().put(BINDS[*which], &hash, bind_at(BINDS[*which])),
        Change::Listener(which, bind, host) => {
            let listener = listener_of(LISTENERS[*which], BINDS[*bind], host.map(|host| HOSTS[host]));
            Sent::default().put(LISTENERS[*which], &hash, listener)
        }
        Change::Endpoints(which, numbers) => {
            let mut numbers = numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            Sent::default().put(&service(*which), "base", endpoints(numbers))
        }
        Change::Delta(which, put, removed) => {
            Sent::default().delta(&service(*which), "base", "base", *put, *removed)
        }
        Change::Backend(which) => Sent::default().put(&service(*which), &hash, backend(SERVICES[*which])),
        Change::Route(which, attachments, path, target) => {
            let attachments = attachments
                .iter()
                .map(|(listener, host)| (LISTENERS[*listener], host.map(|host| HOSTS[host])));
            let route = attached(&format!("r{which}"), attachments, PATHS[*path], &service(*target));
            Sent::default().put(&format!("HTTPRoute/shop/r{which}"), &hash, route)
        }
        Change::Remove(kind, index) => {
            let (kind, name) = name(*kind, *index);
            Sent::default().remove(kind, &name)
        }
        Change::Broken(kind, index) => {
            let (kind, name) = name(*kind, *index);
            Sent::default().broken(kind, &name)
        }
    }
}

/// What every request of the small world meets: its counters' labels and the endpoints behind it.
fn served(root: &Root) -> Vec<String> {
    let mut all = Vec::new();
    for bind in BINDS {
        let address: SocketAddr = bind.parse().unwrap();
        let Some(table) = root.binds.get(&address) else { continue };
        for host in HOSTS {
            for path in PATHS {
                let request = RequestView {
                    host: host.as_bytes(),
                    path: path.as_bytes(),
                    query: None,
                    method: b"GET",
                    headers: &NoHeaders,
                };
                let answer = table.table.find(&request).map_or_else(
                    || format!("404 by {:?}", table.unmatched(host.as_bytes()).labels),
                    |action| {
                        let Destination::Backend(slot) = action.targets[0].to else {
                            return "500".to_owned();
                        };
                        let state = root.backends.get(slot.0);
                        let ids = state.map(|state| {
                            assert_eq!(state.endpoints.len(), state.views.len());
                            state.endpoints.iter().map(|endpoint| endpoint.id.to_string()).collect::<Vec<_>>()
                        });
                        format!("{:?} {:?} {ids:?}", action.stats.labels, state.map(|state| &state.name))
                    },
                );
                all.push(format!("{bind} {host}{path}: {answer}"));
            }
        }
    }
    all
}

fn labels(root: &Root) -> Vec<String> {
    let mut labels: Vec<String> = root.stats.iter().map(|(_, stats)| format!("{:?}", stats.labels)).collect();
    labels.sort();
    labels
}

fn restarted(core: &Core) -> (Core, Commit) {
    let file = last_good::encode(core.position().unwrap(), &core.saved(), 0);
    let read = last_good::decode(&file).unwrap();
    let mut again = self::core();
    let commit = again.take(read.update().unwrap(), Micros(1)).unwrap().unwrap();
    (again, commit)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_history_serves_what_a_restart_serves(changes in prop::collection::vec(change(), 1..40)) {
        let mut core = core();
        let mut last = None;
        for (step, change) in changes.iter().enumerate() {
            last = Some(sent(change, step).apply(&mut core, step as u64 + 1));
        }
        let last = last.unwrap();
        let (again, fresh) = restarted(&core);
        for refused in &fresh.in_force {
            let known = last.in_force.iter().any(|each| (&each.kind, &each.name) == (&refused.kind, &refused.name));
            prop_assert!(known, "{refused:?} is refused after a restart only");
        }
        let (root, fresh) = (last.root, fresh.root);
        prop_assert_eq!(served(&root), served(&fresh));
        prop_assert_eq!(labels(&root), labels(&fresh));
        prop_assert_eq!(core.have(), again.have());
        let (counts, fresh_counts) = (core.backends.endpoint_counts(), again.backends.endpoint_counts());
        prop_assert_eq!(counts.used, fresh_counts.used);
    }

    #[test]
    fn what_is_gone_leaves_nothing_behind(changes in prop::collection::vec(change(), 1..40)) {
        let mut core = core();
        for (step, change) in changes.iter().enumerate() {
            drop(sent(change, step).apply(&mut core, step as u64 + 1));
        }
        let commit = Sent::full().apply(&mut core, 1_000);
        prop_assert!(commit.in_force.is_empty());
        let root = commit.root;
        prop_assert!(root.binds.is_empty() && core.have().is_empty() && core.wanted_binds().is_empty());
        prop_assert_eq!((root.stats.iter().count(), root.backends.iter().count()), (0, 0));
        core.sweep();
        let counts = core.backends.endpoint_counts();
        prop_assert_eq!((counts.used, counts.retired, counts.retired_in_flight), (0, 0, 0));
        prop_assert_eq!(core.backends.len(), 0);
    }

    #[test]
    fn one_transaction_is_as_good_as_many(changes in prop::collection::vec(change(), 1..20)) {
        // The last word on each resource, all at once, against one after the other.
        let plain = |change: &&Change| !matches!(change, Change::Delta(..) | Change::Remove(..) | Change::Broken(..));
        let mut one_by_one = core();
        let mut at_once = Sent::default();
        for (step, change) in changes.iter().filter(plain).enumerate() {
            let sent = sent(change, step);
            sent.apply(&mut one_by_one, step as u64 + 1);
            at_once = at_once.and(sent);
        }
        // Routes that waited for a Backend in one history and not in the other meet again once all are there.
        let all = SERVICES.iter().fold(Sent::default(), |sent, name| sent.put(&format!("Service/shop/{name}/80"), "x", backend(name)));
        let mut together = self::core();
        at_once.apply(&mut together, 1);
        let (a, b) = (all.apply(&mut one_by_one, 100), all.apply(&mut together, 100));
        prop_assert_eq!(served(&a.root), served(&b.root));
        prop_assert_eq!(one_by_one.have(), together.have());
    }
}
