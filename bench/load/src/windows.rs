//! Latencies of a measurement as a whole, and the 99th percentile of each quarter of a second in it.
//!
//! Pauses of a few milliseconds strike whatever runs on a virtual machine about once a second. Over a whole second such
//! a pause alone can be the 99th percentile; most quarters are free of it, so that their median is the server's.

use std::mem::take;

use crate::histogram::Histogram;

const LENGTH_NANOS: u64 = 250_000_000;

/// Nanoseconds, recorded in the order of time.
#[derive(Debug, Default)]
pub(crate) struct Windows {
    /// The windows before the present one.
    past: Histogram,
    present: Histogram,
    /// When the present window ends; 0 before the first one.
    end: u64,
    p99: Vec<u64>,
}

impl Windows {
    /// Counts a latency that ended at `now`.
    pub(crate) fn record(&mut self, now: u64, latency: u64) {
        if now >= self.end {
            self.turn(now);
        }
        self.present.record(latency);
    }

    /// How many latencies there are.
    pub(crate) fn count(&self) -> u64 {
        self.past.count() + self.present.count()
    }

    /// All of them; and the 99th percentile of each window that was over at `now`, of the unfinished one where there
    /// is no other.
    pub(crate) fn finish(mut self, now: u64) -> (Histogram, Vec<u64>) {
        if self.present.count() > 0 && (now >= self.end || self.p99.is_empty()) {
            self.p99.push(self.present.quantile(0.99));
        }
        self.past.add(&self.present);
        (self.past, self.p99)
    }

    fn turn(&mut self, now: u64) {
        if self.present.count() > 0 {
            self.p99.push(self.present.quantile(0.99));
            self.past.add(&take(&mut self.present));
        }
        // The first window begins with its first latency; later ones on the same grid.
        self.end = if self.end == 0 { now } else { now - (now - self.end) % LENGTH_NANOS } + LENGTH_NANOS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_pause_is_in_one_window_alone() {
        let mut windows = Windows::default();
        for at in 0..1_000 {
            windows.record(at * MS, if (300..340).contains(&at) { 40 * MS } else { MS });
        }
        let (all, p99) = windows.finish(1_000 * MS);
        assert_eq!(all.count(), 1_000);
        assert!(all.quantile(0.99) > 39 * MS);
        let slow: Vec<bool> = p99.iter().map(|&nanos| nanos > 2 * MS).collect();
        assert_eq!(slow, [false, true, false, false]);
    }

    #[test]
    fn an_unfinished_window_counts_only_where_there_is_no_other() {
        let run = |end: u64| {
            let mut windows = Windows::default();
            (0..end).for_each(|at| windows.record(at * MS, MS));
            windows.finish(end * MS).1.len()
        };
        assert_eq!([run(0), run(100), run(250), run(400), run(500)], [0, 1, 1, 1, 2]);
    }

    #[test]
    fn quiet_time_makes_no_windows() {
        let mut windows = Windows::default();
        for at in [0, 10, 2_010, 2_020, 2_260] {
            windows.record(at * MS, MS);
        }
        assert_eq!(windows.count(), 5);
        assert_eq!(windows.finish(2_270 * MS).1.len(), 2);
    }
}
