//! Counters and latency histograms: written by one worker each, read by whoever shows them.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Micros;

/// Buckets of a [`Histogram`].
pub const HISTOGRAM_BUCKETS: usize = 64;

/// How requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StatusClass {
    /// 1xx: an upgrade.
    Informational,
    /// 2xx.
    Success,
    /// 3xx.
    Redirection,
    /// 4xx.
    ClientError,
    /// 5xx, and what is no status at all.
    ServerError,
    /// No response, or one that broke off.
    NoResponse,
}

impl StatusClass {
    /// All classes, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Informational,
        Self::Success,
        Self::Redirection,
        Self::ClientError,
        Self::ServerError,
        Self::NoResponse,
    ];

    /// The class of a status.
    pub const fn of(status: u16) -> Self {
        match status {
            100..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    /// The value of a metric's label: `1xx` to `5xx`, or `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoResponse => "none",
        }
    }
}

/// A log-linear histogram of latencies: four buckets per doubling from 128 µs to 6.3 s, one below, one above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Samples per bucket.
    pub buckets: [u64; HISTOGRAM_BUCKETS],
    /// Sum of all samples in microseconds.
    pub sum_us: u64,
}

const STEPS_SHIFT: u32 = 2;
const FIRST_SHIFT: u32 = 7;
const LAST: usize = HISTOGRAM_BUCKETS - 1;

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; HISTOGRAM_BUCKETS], sum_us: 0 }
    }
}

impl Histogram {
    /// The bucket of a latency.
    pub const fn bucket_of(us: u64) -> usize {
        if us < 1 << FIRST_SHIFT {
            return 0;
        }
        let octave = u64::BITS - 1 - us.leading_zeros();
        let step = us >> (octave - STEPS_SHIFT) & ((1 << STEPS_SHIFT) - 1);
        let bucket = 1 + (((octave - FIRST_SHIFT) as usize) << STEPS_SHIFT) + step as usize;
        if bucket < LAST { bucket } else { LAST }
    }

    /// The upper bound of a bucket in microseconds, exclusive; `None` for the last one, which has none.
    pub const fn upper_us(bucket: usize) -> Option<u64> {
        if bucket >= LAST {
            return None;
        }
        let octave = FIRST_SHIFT + (bucket >> STEPS_SHIFT) as u32;
        let step = (bucket & ((1 << STEPS_SHIFT) - 1)) as u64;
        Some((1 << octave) + (step << (octave - STEPS_SHIFT)))
    }

    /// Adds a sample.
    pub fn record(&mut self, rtt: Micros) {
        self.buckets[Self::bucket_of(rtt.0)] += 1;
        self.sum_us = self.sum_us.saturating_add(rtt.0);
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// An estimate of the `q`-quantile (0 to 1) in microseconds: inside the histogram's range at most a quarter off,
    /// above it the range's end. `None` without samples.
    pub fn quantile_us(&self, q: f64) -> Option<u64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q.clamp(0.0, 1.0) * count as f64).max(1.0);
        let mut below = 0.0;
        let mut lower = 0;
        for (bucket, &samples) in self.buckets.iter().enumerate() {
            let samples = samples as f64;
            let Some(upper) = Self::upper_us(bucket) else { break };
            if below + samples >= rank {
                let part = (rank - below) / samples;
                return Some(lower + ((upper - lower) as f64 * part) as u64);
            }
            below += samples;
            lower = upper;
        }
        Some(lower)
    }

    /// Adds another one's samples.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }
}

/// What an Endpoint's workers counted, summed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests, indexed by [`StatusClass`] as a number.
    pub requests: [u64; StatusClass::ALL.len()],
    /// Time to the first response byte.
    pub latency: Histogram,
}

/// One worker's counters of one Endpoint. They are allocated with the first request: most pairs of a worker and an
/// Endpoint may never meet.
#[derive(Debug, Default)]
pub(crate) struct WorkerStats(OnceLock<Box<Counters>>);

#[derive(Debug)]
struct Counters {
    requests: [AtomicU64; StatusClass::ALL.len()],
    buckets: [AtomicU64; HISTOGRAM_BUCKETS],
    sum_us: AtomicU64,
}

impl WorkerStats {
    fn counters(&self) -> &Counters {
        self.0.get_or_init(|| {
            Box::new(Counters {
                requests: [const { AtomicU64::new(0) }; StatusClass::ALL.len()],
                buckets: [const { AtomicU64::new(0) }; HISTOGRAM_BUCKETS],
                sum_us: AtomicU64::new(0),
            })
        })
    }

    pub(crate) fn count(&self, class: StatusClass) {
        add(&self.counters().requests[class as usize], 1);
    }

    pub(crate) fn record(&self, rtt: Micros) {
        let counters = self.counters();
        add(&counters.buckets[Histogram::bucket_of(rtt.0)], 1);
        add(&counters.sum_us, rtt.0);
    }

    pub(crate) fn requests(&self, class: StatusClass) -> u64 {
        self.0.get().map_or(0, |counters| counters.requests[class as usize].load(Relaxed))
    }

    pub(crate) fn add_to(&self, totals: &mut Totals) {
        let Some(counters) = self.0.get() else { return };
        for (sum, counter) in totals.requests.iter_mut().zip(&counters.requests) {
            *sum += counter.load(Relaxed);
        }
        for (sum, counter) in totals.latency.buckets.iter_mut().zip(&counters.buckets) {
            *sum += counter.load(Relaxed);
        }
        totals.latency.sum_us = totals.latency.sum_us.saturating_add(counters.sum_us.load(Relaxed));
    }
}

/// Adds without a locked instruction: there is one writer.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_buckets_agree() {
        let mut lower = 0;
        for bucket in 0..HISTOGRAM_BUCKETS {
            assert_eq!(Histogram::bucket_of(lower), bucket);
            let Some(upper) = Histogram::upper_us(bucket) else { break };
            assert!(upper > lower);
            assert!(lower == 0 || upper - lower <= lower / 4, "at most a quarter wide");
            assert_eq!(Histogram::bucket_of(upper - 1), bucket);
            lower = upper;
        }
        assert_eq!(lower, 6_291_456);
        assert_eq!(Histogram::bucket_of(u64::MAX), LAST);
    }

    #[test]
    fn quantiles_are_near() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile_us(0.5), None);
        for us in 1..=100_000 {
            histogram.record(Micros(us));
        }
        for (q, ideal) in [(0.01, 1_000.0), (0.5, 50_000.0), (0.99, 99_000.0), (1.0, 100_000.0)] {
            let estimate = histogram.quantile_us(q).unwrap() as f64;
            assert!((estimate / ideal - 1.0).abs() < 0.15, "{q}: {estimate}");
        }
        let mut double = histogram.clone();
        double.merge(&histogram);
        assert_eq!((double.count(), double.sum_us), (200_000, 2 * histogram.sum_us));
        assert_eq!(double.quantile_us(0.5), histogram.quantile_us(0.5));
    }

    #[test]
    fn beyond_the_range_the_end_is_told() {
        let mut histogram = Histogram::default();
        histogram.record(Micros::from_secs(60));
        assert_eq!(histogram.quantile_us(0.5), Some(6_291_456));
    }
}
