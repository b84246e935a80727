//! Idle connections to Endpoints, per worker.
//!
//! Laws:
//! 1. A connection belongs to one Endpoint identity (its slot with the generation) and one transport fingerprint. A new
//!    Pod on an old address has another identity and inherits none.
//! 2. Last in, first out: the connection that was used last is the one least likely to be closed by its server.
//! 3. A connection that was parked in this turn is given only where there is no other, and as such: the poller has not
//!    been asked about it since, so bytes behind its last response would be taken for the answer to the next request.
//!    Whether the poller, when asked, has told all, is the worker's knowledge.
//! 4. The pool holds keys and moments; whose sockets they are, and closing them, is the worker's part. What leaves the
//!    pool by another way than [`take`](Pools::take) is told to the worker, who closes it.

use fairlead_balance::Micros;

use crate::shared::EndpointSlot;
use crate::worker::slab::Key;

/// What must be equal for a connection to serve a request: protocol, SNI, CA and SAN policy, client certificate,
/// PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) u64);

impl Fingerprint {
    /// HTTP/1.1 without TLS.
    pub(crate) const PLAIN_HTTP1: Self = Self(0);
}

/// A connection out of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) key: Key,
    /// Parked before this turn: the poller was asked about it since.
    pub(crate) polled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Idle {
    key: Key,
    fingerprint: Fingerprint,
    /// The time of its turn: no two turns have the same.
    since: Micros,
}

#[derive(Debug, Default)]
struct Pool {
    generation: u32,
    idle: Vec<Idle>,
    /// The Endpoint takes no new requests: a connection is closed after its response.
    closed: bool,
}

/// The pools of a worker, by the Endpoint's dense index.
#[derive(Debug)]
pub(crate) struct Pools {
    endpoints: Vec<Pool>,
    per_endpoint: usize,
    len: usize,
    /// The turn in which something was parked last, and how much of that is left.
    turn: Micros,
    of_turn: usize,
}

impl Pools {
    /// Empty pools that keep at most so many idle connections per Endpoint.
    pub(crate) fn new(per_endpoint: usize) -> Self {
        Self { endpoints: Vec::new(), per_endpoint, len: 0, turn: Micros::ZERO, of_turn: 0 }
    }

    /// Says whether the Endpoint takes new requests. What is in its pool stays there until [`clear`](Self::clear).
    pub(crate) fn set_open(&mut self, slot: EndpointSlot, open: bool, displaced: &mut Vec<Key>) {
        // An Endpoint that was never connected to has no pool; a new one is open.
        if !open || self.pool(slot).is_some() {
            self.place(slot, displaced).closed = !open;
        }
    }

    /// The Endpoint's pool, made if need be; the connections of one that stood at its index before are displaced.
    fn place(&mut self, slot: EndpointSlot, displaced: &mut Vec<Key>) -> &mut Pool {
        let index = slot.index as usize;
        if self.endpoints.len() <= index {
            self.endpoints.resize_with(index + 1, Pool::default);
        }
        let pool = &mut self.endpoints[index];
        if pool.generation != slot.generation {
            self.len -= pool.idle.len();
            displaced.extend(pool.idle.drain(..).map(|idle| idle.key));
            *pool = Pool { generation: slot.generation, idle: std::mem::take(&mut pool.idle), closed: false };
        }
        pool
    }

    fn pool(&mut self, slot: EndpointSlot) -> Option<&mut Pool> {
        self.endpoints.get_mut(slot.index as usize).filter(|pool| pool.generation == slot.generation)
    }

    /// Idle connections in all pools.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// How many of them were parked in this turn, more or less: those that were closed since are in it.
    pub(crate) fn of_turn(&self, now: Micros) -> usize {
        if self.turn == now { self.of_turn.min(self.len) } else { 0 }
    }

    /// Whether the Endpoint has an idle connection.
    pub(crate) fn is_warm(&self, slot: EndpointSlot) -> bool {
        let pool = self.endpoints.get(slot.index as usize).filter(|pool| pool.generation == slot.generation);
        pool.is_some_and(|pool| !pool.idle.is_empty())
    }

