//! First passive health: what the last dials say.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Micros;

/// Failed dials in a row that let an Endpoint be passed over.
const TRIP: u64 = 2;
/// How long it is passed over, and how long a probe may take.
const PASSED_OVER: Micros = Micros::from_secs(5);

const TIME_BITS: u32 = 56;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const FAILURES_MAX: u64 = u64::MAX >> TIME_BITS;

/// Whether an Endpoint may be tried, judged by its last dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialable {
    /// Nothing speaks against it.
    Yes,
    /// Two or more dials in a row failed, and the time of being passed over has ended: one may try.
    Probe,
    /// Two or more dials in a row failed a moment ago, or one is trying just now.
    PassedOver,
}

/// High 8 bits: failed dials in a row; low 56: the time until which the Endpoint is passed over. 0: all is well.
///
/// A claim of the probe moves the time on, which is what makes it exclusive: of several workers
/// that see the time passed, one wins the compare-exchange.
#[derive(Debug, Default)]
pub(super) struct Dials(AtomicU64);

impl Dials {
    #[inline]
    pub(super) fn judge(&self, now: Micros) -> Dialable {
        let word = self.0.load(Relaxed);
        if word >> TIME_BITS < TRIP {
            Dialable::Yes
        } else if word & TIME_MASK > now.0 {
            Dialable::PassedOver
        } else {
            Dialable::Probe
        }
    }

    pub(super) fn claim(&self, now: Micros) -> bool {
        let word = self.0.load(Relaxed);
        word >> TIME_BITS >= TRIP
            && word & TIME_MASK <= now.0
            && self.0.compare_exchange(word, until(word >> TIME_BITS, now), Relaxed, Relaxed).is_ok()
    }

    /// Whether this failure is the one that lets the Endpoint be passed over.
    pub(super) fn failed(&self, now: Micros) -> bool {
        let mut word = self.0.load(Relaxed);
        loop {
            let failures = (word >> TIME_BITS).saturating_add(1).min(FAILURES_MAX);
            match self.0.compare_exchange_weak(word, until(failures, now), Relaxed, Relaxed) {
                Ok(_) => return word >> TIME_BITS == TRIP - 1,
                Err(other) => word = other,
            }
        }
    }

    pub(super) fn succeeded(&self) {
        if self.0.load(Relaxed) != 0 {
            self.0.store(0, Relaxed);
        }
    }
}

fn until(failures: u64, now: Micros) -> u64 {
    failures << TIME_BITS | ((now + PASSED_OVER).0 & TIME_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Micros {
        Micros::from_millis(ms)
    }

    #[test]
    fn one_failed_dial_is_forgiven() {
        let dials = Dials::default();
        dials.failed(at(0));
        assert_eq!(dials.judge(at(1)), Dialable::Yes);
        dials.succeeded();
        dials.failed(at(2));
        assert_eq!(dials.judge(at(3)), Dialable::Yes, "not in a row");
    }

    #[test]
    fn two_in_a_row_are_passed_over_for_5_s_then_one_tries() {
        let dials = Dials::default();
        dials.failed(at(0));
        dials.failed(at(1_000));
        assert_eq!(dials.judge(at(5_999)), Dialable::PassedOver);
        assert!(!dials.claim(at(5_999)));
        assert_eq!(dials.judge(at(6_000)), Dialable::Probe);
        assert!(dials.claim(at(6_000)));
        assert!(!dials.claim(at(6_000)), "exactly one");
        assert_eq!(dials.judge(at(6_001)), Dialable::PassedOver);
        dials.succeeded();
        assert_eq!(dials.judge(at(6_002)), Dialable::Yes);
    }

    #[test]
    fn a_failed_probe_waits_again_and_a_lost_one_is_replaced() {
        let dials = Dials::default();
        dials.failed(at(0));
        dials.failed(at(0));
        assert!(dials.claim(at(5_000)));
        dials.failed(at(5_100));
        assert_eq!(dials.judge(at(10_099)), Dialable::PassedOver);
        assert!(dials.claim(at(10_100)));
        assert_eq!(dials.judge(at(15_100)), Dialable::Probe, "the probe was never heard of again");
    }

    #[test]
    fn one_failure_tells_that_it_is_passed_over_from_now_on() {
        let dials = Dials::default();
        let failed = |ms| dials.failed(at(ms));
        assert_eq!([failed(0), failed(1), failed(2)], [false, true, false]);
        assert!(dials.claim(at(6_000)));
        assert!(!failed(6_100), "a probe that fails: it was passed over all the time");
        dials.succeeded();
        assert_eq!([failed(7_000), failed(7_001)], [false, true], "again");
    }

    #[test]
    fn failures_in_a_row_do_not_overflow() {
        let dials = Dials::default();
        for _ in 0..1_000 {
            dials.failed(at(0));
        }
        assert_eq!(dials.judge(at(1)), Dialable::PassedOver);
    }
}
