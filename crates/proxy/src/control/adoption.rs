//! Which transactions wait for the workers, and what follows once all have adopted them.
//!
//! Laws:
//! 1. A transaction is acknowledged when **all** workers have adopted its root or a later one, in order.
//! 2. Sockets open after adoption: a socket that is open before its table is known would answer 404.
//! 3. A root that nobody can read any more is dropped here, not by a worker.

use std::collections::VecDeque;
use std::sync::Arc;

use fairlead_balance::Micros;
use fairlead_snapshot::{Position, Rejection};

use crate::listen::Wanted;
use crate::shared::Root;

/// A transaction that is published and not yet adopted by all.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) generation: u64,
    pub(super) position: Position,
    /// All that is refused with it.
    pub(super) rejected: Vec<Rejection>,
    pub(super) event_ms: Option<i64>,
    pub(super) received: Micros,
    pub(super) wanted: Arc<Wanted>,
    /// The connection that it came over; an ack goes to no other.
    pub(super) connection: u64,
}

/// Transactions and roots in their order.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    waiting: VecDeque<Waiting>,
    retired: VecDeque<(u64, Arc<Root>)>,
}

impl Adoption {
    /// A transaction was published and replaced the root `before`.
    pub(super) fn published(&mut self, waiting: Waiting, before: Arc<Root>) {
        self.retired.push_back((waiting.generation, before));
        self.waiting.push_back(waiting);
    }

    /// The next transaction that all workers have adopted, given the oldest root that one of them reads.
    pub(super) fn adopted(&mut self, oldest: u64) -> Option<Waiting> {
        while self.retired.front().is_some_and(|(replaced_by, _)| *replaced_by <= oldest) {
            self.retired.pop_front();
        }
        self.waiting
            .front()
            .is_some_and(|waiting| waiting.generation <= oldest)
            .then(|| self.waiting.pop_front())?
    }

    #[cfg(test)]
    pub(super) fn retired(&self) -> usize {
        self.retired.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(generation: u64) -> Waiting {
        Waiting {
            generation,
            position: Position { epoch: 1, generation },
            rejected: Vec::new(),
            event_ms: None,
            received: Micros(0),
            wanted: Arc::default(),
            connection: 1,
        }
    }

    #[test]
    fn a_transaction_waits_for_the_slowest_worker_and_keeps_its_order() {
        let mut adoption = Adoption::default();
        for generation in 1..=3 {
            adoption.published(waiting(generation), Arc::default());
        }
        assert!(adoption.adopted(0).is_none());
        assert_eq!(adoption.retired(), 3);
        assert_eq!(adoption.adopted(2).map(|waiting| waiting.generation), Some(1));
        assert_eq!(adoption.adopted(2).map(|waiting| waiting.generation), Some(2));
        assert!(adoption.adopted(2).is_none());
        assert_eq!(adoption.retired(), 1);
    }
}
