//! Taking over a new root.
//!
//! Laws:
//! 1. It happens between turns' batches: a request sees one root from its head to its last pick, but for the Endpoints,
//!    where the latest word counts.
//! 2. Only what changed is touched. A balancer is updated in place, so that counters, averages and phase survive.
//! 3. An Endpoint that is gone, or takes no new requests (because it terminates, say), leaves the pools at once, so
//!    that no request meets its idle connections. They are closed spread over up to a second: neither side sees a
//!    burst, and a Backend of many Endpoints that goes holds up no turn. One that does not live is closed at once.
//! 4. The adoption is announced after the root before was dropped.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;

use fairlead_balance::{Micros, Pick, Reason, Rng, Update, WeightedTargets};

use super::balancing::{Asking, Balancing, known_change};
use super::room::{Lack, Passed};
use super::{Choosing, Worker};
use crate::conn::state::{Conn, Role};
use crate::shared::{BackendSlot, EndpointSlot, EndpointState, Root, RuleAction};

/// What a pick came to.
#[derive(Debug)]
pub(super) enum Picked {
    /// This one, its limit of connections, and why it was chosen among several.
    Endpoint(Arc<EndpointState>, Option<NonZeroU32>, Option<Reason>),
    /// All that there are have no room for a connection.
    Full,
    /// There is none.
    Nobody,
}

/// Idle connections of an Endpoint that leaves are closed within this time.
const SPREAD: Micros = Micros(1_000_000);

impl Worker {
    /// Takes over the published root, if it is another one.
    pub(super) fn adopt(&mut self) {
        if self.shared.root.load().generation == self.root.generation {
            return;
        }
        let new = self.shared.root.load_full();
        let old = std::mem::replace(&mut self.root, Arc::clone(&new));
        for bind in &mut self.binds {
            bind.table = new.binds.get(&bind.address).cloned();
        }
        if new.generation == old.generation + 1 {
            for slot in &new.changed.backends {
                self.update_backend(*slot, &old, &new);
            }
            for slot in &new.changed.gone {
                self.leave(*slot);
            }
            for slot in &new.changed.actions {
                if let Some(choice) = self.choices.get_mut(slot.index as usize) {
                    choice.take_if(|choice| choice.version == slot.version);
                }
            }
        } else {
            for slot in 0..old.backends.bound().max(new.backends.bound()) as u32 {
                let same = match (old.backends.get(slot), new.backends.get(slot)) {
                    (Some(old), Some(new)) => Arc::ptr_eq(old, new),
                    (None, None) => true,
                    _ => false,
                };
                if !same {
                    self.update_backend(BackendSlot(slot), &old, &new);
                }
            }
            self.choices.clear();
            self.leave_gone();
        }
        drop(old);
        let generation = new.generation;
        drop(new);
        self.cell().set_adopted(generation);
    }

    fn update_backend(&mut self, slot: BackendSlot, old: &Root, new: &Root) {
        let index = slot.0 as usize;
        let state = new.backends.get(slot.0);
        let Some(state) = state else {
            if let Some(balancing) = self.balancers.get_mut(index) {
                *balancing = None;
            }
            return;
        };
        let mut left = Vec::new();
        // Without a balancer it was never picked from; what pools know of its Endpoints may come from other Backends.
        let mut changed = known_change(old.backends.get(slot.0).map(Arc::as_ref), state);
        if let Some(Some(balancing)) = self.balancers.get_mut(index) {
            if balancing.is_for(state) {
                Update { changed, left } = balancing.update(state, self.now, &mut self.rng);
            } else {
                self.balancers[index] = None;
            }
        }
        for endpoint in left {
            self.leave(state.endpoints[endpoint as usize].slot);
        }
        let fallback = !state.views.iter().any(|view| view.ready);
        for (endpoint, view) in state.endpoints[changed.clone()].iter().zip(&state.views[changed]) {
            let serves = view.ready || (fallback && view.fallback);
            if !serves {
                self.leave(endpoint.slot);
            }
            let mut displaced = std::mem::take(&mut self.doomed);
            self.pools.set_open(endpoint.slot, serves, &mut displaced);
            self.doomed = displaced;
            self.close_doomed();
        }
    }

