//! How a Backend's endpoint is chosen, from the contract to [`Algorithm`].
//!
//! Law: where keys decide, the table is made here, once for all workers, and again only where the candidates, their
//! weights or its size change. No other Backend pays for it.

use std::sync::Arc;

use fairlead_balance::{EndpointView, Maglev, Policy, TableSize};
use fairlead_snapshot::{ConsistentHash, HashKey, LoadBalancer};

use crate::shared::{Algorithm, HashOn};

/// How one of `views` is chosen. `table` is the last one that was made for this Backend.
pub(super) fn algorithm(
    policy: &fairlead_snapshot::Policy,
    views: &[EndpointView],
    identities: &[u64],
    table: &mut Option<Arc<Maglev>>,
) -> Algorithm {
    let before = table.take();
    match (policy.load_balancer, &policy.consistent_hash) {
        (LoadBalancer::ConsistentHash, Some(hash)) => {
            let size = TableSize::new(hash.table_size).unwrap_or_default();
            let made = Arc::new(match before {
                Some(before) => before.updated(size, views, identities),
                None => Maglev::new(size, views, identities),
            });
            *table = Some(Arc::clone(&made));
            Algorithm::Hashed(hash_on(hash), made)
        }
        (LoadBalancer::RoundRobin, _) => Algorithm::Drawn(Policy::RoundRobin),
        // Validation lets nobody hash without a key.
        (LoadBalancer::PeakEwma | LoadBalancer::ConsistentHash, _) => Algorithm::Drawn(Policy::PeakEwma),
    }
}

fn hash_on(hash: &ConsistentHash) -> HashOn {
    match (hash.r#type, &hash.header) {
        (HashKey::Header, Some(name)) => HashOn::Header(name.clone()),
        (HashKey::Header | HashKey::SourceIp, _) => HashOn::SourceIp,
    }
}

#[cfg(test)]
mod tests {
    use fairlead_snapshot::{Backend, Endpoint, Policy as Wanted, Resource};

    use super::super::core::Commit;
    use super::super::world::{APP, OTHER, Sent, backend, core, endpoint, endpoints, gateway};
    use super::*;
    use crate::shared::BackendState;

    fn hashing(service: &str, table_size: u32) -> Resource {
        let Resource::Backend(backend) = backend(service) else { panic!("no Backend") };
        let hash = ConsistentHash { header: Some("x-user".into()), table_size, r#type: HashKey::Header };
        let policy = Wanted {
            consistent_hash: Some(hash),
            load_balancer: LoadBalancer::ConsistentHash,
            ..Wanted::default()
        };
        Resource::Backend(Backend { policy, ..backend })
    }

    fn state<'a>(commit: &'a Commit, name: &str) -> &'a BackendState {
        commit.root.backends.iter().find(|(_, state)| &*state.name == name).expect("a Backend").1
    }

    fn table<'a>(commit: &'a Commit, name: &str) -> &'a Arc<Maglev> {
        match &state(commit, name).algorithm {
            Algorithm::Hashed(HashOn::Header(header), table) => {
                assert_eq!(&**header, "x-user");
                table
            }
            other => panic!("{other:?}"),
        }
    }

    fn delta(base: &'static str, hash: &'static str, upsert: Endpoint) -> Sent {
        let mut sent = Sent::default();
        sent.deltas.push((APP.to_owned(), base, hash, vec![upsert], vec![]));
        sent
    }

    #[test]
    fn a_table_is_made_again_only_where_its_candidates_change() {
        let mut core = core();
        let made = gateway().put(APP, "k2", hashing("app", 503)).apply(&mut core, 1);
        let first = table(&made, APP);
        assert_eq!(first.slots().count(), 503);
        // The first by id, and not ready: all others get another index.
        let unready = Endpoint { id: "a".into(), ready: false, ..endpoint(9) };
        let second = delta("e1", "e2", unready).apply(&mut core, 2);
        assert!(table(&second, APP).shares_slots_with(first));
        let pod = |commit: &Commit, slot: usize| {
            let index = table(commit, APP).slots().nth(slot).unwrap();
            Arc::clone(&state(commit, APP).endpoints[index].id)
        };
        assert!((0..503).all(|slot| pod(&made, slot) == pod(&second, slot)));
        let third = delta("e2", "e3", endpoint(3)).apply(&mut core, 3);
        assert!(!table(&third, APP).shares_slots_with(first));
        let larger = Sent::default().put(APP, "k3", hashing("app", 1_009)).apply(&mut core, 4);
        assert_eq!(table(&larger, APP).slots().count(), 1_009);
        let drawn = Sent::default().put(APP, "k4", backend("app")).apply(&mut core, 5);
        assert!(matches!(state(&drawn, APP).algorithm, Algorithm::Drawn(Policy::PeakEwma)));
    }

    #[test]
    fn another_replica_makes_the_same_table_whatever_came_first() {
        let (mut one, mut other) = (core(), core());
        gateway().put(APP, "k2", hashing("app", 503)).apply(&mut one, 1);
        let one = delta("e1", "e2", endpoint(7)).apply(&mut one, 2);
        let whole = Sent::full()
            .put(OTHER, "e8", endpoints([7, 3]))
            .put(APP, "e9", endpoints([7, 2, 1]))
            .put(APP, "k2", hashing("app", 503));
        let other = whole.apply(&mut other, 1);
        let ids = |commit: &Commit| -> Vec<Arc<str>> {
            let endpoints = &state(commit, APP).endpoints;
            table(commit, APP).slots().map(|index| Arc::clone(&endpoints[index].id)).collect()
        };
        assert_eq!(ids(&one), ids(&other));
    }

    #[test]
    fn where_keys_decide_no_worker_has_a_part() {
        let mut core = core();
        let all = Sent::full()
            .put(OTHER, "e1", endpoints(0..=255))
            .put(OTHER, "k1", backend("other"))
            .put(APP, "e1", endpoints(0..=255))
            .put(APP, "k1", hashing("app", 65_537));
        let commit = all.apply(&mut core, 1);
        assert!(state(&commit, OTHER).parts.is_some());
        assert!(state(&commit, APP).parts.is_none());
    }

    #[test]
    fn without_endpoints_there_is_an_empty_table() {
        let mut core = core();
        let commit = Sent::full().put(APP, "k1", hashing("app", 503)).apply(&mut core, 1);
        assert_eq!(table(&commit, APP).slots().count(), 0);
        let commit = Sent::default().put(APP, "e1", endpoints([1])).apply(&mut core, 2);
        assert_eq!(table(&commit, APP).slots().count(), 503);
    }
}
