//! Recent failures, and the penalty that they put on an Endpoint.
//!
//! A failure is no latency sample: one error recorded as 5 s would take one of two idle Pods out for a
//! minute. The penalty is kept apart, so that a balancer may refuse to apply it: it compares the failure rate
//! behind it with the Backend's median, and never penalises more than half of the weight.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::latency::{elapsed, kept_since, quanta};
use crate::Micros;

/// What a penalty is worth at first: the latency that the Endpoint is taken to have. It decays as averages do.
const PENALTY_US: f32 = 5e6;
/// When it is forgotten. By decay alone it would outlast a minute where latencies are below 10 ms.
const PENALTY_SPAN: Micros = Micros::from_secs(20);
/// This many failures within [`FAILURE_SPAN`] are a penalty.
const FAILURE_SPAN: Micros = Micros::from_secs(10);

/// A penalty as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Penalty {
    /// The latency that the Endpoint is taken to have, in microseconds.
    pub(crate) latency_us: f32,
    /// The failure rate behind it; infinite for a failed dial.
    pub(crate) rate: f32,
}

#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Failures {
    /// Low half: the rate as `f32`; high half: when, in quanta. 0: none.
    penalty: AtomicU64,
    recent: Recent,
    failed: Window,
    requests: Window,
}

impl Failures {
    pub(super) fn success(&self, now: Micros) {
        self.requests.add(now);
    }

    pub(super) fn failure(&self, now: Micros) {
        self.requests.add(now);
        self.failed.add(now);
        if self.recent.third_within(now, FAILURE_SPAN) {
            self.set(now, self.rate(now));
        }
    }

    pub(super) fn dial_failed(&self, now: Micros) {
        self.set(now, f32::INFINITY);
    }

    /// Ends a penalty that came from a failed dial; one that came from bad answers stays.
    pub(super) fn dial_succeeded(&self) {
        let word = self.penalty.load(Relaxed);
        if f32::from_bits(word as u32).is_infinite() {
            let _ = self.penalty.compare_exchange(word, 0, Relaxed, Relaxed);
        }
    }

    #[inline]
    pub(super) fn penalty(&self, now: Micros) -> Option<Penalty> {
        let word = self.penalty.load(Relaxed);
        if word == 0 {
            return None;
        }
        let then = (word >> 32) as u32;
        let span = elapsed(then, quanta(now));
        (span <= quanta(PENALTY_SPAN)).then(|| Penalty {
            latency_us: PENALTY_US * kept_since(then, now),
            rate: self.present_rate(f32::from_bits(word as u32), now),
        })
    }

    /// The rate of a penalty as it stands: that of the time when it was set, or the present one if answers since
    /// then have made it lower. Without recent requests, as penalties cause, nothing has changed.
    fn present_rate(&self, then: f32, now: Micros) -> f32 {
        if then.is_infinite() || self.requests.sum(now) == 0 { then } else { then.min(self.rate(now)) }
    }

    pub(super) fn rate(&self, now: Micros) -> f32 {
        let failures = self.failed.sum(now);
        if failures == 0 { 0.0 } else { failures as f32 / self.requests.sum(now).max(failures) as f32 }
    }

    fn set(&self, now: Micros, rate: f32) {
        self.penalty.store(u64::from(quanta(now)) << 32 | u64::from(rate.to_bits()), Relaxed);
    }
}

/// The times of the last three failures, 21 bits each, the latest lowest, in units of 8.192 ms. They wrap
/// after 4.8 h, when for 10 s old times may look recent; the rate is then that of one failure, at worst.
#[derive(Debug, Default)]
struct Recent(AtomicU64);

impl Recent {
    const BITS: u32 = 21;
    const MASK: u64 = (1 << Self::BITS) - 1;
    const SHIFT: u32 = 13;

    /// Notes a failure; says whether it and the two before lie within `span`.
    fn third_within(&self, now: Micros, span: Micros) -> bool {
        // 0 stands for "never": times start at 1.
        let time = ((now.0 >> Self::SHIFT) & Self::MASK).max(1);
        let mut word = self.0.load(Relaxed);
        let next = loop {
            let next = (word << Self::BITS | time) & (u64::MAX >> 1);
            match self.0.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => break next,
                Err(other) => word = other,
            }
        };
        let third = next >> (2 * Self::BITS);
        third != 0 && (time.wrapping_sub(third) & Self::MASK) <= span.0 >> Self::SHIFT
    }
}

