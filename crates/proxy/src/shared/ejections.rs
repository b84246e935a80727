//! How often a Backend's requests found out that an Endpoint is to be passed over, and by what.
//!
//! Law: health belongs to the Endpoint, which several Backends may use; the one whose attempt tipped the scales counts it.
//! So each time counts once.

use super::stats::Gauge;

/// The failure that let an Endpoint be passed over: the last of those in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ejection {
    /// A dial was refused, or accepted and closed at once.
    Refused,
    /// A dial had no answer in time: it was hedged, or given up.
    TimedOut,
    /// A dial's network or host was unreachable.
    Unreachable,
    /// A connection under a request ended by the TCP user timeout, or because its host became unreachable.
    Silent,
    /// It spoke on a new connection before it was asked.
    Spoke,
}

impl Ejection {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Refused, Self::TimedOut, Self::Unreachable, Self::Silent, Self::Spoke];

    /// A stable code.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Silent => "silent",
            Self::Spoke => "unrequested_bytes",
        }
    }
}

/// A Backend's counters, per worker.
#[derive(Debug)]
pub struct Ejections {
    workers: Box<[[Gauge; Ejection::ALL.len()]]>,
}

impl Ejections {
    /// Counters at zero for `workers` workers.
    pub fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| std::array::from_fn(|_| Gauge::default())).collect() }
    }

    /// Counts one; only the worker of that index may.
    pub fn add(&self, worker: usize, ejection: Ejection) {
        self.workers[worker][ejection as usize].add(1);
    }

    /// Those of a kind, over all workers.
    pub fn count(&self, ejection: Ejection) -> u64 {
        self.workers.iter().map(|counters| counters[ejection as usize].get()).sum()
    }
}
