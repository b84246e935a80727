//! Connections to an Endpoint, counted by guards.
//!
//! Laws
//! 1. Every connection holds a [`Permit`] from before its dial until it is closed, whichever way it goes: the count
//!    is the number of guards that live, so it cannot leak.
//! 2. With a limit a permit is granted only below it, whatever other workers do at the same time. Without one it is
//!    always granted, and costs one addition.
//! 3. The limit is the asker's, not the record's: Backends that share an Endpoint may have different ones. Each holds
//!    its own dials to its own limit, counting the connections of all.

use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use super::EndpointLoad;

/// How many permits are out.
#[derive(Debug, Default)]
pub(super) struct Permits(AtomicU32);

impl EndpointLoad {
    /// Connections of all workers: open, being dialled, and permitted a moment ago.
    #[inline]
    pub fn connections(&self) -> u32 {
        self.permits.0.load(Relaxed)
    }

    /// Connections that carry no attempt. A snapshot of two counters: good for a guess at who could give way.
    pub fn idle_connections(&self) -> u32 {
        self.connections().saturating_sub(self.in_flight())
    }
}

/// The right to one connection to an Endpoint, which it leads to; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropping the permit gives it back"]
pub struct Permit<E: AsRef<EndpointLoad>>(Arc<E>);

impl<E: AsRef<EndpointLoad>> Permit<E> {
    /// The right to one more connection, if there are fewer than `limit`; always without one.
    pub fn take(endpoint: &Arc<E>, limit: Option<NonZeroU32>) -> Option<Self> {
        let count = &(**endpoint).as_ref().permits.0;
        match limit {
            None => {
                count.fetch_add(1, Relaxed);
            }
            Some(limit) => {
                let below = |open: u32| (open < limit.get()).then(|| open + 1);
                count.fetch_update(Relaxed, Relaxed, below).ok()?;
            }
        }
        Some(Self(Arc::clone(endpoint)))
    }
}

impl<E: AsRef<EndpointLoad>> Deref for Permit<E> {
    type Target = Arc<E>;

    fn deref(&self) -> &Arc<E> {
        &self.0
    }
}

impl<E: AsRef<EndpointLoad>> Drop for Permit<E> {
    fn drop(&mut self) {
        (*self.0).as_ref().permits.0.fetch_sub(1, Relaxed);
    }
}

impl AsRef<EndpointLoad> for EndpointLoad {
    fn as_ref(&self) -> &EndpointLoad {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Micros;

    fn limit(most: u32) -> Option<NonZeroU32> {
        NonZeroU32::new(most)
    }

    fn load() -> Arc<EndpointLoad> {
        Arc::new(EndpointLoad::new(Micros::ZERO, 1))
    }

    #[test]
    fn a_permit_is_granted_below_the_limit_and_given_back_by_its_guard() {
        let load = load();
        let first = Permit::take(&load, limit(2)).unwrap();
        let second = Permit::take(&load, limit(2)).unwrap();
        assert!(Permit::take(&load, limit(2)).is_none());
        assert_eq!(load.connections(), 2);
        drop(first);
        let third = Permit::take(&load, limit(2)).unwrap();
        assert!(Permit::take(&load, limit(2)).is_none());
        drop((second, third));
        assert_eq!(load.connections(), 0);
    }

    #[test]
    fn a_limit_counts_the_connections_of_those_who_have_none() {
        let load = load();
        let unlimited: Vec<Permit<EndpointLoad>> = (0..3).filter_map(|_| Permit::take(&load, None)).collect();
        assert_eq!(load.connections(), 3);
        assert!(Permit::take(&load, limit(2)).is_none() && Permit::take(&load, limit(3)).is_none());
        assert!(Permit::take(&load, limit(4)).is_some());
        drop(unlimited);
        assert_eq!(load.connections(), 0);
    }

    #[test]
    fn idle_is_what_carries_no_attempt() {
        let load = load();
        let permits: Vec<Permit<EndpointLoad>> = (0..3).filter_map(|_| Permit::take(&load, None)).collect();
        let attempt = load.started();
        assert_eq!(load.idle_connections(), 2);
        drop(permits);
        assert_eq!(load.idle_connections(), 0, "never below nothing");
        drop(attempt);
    }

    #[test]
    fn threads_together_never_pass_the_limit() {
        const LIMIT: u32 = 3;
        let load = load();
        let highest = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..20_000u32 {
                        let held: Vec<Permit<EndpointLoad>> =
                            (0..=round % 3).filter_map(|_| Permit::take(&load, limit(LIMIT))).collect();
                        highest.fetch_max(load.connections(), Relaxed);
                        drop(held);
                    }
                });
            }
        });
        assert!((1..=LIMIT).contains(&highest.load(Relaxed)));
        assert_eq!(load.connections(), 0);
    }
}
