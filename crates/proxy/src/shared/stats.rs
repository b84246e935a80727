//! Counters that a worker writes and the health thread reads.
//!
//! Law: each value has one writer at a time, so that adding is a relaxed load and store, no locked instruction.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number with one writer.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// Adds; only its one writer may.
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Takes away; only its one writer may.
    pub fn sub(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(by), Relaxed);
    }

    /// Replaces; only its one writer may.
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// A latency histogram with the bounds that OpenTelemetry gives for HTTP, of one writer.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Gauge; Histogram::BOUNDS_US.len() + 1],
    sum_us: Gauge,
}

impl Histogram {
    /// Upper bounds in microseconds; a last bucket takes the rest.
    pub const BOUNDS_US: [u64; 16] = [
        1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
        2_500_000, 5_000_000, 7_500_000, 10_000_000,
    ];

    /// Counts one value.
    pub fn observe(&self, micros: u64) {
        self.buckets[Self::BOUNDS_US.partition_point(|bound| *bound < micros)].add(1);
        self.sum_us.add(micros);
    }

    /// Adds this histogram's buckets to `buckets` and gives its sum in microseconds.
    pub fn add_to(&self, buckets: &mut [u64; Histogram::BOUNDS_US.len() + 1]) -> u64 {
        for (total, bucket) in buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.get();
        }
        self.sum_us.get()
    }
}

const MAX_REASONS: usize = 64;

/// Counts by a stable code. Codes are constants of the program, at most 64 of them; later ones are counted together.
#[derive(Debug)]
pub struct ReasonCounters {
    entries: [(OnceLock<&'static str>, Gauge); MAX_REASONS],
    others: Gauge,
}

impl Default for ReasonCounters {
    fn default() -> Self {
        Self {
            entries: std::array::from_fn(|_| (OnceLock::new(), Gauge::default())),
            others: Gauge::default(),
        }
    }
}

impl ReasonCounters {
    /// Counts one event; only the one writer may.
    pub fn add(&self, reason: &'static str) {
        for (name, count) in &self.entries {
            if *name.get_or_init(|| reason) == reason {
                return count.add(1);
            }
        }
        self.others.add(1);
    }

    /// Every code counted so far.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let named =
            self.entries.iter().map_while(|(name, count)| name.get().map(|name| (*name, count.get())));
        let others = self.others.get();
        named.chain((others > 0).then_some(("other", others)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_by_name() {
        let counters = ReasonCounters::default();
        for reason in ["a", "b", "a"] {
            counters.add(reason);
        }
        assert_eq!(counters.iter().collect::<Vec<_>>(), [("a", 2), ("b", 1)]);
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::default();
        for micros in [0, 1_000, 1_001, u64::from(u32::MAX)] {
            histogram.observe(micros);
        }
        let mut buckets = [0; 17];
        assert_eq!(histogram.add_to(&mut buckets), 2_001 + u64::from(u32::MAX));
        assert_eq!((buckets[0], buckets[1], buckets[16]), (2, 1, 1));
    }
}
