//! Room for connections at Endpoints that may have only so many.
//!
//! Laws:
//! 1. Every connection holds its Endpoint's permit as long as it is in the slab, so that no way of losing a connection
//!    loses a permit.
//! 2. At the limit a worker first gives up idle connections of its own, then asks the others. One of them gives up one
//!    that is idle, or the next that comes free. The permit travels with the answer: nobody takes it on the way.
//! 3. Who asks waits for a bounded time, and no more wait here for an Endpoint than it has connections: the rest
//!    overflows at once. Of those who wait, here and elsewhere, the first to ask is served first.
//! 4. A Backend without a limit pays for none of this.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fairlead_balance::{Dialable, EndpointLoad, Micros, Permit, Work};

use super::Worker;
use super::balancing::Asking;
use super::slab::Key;
use crate::conn::state::Conn;
use crate::exchange::Event;
use crate::pool::{Fingerprint, Pools};
use crate::shared::{BackendSlot, Demand, EndpointSlot, EndpointState, WorkerMessage};
use crate::timer::NEVER;

/// What a worker keeps about room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// The first to ask stands first.
    waiting: Vec<Waiting>,
    /// What other workers ask for. The first to ask stands first.
    demands: Vec<Arc<Demand>>,
    /// Requests that look again before new ones begin.
    freed: Vec<Key>,
    /// Permits that others gave up, for those.
    permits: Vec<Permit<EndpointState>>,
}

/// A request that waits for a connection of an Endpoint to come free.
#[derive(Debug)]
struct Waiting {
    owner: Key,
    /// What the other workers were told.
    demand: Arc<Demand>,
}

impl Waiting {
    fn is_for(&self, endpoint: EndpointSlot) -> bool {
        self.demand.endpoint == endpoint
    }
}

/// Whom a pick passed over because there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Passed {
    /// Nobody.
    #[default]
    None,
    /// Only Endpoints whose dials fail.
    Doubtful,
    /// One without doubt.
    Sound,
}

/// Tells a pick where there is no room, and remembers that it did.
pub(super) struct Lack<'a> {
    pub(super) limit: Option<NonZeroU32>,
    pub(super) pools: &'a Pools,
    pub(super) room: &'a Room,
    pub(super) now: Micros,
    pub(super) passed: Cell<Passed>,
}

impl Lack<'_> {
    /// Whether this worker can have no connection of the Endpoint: none is idle here, and no other is permitted.
    pub(super) fn at(&self, endpoint: &EndpointState) -> bool {
        let Some(limit) = self.limit else { return false };
        let lacks = endpoint.load.connections() >= limit.get()
            && !self.pools.is_warm(endpoint.slot)
            && !self.room.permits.iter().any(|permit| permit.slot == endpoint.slot);
        if lacks && endpoint.load.dialable(self.now) == Dialable::Yes {
            self.passed.set(Passed::Sound);
        } else if lacks && self.passed.get() == Passed::None {
            self.passed.set(Passed::Doubtful);
        }
        lacks
    }
}

impl Room {
    /// Whether somebody is to look again now.
    pub(super) fn is_freed(&self) -> bool {
        !self.freed.is_empty()
    }

    fn take_permit(&mut self, endpoint: EndpointSlot) -> Option<Permit<EndpointState>> {
        let at = self.permits.iter().position(|permit| permit.slot == endpoint)?;
        Some(self.permits.swap_remove(at))
    }
}

impl Worker {
    /// The permit for a dial. At the limit idle connections of this worker's own give way.
    pub(super) fn permit(
        &mut self,
        endpoint: &Arc<EndpointState>,
        limit: Option<NonZeroU32>,
    ) -> Option<Permit<EndpointState>> {
        if limit.is_some()
            && let Some(permit) = self.room.take_permit(endpoint.slot)
        {
            return Some(permit);
        }
        loop {
            if let Some(permit) = Permit::take(endpoint, limit) {
                return Some(permit);
            }
            let idle = self.pools.take(endpoint.slot, Fingerprint::PLAIN_HTTP1, self.now, None)?;
            self.close_taken(idle.key);
        }
    }