    /// Picks an Endpoint of a Backend for this work as it is now: outside `exclude`, or `only` that one. Nobody if there is
    /// none, or if another Backend has taken the slot.
    pub(super) fn pick(
        &mut self,
        slot: BackendSlot,
        incarnation: u64,
        asking: Asking,
        exclude: &[EndpointSlot],
        only: Option<EndpointSlot>,
    ) -> Picked {
        let state = self.root.backends.get(slot.0).filter(|state| state.incarnation == incarnation);
        let Some(state) = state else { return Picked::Nobody };
        let (endpoints, limit) = (&state.endpoints, state.max_connections_per_endpoint);
        if let Some(only) = only {
            let found = endpoints.iter().find(|endpoint| endpoint.slot == only);
            return found
                .map_or(Picked::Nobody, |endpoint| Picked::Endpoint(Arc::clone(endpoint), limit, None));
        }
        let index = slot.0 as usize;
        if self.balancers.len() <= index {
            self.balancers.resize_with(index + 1, || None);
        }
        let (worker, now, rng, pools) = (self.index, self.now, &mut self.rng, &self.pools);
        let balancing =
            self.balancers[index].get_or_insert_with(|| Balancing::new(state, worker, now, &mut *rng));
        let lack = Lack { limit, pools, room: &self.room, now, passed: Cell::default() };
        let excluded = |at: usize| exclude.contains(&endpoints[at].slot) || lack.at(&endpoints[at]);
        let warm = |at: usize| pools.is_warm(endpoints[at].slot);
        let pick = balancing.pick(state, now, rng, asking, &excluded, &warm);
        match (pick, lack.passed.get()) {
            (None, Passed::None) => Picked::Nobody,
            // One that only lacks room is worth more than one whose dials fail.
            (None, _) | (Some(Pick { reason: Reason::LastResort, .. }), Passed::Sound) => Picked::Full,
            (Some(pick), _) => Picked::Endpoint(Arc::clone(&endpoints[pick.index]), limit, Some(pick.reason)),
        }
    }

    /// Which of a Rule's targets takes the next request.
    pub(super) fn choose(&mut self, action: &RuleAction) -> Option<usize> {
        if action.targets.len() <= 1 {
            return action.targets.first().filter(|target| target.weight > 0).map(|_| 0);
        }
        let index = action.slot.index as usize;
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, || None);
        }
        let rng = &mut self.rng;
        let mut make = || {
            let weights = action.targets.iter().map(|target| target.weight);
            Choosing { version: action.slot.version, targets: WeightedTargets::new(weights, rng) }
        };
        let choice = self.choices[index].get_or_insert_with(&mut make);
        if choice.version != action.slot.version {
            *choice = make();
        }
        choice.targets.pick()
    }

    /// Takes an Endpoint's idle connections out of the pool, to be closed within [`SPREAD`].
    fn leave(&mut self, slot: EndpointSlot) {
        if !self.pools.is_warm(slot) {
            return;
        }
        let mut doomed = std::mem::take(&mut self.doomed);
        self.pools.clear(slot, &mut doomed);
        for key in doomed.drain(..) {
            let Some(up) = self.up(key) else { continue };
            up.role = Role::Leaving;
            // Closing an Endpoint's sockets that is dead already needs no care.
            let dead = up.socket.is_hung_up() || up.endpoint.load.is_suspect();
            if dead {
                self.close_up(key);
            } else {
                let wait = self.rng.below(SPREAD.0 as u32);
                self.alarm(key, self.now + Micros(u64::from(wait)));
            }
        }
        self.doomed = doomed;
    }

    /// The same for every Endpoint that is gone, found by looking.
    fn leave_gone(&mut self) {
        let gone = |conn: &Conn| match conn {
            Conn::Up(up) if up.role == Role::Idle && up.endpoint.is_gone() => Some(up.endpoint.slot),
            _ => None,
        };
        let gone: Vec<EndpointSlot> = self.conns.iter().filter_map(|(_, conn)| gone(conn)).collect();
        for slot in gone {
            self.leave(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::parked::parked;

    #[test]
    fn idle_connections_leave_the_pool_at_once_and_are_closed_over_a_second() {
        let (mut worker, endpoint, _streams) = parked(16);
        let start = worker.now;
        worker.leave(endpoint.slot);
        assert_eq!((worker.pools.len(), endpoint.load.connections()), (0, 16));
        let mut left_after = |millis: u64| {
            worker.now = start + Micros::from_millis(millis);
            worker.ring();
            endpoint.load.connections()
        };
        // By chance all 16 fall into the first or the last quarter once in two billion times.
        let left: Vec<u32> = [250, 500, 750, 1_020].into_iter().map(&mut left_after).collect();
        assert!(left.is_sorted_by(|earlier, later| earlier >= later), "{left:?}");
        assert!(left[0] > 0 && left[2] < 16 && left[3] == 0, "not in a burst, and over by then: {left:?}");
    }

    #[test]
    fn those_of_an_endpoint_that_does_not_live_are_closed_at_once() {
        let (mut worker, endpoint, _streams) = parked(3);
        endpoint.load.suspected(worker.now);
        worker.leave(endpoint.slot);
        assert_eq!((worker.pools.len(), endpoint.load.connections()), (0, 0));
    }
}