/// Counts events in the last 10 to 15 s: three counters of 5 s each, 16 bits wide, and their epoch above.
#[derive(Debug, Default)]
struct Window(AtomicU64);

impl Window {
    const SPAN: Micros = Micros::from_secs(5);
    const COUNTERS: u64 = u64::MAX >> 16;
    /// Room is left for additions that race.
    const FULL: u64 = 0xFF00;

    fn add(&self, now: Micros) {
        let mut word = self.0.load(Relaxed);
        loop {
            let turned = Self::turn(word, now);
            if turned & 0xFFFF >= Self::FULL {
                return;
            }
            if turned == word {
                self.0.fetch_add(1, Relaxed);
                return;
            }
            match self.0.compare_exchange_weak(word, turned + 1, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }

    fn sum(&self, now: Micros) -> u64 {
        let word = Self::turn(self.0.load(Relaxed), now);
        (word & 0xFFFF) + (word >> 16 & 0xFFFF) + (word >> 32 & 0xFFFF)
    }

    /// The word with its counters moved on to the present epoch.
    fn turn(word: u64, now: Micros) -> u64 {
        let epoch = (now.0 / Self::SPAN.0) as u16;
        let counters = match epoch.wrapping_sub((word >> 48) as u16) {
            0 | 0x8000.. => return word, // the same, or another worker is a little ahead
            1 => word << 16,
            2 => word << 32,
            _ => 0,
        };
        u64::from(epoch) << 48 | counters & Self::COUNTERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Micros {
        Micros::from_millis(1_000_000 + ms)
    }

    #[test]
    fn three_failures_in_10_s_are_a_penalty_and_two_are_not() {
        let failures = Failures::default();
        for ms in [0, 4_900] {
            failures.failure(at(ms));
        }
        assert_eq!(failures.penalty(at(4_900)), None);
        failures.failure(at(9_800));
        assert_eq!(failures.penalty(at(9_800)), Some(Penalty { latency_us: 5e6, rate: 1.0 }));
    }

    #[test]
    fn slow_failures_are_none() {
        let failures = Failures::default();
        for ms in (0..100_000).step_by(5_100) {
            failures.failure(at(ms));
            assert_eq!(failures.penalty(at(ms)), None);
        }
    }

    #[test]
    fn a_penalty_decays_and_ends() {
        let failures = Failures::default();
        failures.dial_failed(at(0));
        let later = failures.penalty(at(10_000)).unwrap();
        assert!((later.latency_us / 5e6 - (-1f32).exp()).abs() < 0.001);
        assert!(failures.penalty(at(19_900)).is_some());
        assert!(failures.penalty(at(20_100)).is_none());
    }

    #[test]
    fn good_answers_lower_the_rate_of_a_penalty() {
        let failures = Failures::default();
        (0..3).for_each(|_| failures.failure(at(0)));
        (0..97).for_each(|_| failures.success(at(1)));
        assert!(failures.penalty(at(1)).is_some_and(|penalty| (penalty.rate - 0.03).abs() < 1e-6));
        assert!(failures.penalty(at(16_000)).is_some_and(|penalty| (penalty.rate - 1.0).abs() < 1e-6));
    }

    #[test]
    fn a_dial_ends_the_penalty_of_a_dial_only() {
        let failures = Failures::default();
        failures.dial_failed(at(0));
        failures.dial_succeeded();
        assert_eq!(failures.penalty(at(0)), None);
        (0..3).for_each(|_| failures.failure(at(1)));
        failures.dial_succeeded();
        assert!(failures.penalty(at(1)).is_some());
    }

    #[test]
    fn the_rate_covers_the_last_seconds() {
        let failures = Failures::default();
        for ms in 0..100 {
            failures.success(at(ms));
        }
        for _ in 0..25 {
            failures.failure(at(100));
        }
        assert!((failures.rate(at(100)) - 0.2).abs() < 1e-6);
        assert!((failures.rate(at(9_000)) - 0.2).abs() < 1e-6);
        assert!(failures.rate(at(15_001)).abs() < 1e-6);
    }

    #[test]
    fn a_window_saturates() {
        let window = Window::default();
        (0..100_000).for_each(|_| window.add(at(0)));
        assert_eq!(window.sum(at(0)), Window::FULL);
        window.add(at(5_000));
        assert_eq!(window.sum(at(5_000)), Window::FULL + 1);
    }
}