    /// Puts a connection in. What it displaces has to be closed by the caller: the oldest one when the pool is full,
    /// or all of an Endpoint that stood at this index before.
    pub(crate) fn park(
        &mut self,
        slot: EndpointSlot,
        fingerprint: Fingerprint,
        key: Key,
        now: Micros,
        displaced: &mut Vec<Key>,
    ) {
        let per_endpoint = self.per_endpoint;
        let pool = self.place(slot, displaced);
        if per_endpoint == 0 || pool.closed {
            displaced.push(key);
            return;
        }
        let full = pool.idle.len() == per_endpoint;
        if full {
            displaced.push(pool.idle.remove(0).key);
        }
        pool.idle.push(Idle { key, fingerprint, since: now });
        self.len += usize::from(!full);
        self.of_turn = if self.turn == now { self.of_turn + 1 } else { 1 };
        self.turn = now;
    }

    /// Takes the connection that was parked last before this turn, which is the one at `now`; else one of this turn.
    /// With `fresh`, only if it was parked less than so long ago.
    pub(crate) fn take(
        &mut self,
        slot: EndpointSlot,
        fingerprint: Fingerprint,
        now: Micros,
        fresh: Option<Micros>,
    ) -> Option<Taken> {
        let pool = self.pool(slot)?;
        let fits = |idle: &Idle| {
            idle.fingerprint == fingerprint
                && fresh.is_none_or(|limit| now.0.saturating_sub(idle.since.0) < limit.0)
        };
        // They lie in the order of their turns. Under load many are of this one.
        let polled = pool.idle.partition_point(|idle| idle.since != now);
        let (before, new) = pool.idle.split_at(polled);
        let idle = match before.iter().rposition(fits) {
            // What takes its place is of this turn, as are all behind it.
            Some(place) if place + 1 == polled => pool.idle.swap_remove(place),
            Some(place) => pool.idle.remove(place),
            None => {
                let place = polled + new.iter().rposition(fits)?;
                pool.idle.remove(place)
            }
        };
        self.len -= 1;
        let polled = idle.since != now;
        self.of_turn -= usize::from(!polled && self.of_turn > 0);
        Some(Taken { key: idle.key, polled })
    }

    /// Forgets a connection that is being closed.
    pub(crate) fn remove(&mut self, slot: EndpointSlot, key: Key) -> bool {
        let Some(pool) = self.pool(slot) else { return false };
        let Some(place) = pool.idle.iter().rposition(|idle| idle.key == key) else { return false };
        pool.idle.remove(place);
        self.len -= 1;
        true
    }

