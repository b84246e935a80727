//! The Ledger as a whole: Endpoint identities and their one state each.
//!
//! Laws:
//! 1. The same identity and address is one [`EndpointState`], however many Backends use it. Its counters, averages
//!    and phase live as long as any Backend has it.
//! 2. Whether an Endpoint is gone is decided at the end of a transaction ([`Registry::settle`]): one that moved from
//!    one Backend to another stays. Gone is for ever; the same identity coming back later is a new state.
//! 3. A slot is given away again only when nobody but the registry holds the state and nothing is in flight
//!    ([`Registry::sweep`]).

use std::net::SocketAddr;
use std::sync::Arc;

use fairlead_balance::{EndpointLoad, Micros};
use fairlead_snapshot::Endpoint;
use rustc_hash::FxHashMap;

use super::slots::Numbers;
use crate::shared::{EndpointSlot, EndpointState};

#[derive(Debug)]
struct Registered {
    state: Arc<EndpointState>,
    uses: u32,
}

/// How many Endpoints there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) used: usize,
    pub(super) retired: usize,
    pub(super) retired_in_flight: u64,
}

/// All Endpoints of all Backends.
#[derive(Debug)]
pub(super) struct Registry {
    by_identity: FxHashMap<(Arc<str>, SocketAddr), Registered>,
    unused: Vec<(Arc<str>, SocketAddr)>,
    retired: Vec<Arc<EndpointState>>,
    numbers: Numbers,
    workers: usize,
}

impl Registry {
    pub(super) fn new(workers: usize) -> Self {
        Self {
            by_identity: FxHashMap::default(),
            unused: Vec::new(),
            retired: Vec::new(),
            numbers: Numbers::default(),
            workers,
        }
    }

    /// The state of an Endpoint, which has one more user now. Its address is valid.
    pub(super) fn acquire(
        &mut self,
        endpoint: &Endpoint,
        address: SocketAddr,
        now: Micros,
    ) -> Arc<EndpointState> {
        let identity = (Arc::clone(&endpoint.id), address);
        let entry = self.by_identity.entry(identity).or_insert_with(|| {
            let (index, version) = self.numbers.take();
            let slot = EndpointSlot { index, generation: version as u32 };
            let load = Arc::new(EndpointLoad::new(now, self.workers));
            Registered { state: Arc::new(EndpointState::new(slot, endpoint, address, load)), uses: 0 }
        });
        entry.uses += 1;
        Arc::clone(&entry.state)
    }

    /// One user less.
    pub(super) fn release(&mut self, state: &EndpointState) {
        let identity = (Arc::clone(&state.id), state.address);
        if let Some(entry) = self.by_identity.get_mut(&identity) {
            entry.uses -= 1;
            if entry.uses == 0 {
                self.unused.push(identity);
            }
        }
    }

    /// The end of a transaction: Endpoints without a user are gone.
    pub(super) fn settle(&mut self) -> Vec<EndpointSlot> {
        let mut gone = Vec::new();
        for identity in std::mem::take(&mut self.unused) {
            if self.by_identity.get(&identity).is_some_and(|entry| entry.uses == 0)
                && let Some(entry) = self.by_identity.remove(&identity)
            {
                entry.state.set_gone();
                gone.push(entry.state.slot);
                self.retired.push(entry.state);
            }
        }
        gone
    }

    /// Frees the slots of gone Endpoints that nobody holds any more.
    pub(super) fn sweep(&mut self) {
        let numbers = &mut self.numbers;
        self.retired.retain(|state| {
            let held = Arc::strong_count(state) > 1 || state.load.in_flight() > 0;
            if !held {
                numbers.give_back(state.slot.index);
            }
            held
        });
    }

    /// Endpoints in use, gone ones that somebody still holds, and what is in flight on those.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            used: self.by_identity.len(),
            retired: self.retired.len(),
            retired_in_flight: self.retired.iter().map(|state| u64::from(state.load.in_flight())).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(id: &str) -> (Endpoint, SocketAddr) {
        let endpoint = Endpoint {
            address: "10.0.0.1".into(),
            drain_deadline_s: None,
            id: id.into(),
            node: None,
            pod: None,
            port: 80,
            ready: true,
            serving: true,
            subsets: Vec::new(),
            terminating: false,
            weight: 1,
            zone: None,
        };
        (endpoint, "10.0.0.1:80".parse().unwrap())
    }

    fn acquire(registry: &mut Registry, id: &str) -> Arc<EndpointState> {
        let (endpoint, address) = endpoint(id);
        registry.acquire(&endpoint, address, Micros(1))
    }

    #[test]
    fn two_users_share_one_state_until_the_last_leaves() {
        let mut registry = Registry::new(2);
        let first = acquire(&mut registry, "a");
        let second = acquire(&mut registry, "a");
        assert!(Arc::ptr_eq(&first, &second));
        registry.release(&first);
        assert!(registry.settle().is_empty() && !first.is_gone());
        registry.release(&first);
        assert_eq!(registry.settle(), [first.slot]);
        assert!(first.is_gone());
    }

    #[test]
    fn an_endpoint_that_moves_within_a_transaction_stays() {
        let mut registry = Registry::new(1);
        let state = acquire(&mut registry, "a");
        registry.release(&state);
        let again = acquire(&mut registry, "a");
        assert!(registry.settle().is_empty());
        assert!(Arc::ptr_eq(&state, &again));
    }

    /// "Active health checks keep removed hosts" (Contour 603), and what was held against them.
    #[test]
    fn health_keeps_no_removed_endpoint_and_its_successor_starts_anew() {
        let mut registry = Registry::new(1);
        let old = acquire(&mut registry, "a");
        old.load.suspected(Micros(2));
        old.load.suspected(Micros(2));
        registry.release(&old);
        assert_eq!(registry.settle(), [old.slot]);
        let new = acquire(&mut registry, "a");
        assert!(!Arc::ptr_eq(&old, &new) && old.slot != new.slot);
        assert!(old.is_suspect(Micros(3)) && !new.is_suspect(Micros(3)));
    }

    #[test]
    fn a_slot_is_given_away_only_when_nobody_holds_it() {
        let mut registry = Registry::new(1);
        let old = acquire(&mut registry, "a");
        registry.release(&old);
        registry.settle();
        registry.sweep();
        let other = acquire(&mut registry, "b");
        assert_ne!(other.slot.index, old.slot.index);
        let (index, in_flight) = (old.slot.index, old.load.started());
        drop(old);
        registry.sweep();
        assert_ne!(acquire(&mut registry, "c").slot.index, index, "a request is in flight");
        drop(in_flight);
        registry.sweep();
        let last = acquire(&mut registry, "d");
        assert_eq!(last.slot.index, index);
        assert_eq!(registry.counts(), Counts { used: 3, retired: 0, retired_in_flight: 0 });
    }
}