    /// Asks the other workers for a connection of one of the Backend's Endpoints, of one with an idle one if there is, by
    /// `key` where keys decide. False if enough wait for them already.
    pub(super) fn ask_for_room(
        &mut self,
        owner: Key,
        (slot, incarnation): (BackendSlot, u64),
        key: u64,
        exclude: &[EndpointSlot],
        until: Micros,
    ) -> bool {
        let now = self.now;
        self.room.waiting.retain(|waiting| waiting.demand.until > now);
        let state = self.root.backends.get(slot.0).filter(|state| state.incarnation == incarnation);
        let Some(state) = state else { return false };
        let Some(Some(balancing)) = self.balancers.get_mut(slot.0 as usize) else { return false };
        let waiting = &self.room.waiting;
        // Whether as many wait for an Endpoint as there are connections of those that count.
        let taken = |at: usize, count: fn(&EndpointLoad) -> u32| {
            let endpoint = &state.endpoints[at];
            let connections = count(&endpoint.load) as usize;
            connections == 0
                || exclude.contains(&endpoint.slot)
                || endpoint.is_suspect(now)
                || waiting.iter().filter(|waiting| waiting.is_for(endpoint.slot)).count() >= connections
        };
        let counts: [fn(&EndpointLoad) -> u32; 2] =
            [EndpointLoad::idle_connections, EndpointLoad::connections];
        let (rng, asking) = (&mut self.rng, Asking { work: Work::Request, key, again: false });
        let pick = counts
            .into_iter()
            .find_map(|count| balancing.pick(state, now, rng, asking, &|at| taken(at, count), &|_| false));
        let Some(pick) = pick else { return false };
        let endpoint = state.endpoints[pick.index].slot;
        let demand = Arc::new(Demand { endpoint, worker: self.index, until, met: AtomicBool::new(false) });
        let at = self.room.waiting.partition_point(|waiting| waiting.demand.until <= until);
        self.room.waiting.insert(at, Waiting { owner, demand: Arc::clone(&demand) });
        for (index, cell) in self.shared.workers.iter().enumerate() {
            if index != self.index {
                cell.send(WorkerMessage::Demand(Arc::clone(&demand)));
            }
        }
        true
    }

    /// Another worker asks for a connection: gives up an idle one now, or else the next that comes free.
    pub(super) fn on_demand(&mut self, demand: Arc<Demand>) {
        let (endpoint, now) = (demand.endpoint, self.now);
        // Also where nothing comes free here: what is met elsewhere must not pile up.
        self.room.demands.retain(|demand| demand.is_open(now));
        let at = self.room.demands.partition_point(|other| other.until <= demand.until);
        self.room.demands.insert(at, demand);
        if self.pools.is_warm(endpoint)
            && let Some(demand) = self.claim_demand(endpoint)
            && let Some(idle) = self.pools.take(endpoint, Fingerprint::PLAIN_HTTP1, now, None)
        {
            self.give_up(idle.key, &demand);
        }
    }

    /// Another worker has given up a connection for a request of this one.
    pub(super) fn on_room(&mut self, permit: Permit<EndpointState>) {
        if self.wake_waiting(permit.slot) {
            self.room.permits.push(permit);
        }
    }

    /// A connection that has a limit is about to be parked. True if it was closed instead: it is above the limit, which
    /// was lowered, or another worker asked for it.
    pub(super) fn part_with(&mut self, key: Key) -> bool {
        let Some(up) = self.up(key) else { return true };
        let endpoint = up.endpoint.slot;
        if up.limit.is_some_and(|limit| up.endpoint.load.connections() > limit.get()) {
            self.close_up(key);
            return true;
        }
        let Some(demand) = self.claim_demand(endpoint) else { return false };
        self.give_up(key, &demand);
        true
    }

    /// A connection was closed: its permit goes to who asked for it, else back.
    pub(super) fn let_go(&mut self, permit: Permit<EndpointState>, limit: Option<NonZeroU32>) {
        let endpoint = permit.slot;
        if limit.is_some_and(|limit| permit.load.connections() <= limit.get())
            && let Some(demand) = self.claim_demand(endpoint)
        {
            return self.shared.workers[demand.worker].send(WorkerMessage::Room(permit));
        }
        drop(permit);
        self.room_at(endpoint);
    }

