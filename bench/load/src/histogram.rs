//! Latencies in log-linear buckets: each power of two is cut into 128 equal parts, so a value is known to 0.8 %.

/// Parts per power of two, as a power of two.
const PRECISION: u32 = 7;
const PARTS: u64 = 1 << PRECISION;
/// Nanoseconds above this (an hour) are counted as this.
const MAX: u64 = 3_600_000_000_000;
const BUCKETS: usize = index_of(MAX) + 1;

/// A histogram of nanoseconds.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u64]>,
    count: u64,
    sum: u128,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS].into(), count: 0, sum: 0, max: 0 }
    }
}

const fn index_of(value: u64) -> usize {
    if value < PARTS {
        return value as usize;
    }
    let shift = value.ilog2() - PRECISION;
    (PARTS * shift as u64 + (value >> shift)) as usize
}

/// The largest value that falls into a bucket.
const fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < PARTS {
        return index;
    }
    let shift = index / PARTS - 1;
    let part = index - PARTS * shift;
    ((part + 1) << shift) - 1
}

impl Histogram {
    /// Counts a value.
    pub(crate) fn record(&mut self, nanos: u64) {
        let value = nanos.min(MAX);
        self.counts[index_of(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.max = self.max.max(value);
    }

    /// Counts all values of another one.
    pub(crate) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many values there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The largest value, exactly.
    pub(crate) fn max(&self) -> u64 {
        self.max
    }

    /// The mean, exactly; 0 without values.
    pub(crate) fn mean(&self) -> u64 {
        self.sum.checked_div(u128::from(self.count)).unwrap_or(0) as u64
    }

    /// The smallest bucket bound that at least this share (0 to 1) of all values does not exceed; 0 without values.
    pub(crate) fn quantile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let mut last = None;
        for value in
            (0..100_000).chain((17..41).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1]))
        {
            let index = index_of(value);
            let bound = upper_bound(index);
            assert!(bound >= value, "{value} is above its bucket's bound {bound}");
            assert!(
                (bound - value) as f64 <= value as f64 / 128.0,
                "{value}: bucket up to {bound} is too wide"
            );
            assert!(index == 0 || upper_bound(index - 1) < value, "{value} belongs into an earlier bucket");
            assert!(last.is_none_or(|(was, at)| value < was || index >= at));
            last = Some((value, index));
        }
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::default();
        (1..=1000).rev().for_each(|micros| histogram.record(micros * 1000));
        for (share, exact) in [(0.5, 500_000.0), (0.99, 990_000.0), (0.999, 999_000.0), (1.0, 1_000_000.0)] {
            let found = histogram.quantile(share) as f64;
            assert!((exact..exact * 1.008).contains(&found), "{share}: {found}");
        }
        assert_eq!((histogram.count(), histogram.max(), histogram.mean()), (1000, 1_000_000, 500_500));
    }

    #[test]
    fn nothing_and_too_much_are_harmless() {
        assert_eq!(Histogram::default().quantile(0.99), 0);
        assert_eq!(Histogram::default().mean(), 0);
        let mut histogram = Histogram::default();
        histogram.record(u64::MAX);
        assert_eq!(histogram.quantile(0.5), MAX);
    }
}