    /// Forgets all connections of an Endpoint, or of whatever stands at its index, into `out`.
    pub(crate) fn clear(&mut self, slot: EndpointSlot, out: &mut Vec<Key>) {
        if let Some(pool) = self.pool(slot) {
            let count = pool.idle.len();
            out.extend(pool.idle.drain(..).map(|idle| idle.key));
            self.len -= count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: EndpointSlot = EndpointSlot { index: 3, generation: 1 };
    const LATER_A: EndpointSlot = EndpointSlot { index: 3, generation: 2 };
    const TLS: Fingerprint = Fingerprint(77);
    const PLAIN: Fingerprint = Fingerprint::PLAIN_HTTP1;

    fn key(index: u32) -> Key {
        Key { index, generation: 0 }
    }

    fn parked(keys: &[u32]) -> (Pools, Vec<Key>) {
        let (mut pools, mut displaced) = (Pools::new(3), Vec::new());
        for index in keys {
            pools.park(A, PLAIN, key(*index), Micros(u64::from(*index) * 1_000_000), &mut displaced);
        }
        (pools, displaced)
    }

    fn polled(index: u32) -> Taken {
        Taken { key: key(index), polled: true }
    }

    #[test]
    fn the_connection_used_last_is_taken_first() {
        let (mut pools, _) = parked(&[1, 2]);
        assert_eq!(pools.take(A, PLAIN, Micros(0), None), Some(polled(2)));
        assert_eq!(pools.take(A, PLAIN, Micros(0), None), Some(polled(1)));
        assert_eq!(pools.take(A, PLAIN, Micros(0), None), None);
        assert_eq!(pools.len(), 0);
    }

    #[test]
    fn a_fresh_one_was_parked_less_than_the_limit_ago() {
        let (mut pools, _) = parked(&[5]);
        let second = Some(Micros(1_000_000));
        assert_eq!(pools.take(A, PLAIN, Micros(6_000_000), second), None);
        assert_eq!(pools.len(), 1, "it stays for those who may repeat");
        assert_eq!(pools.take(A, PLAIN, Micros(5_999_999), second), Some(polled(5)));
    }

    #[test]
    fn one_of_this_turn_is_taken_only_where_there_is_no_other() {
        let (mut pools, _) = parked(&[1, 2, 3]);
        let now = Micros(3_000_000);
        assert_eq!(pools.take(A, PLAIN, now, None), Some(polled(2)));
        assert_eq!(
            pools.take(A, PLAIN, now, Some(Micros(2_000_000))),
            Some(Taken { key: key(3), polled: false })
        );
        assert_eq!(pools.take(A, PLAIN, now, None), Some(polled(1)));
        assert_eq!(pools.len(), 0);
    }

    #[test]
    fn those_of_this_turn_are_polled_in_the_next() {
        let (mut pools, mut displaced) = parked(&[1]);
        let now = Micros(2_000_000);
        for index in [7, 8] {
            pools.park(A, PLAIN, key(index), now, &mut displaced);
        }
        assert_eq!(pools.take(A, PLAIN, now, None), Some(polled(1)), "with two of this turn behind it");
        let next = now + Micros(5);
        pools.park(A, PLAIN, key(9), next, &mut displaced);
        let taken =
            [7, 8].map(|_| pools.take(A, PLAIN, next, None).map(|taken| (taken.key.index, taken.polled)));
        assert!(
            matches!(taken, [Some((7 | 8, true)), Some((7 | 8, true))]) && taken[0] != taken[1],
            "{taken:?}"
        );
        assert_eq!(pools.take(A, PLAIN, next, None), Some(Taken { key: key(9), polled: false }));
        assert!(displaced.is_empty());
    }

    #[test]
    fn a_new_endpoint_at_an_old_index_inherits_none() {
        let (mut pools, _) = parked(&[1, 2]);
        assert!(pools.is_warm(A) && !pools.is_warm(LATER_A));
        assert_eq!(pools.take(LATER_A, PLAIN, Micros(0), None), None);
        let mut displaced = Vec::new();
        pools.park(LATER_A, PLAIN, key(9), Micros(0), &mut displaced);
        assert_eq!(displaced, [key(1), key(2)]);
        assert_eq!(pools.take(A, PLAIN, Micros(0), None), None);
        assert_eq!(pools.len(), 1);
    }

    #[test]
    fn another_transport_is_another_pool() {
        let (mut pools, _) = parked(&[1]);
        assert_eq!(pools.take(A, TLS, Micros(0), None), None);
        assert_eq!(pools.take(A, PLAIN, Micros(0), None), Some(polled(1)));
    }

    #[test]
    fn a_full_pool_lets_its_oldest_go() {
        let (pools, displaced) = parked(&[1, 2, 3, 4]);
        assert_eq!(displaced, [key(1)]);
        assert_eq!(pools.len(), 3);
    }

    #[test]
    fn an_endpoint_that_takes_no_requests_keeps_no_connection_after_its_response() {
        let (mut pools, mut displaced) = parked(&[]);
        pools.set_open(A, false, &mut displaced);
        pools.park(A, PLAIN, key(1), Micros(0), &mut displaced);
        assert_eq!(displaced, [key(1)]);
        pools.set_open(A, true, &mut displaced);
        pools.park(A, PLAIN, key(2), Micros(0), &mut displaced);
        assert_eq!(displaced, [key(1)]);
        // The next Endpoint at this index begins open.
        pools.set_open(A, false, &mut displaced);
        displaced.clear();
        pools.park(LATER_A, PLAIN, key(3), Micros(0), &mut displaced);
        assert_eq!((displaced, pools.len()), (vec![key(2)], 1));
    }

    #[test]
    fn a_gone_endpoint_takes_its_connections_with_it() {
        let (mut pools, _) = parked(&[1, 2]);
        let mut out = Vec::new();
        assert!(pools.remove(A, key(1)));
        assert!(!pools.remove(A, key(1)));
        pools.clear(A, &mut out);
        assert_eq!(out, [key(2)]);
        assert_eq!(pools.len(), 0);
    }
}