    /// The first demand for a connection of the Endpoint, unless somebody here has waited for longer. It is met by the
    /// caller.
    fn claim_demand(&mut self, endpoint: EndpointSlot) -> Option<Arc<Demand>> {
        if self.room.demands.is_empty() {
            return None;
        }
        let now = self.now;
        self.room.demands.retain(|demand| demand.is_open(now));
        let here = self.room.waiting.iter().find(|waiting| waiting.is_for(endpoint));
        let here = here.map_or(NEVER, |waiting| waiting.demand.until);
        loop {
            let wanted = |demand: &Arc<Demand>| demand.endpoint == endpoint && demand.until <= here;
            let at = self.room.demands.iter().position(wanted)?;
            let demand = self.room.demands.remove(at);
            if !demand.met.swap(true, Ordering::Relaxed) {
                return Some(demand);
            }
        }
    }

    /// Closes a connection and sends its permit to who asked for it.
    fn give_up(&mut self, key: Key, demand: &Demand) {
        if let Some(Conn::Up(up)) = self.conns.remove(key) {
            up.socket.close(self.poll.registry());
            self.shared.workers[demand.worker].send(WorkerMessage::Room(up.endpoint));
        }
    }

    /// A connection of the Endpoint was parked or closed: who waits for one looks again.
    pub(super) fn room_at(&mut self, endpoint: EndpointSlot) {
        if !self.room.waiting.is_empty() {
            self.wake_waiting(endpoint);
        }
    }

    /// Lets the first request that waits for the Endpoint look again soon. False if none does.
    fn wake_waiting(&mut self, endpoint: EndpointSlot) -> bool {
        while let Some(at) = self.room.waiting.iter().position(|waiting| waiting.is_for(endpoint)) {
            let Waiting { owner, demand } = self.room.waiting.remove(at);
            // From now on nobody else need give up anything for it.
            demand.met.store(true, Ordering::Relaxed);
            let down = self.down(owner).and_then(|down| down.active.as_ref());
            if down.is_some_and(|active| active.machine.awaits_room()) {
                self.room.freed.push(owner);
                return true;
            }
        }
        false
    }

    /// Lets requests look again for which there may be room.
    pub(super) fn look_again(&mut self) {
        if self.room.freed.is_empty() {
            return;
        }
        for owner in std::mem::take(&mut self.room.freed) {
            self.guard(owner, |worker| worker.notify(owner, Event::Room));
        }
        // What nobody used goes back.
        self.room.permits.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProxyConfig;
    use crate::shared::Shared;

    const ENDPOINT: EndpointSlot = EndpointSlot { index: 0, generation: 1 };

    fn worker() -> Worker {
        let config = ProxyConfig { workers: Some(1), access_log: false, ..ProxyConfig::default() };
        Worker::new(Shared::new(config), 0).unwrap()
    }

    /// A demand for so long from now on.
    fn demand(worker: &Worker, seconds: u64, met: bool) -> Arc<Demand> {
        let until = worker.now + Micros::from_secs(seconds);
        Arc::new(Demand { endpoint: ENDPOINT, worker: 0, until, met: AtomicBool::new(met) })
    }

    #[test]
    fn demands_that_are_over_do_not_pile_up() {
        let mut worker = worker();
        for round in 0..100 {
            let over = demand(&worker, round % 2, true);
            worker.on_demand(over);
        }
        assert_eq!(worker.room.demands.len(), 1, "the last one");
    }

    #[test]
    fn the_first_to_ask_is_served_first_here_and_elsewhere() {
        let mut worker = worker();
        for seconds in [7, 3, 3] {
            let asked = demand(&worker, seconds, false);
            worker.on_demand(asked);
        }
        // Another worker has met one of them meanwhile.
        worker.room.demands[1].met.store(true, Ordering::Relaxed);
        let owner = Key { index: 0, generation: 0 };
        let own = Waiting { owner, demand: demand(&worker, 5, false) };
        worker.room.waiting.push(own);
        let now = worker.now;
        let claim = |worker: &mut Worker| {
            let claimed = worker.claim_demand(ENDPOINT)?;
            assert!(!claimed.is_open(now), "nobody else gives up one for it");
            Some(claimed.until.since(now))
        };
        assert_eq!(claim(&mut worker), Some(Micros::from_secs(3)));
        assert_eq!(claim(&mut worker), None, "one of this worker's own came before the last");
        worker.room.waiting.clear();
        assert_eq!(claim(&mut worker), Some(Micros::from_secs(7)));
    }
}
