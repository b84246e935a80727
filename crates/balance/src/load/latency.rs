//! The peak-sensitive latency average (as in Finagle, tower and Linkerd), with its time in one word.
//!
//! Laws
//! 1. A sample above the decayed average replaces it at once; one below pulls it down by 1 - e^(-dt/τ). A sample that
//!    would end a tie with its peers (above [`TIE_BAND`] times the average) is a peak only once it is confirmed: by
//!    another such sample, without a lower one between them, whose request was sent when the first had come. Until then
//!    it counts like any other. So a pause is one event, whatever number of requests it caught, and says nothing of the
//!    next request; else 20 ms once in 1,000 requests would keep a Pod that answers in 0.5 ms without requests for half
//!    a minute. Of answers that take [`LONG_US`] the next one confirms, whenever it was sent: requests are dear then.
//! 2. Unread and unsampled, the average decays towards zero, so that an avoided Endpoint is tried again.
//! 3. Value and time change together, by compare-exchange; a sample that loses against one of another worker
//!    is applied to that one's result.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Micros;

/// τ: after it an old average counts 1/e.
pub(super) const DECAY: Micros = Micros::from_secs(10);

/// Averages below count as equal: this is within what scheduling does to any answer.
pub(crate) const CLOSE_US: f32 = 2_000.0;
/// No pause of a Pod that works should last as long.
const LONG_US: f32 = 500_000.0;

/// Latency averages within this factor count as equal. Without the band, 0.1 ms between idle Pods splits
/// their traffic 99:1.
pub(crate) const TIE_BAND: f32 = 1.5;
/// In the sign bit of the average: its time is that of a sample above the band, and none below came since.
const HIGH: u64 = 1 << 31;

/// Low half: the average in microseconds as `f32`, with [`HIGH`]; high half: its time in quanta. 0: no average yet.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// The decayed average in microseconds, at least 1.
    #[inline]
    pub(super) fn read(&self, now: Micros) -> Option<f32> {
        let word = self.0.load(Relaxed);
        (word != 0).then(|| decayed(word, quanta(now)))
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Relaxed) != 0
    }

    /// Takes a sample in.
    pub(super) fn sample(&self, now: Micros, rtt: Micros) {
        let sent = quanta(Micros(now.0.saturating_sub(rtt.0)));
        let (now, rtt) = (quanta(now), micros(rtt));
        self.change(|word| {
            if word == 0 {
                return Some(pack(now, rtt));
            }
            let dt = age(word, now);
            let kept = keep(dt);
            let old = value(word) * kept;
            let high = rtt > old * TIE_BAND;
            let waiting = word & HIGH != 0;
            let confirmed = waiting && (rtt >= LONG_US || is_since((word >> 32) as u32, sent));
            if rtt > old && (!high || confirmed) {
                Some(pack(now, rtt))
            } else if high {
                (!waiting).then(|| pack(now, old + rtt * (1.0 - kept)) | HIGH)
            } else if dt == 0 && !waiting {
                None // weight 0: the clock of the average did not move since the last sample
            } else {
                Some(pack(now, old + rtt * (1.0 - kept)))
            }
        });
    }

    /// Takes in a sample that may only raise the average, and stops the decay until `now`.
    pub(super) fn hold(&self, now: Micros, rtt: Micros) {
        let (now, rtt) = (quanta(now), micros(rtt));
        self.change(|word| (word != 0).then(|| pack(now, value(word).max(rtt))));
    }

    /// Sets the average if there is none.
    pub(super) fn seed(&self, now: Micros, us: f32) {
        let word = pack(quanta(now), us);
        let _ = self.0.compare_exchange(0, word, Relaxed, Relaxed);
    }

    fn change(&self, step: impl Fn(u64) -> Option<u64>) {
        let mut word = self.0.load(Relaxed);
        while let Some(next) = step(word) {
            match self.0.compare_exchange_weak(word, next, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(other) => word = other,
            }
        }
    }
}

/// What is left of an amount after `dt` quanta.
#[inline]
fn keep(dt: u32) -> f32 {
    if dt == 0 { 1.0 } else { (-(dt as f32) * QUANTUM_US / DECAY.0 as f32).exp() }
}

/// What is left of an amount after the span from `then` to `now`.
pub(super) fn kept_since(then: u32, now: Micros) -> f32 {
    keep(elapsed(then, quanta(now)))
}

const QUANTUM_SHIFT: u32 = 10;
const QUANTUM_US: f32 = (1u32 << QUANTUM_SHIFT) as f32;
/// Times this little ahead were written by a worker whose turn began later.
const AHEAD: u32 = 60_000;

/// Time in units of 1,024 µs; 32 bits last for 50 days, and an average untouched for that long may for some
/// seconds look fresh, which does no harm. Finer units would make steps too small for an `f32`.
#[inline]
pub(super) fn quanta(now: Micros) -> u32 {
    (now.0 >> QUANTUM_SHIFT) as u32
}

/// Quanta from `then` to `now`; 0 if `then` is a little later.
#[inline]
pub(super) fn elapsed(then: u32, now: u32) -> u32 {
    let span = now.wrapping_sub(then);
    if span > u32::MAX - AHEAD { 0 } else { span }
}

/// Whether `time` is not before `then`.
fn is_since(then: u32, time: u32) -> bool {
    time.wrapping_sub(then) <= u32::MAX / 2
}

fn micros(span: Micros) -> f32 {
    (span.0 as f32).max(1.0)
}

fn pack(time: u32, value: f32) -> u64 {
    u64::from(time) << 32 | u64::from(value.max(1.0).to_bits())
}

fn value(word: u64) -> f32 {
    f32::from_bits(word as u32).abs()
}

fn age(word: u64, now: u32) -> u32 {
    elapsed((word >> 32) as u32, now)
}

#[inline]
fn decayed(word: u64, now: u32) -> f32 {
    (value(word) * keep(age(word, now))).max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f32, b: f32) -> bool {
        (a / b - 1.0).abs() < 0.001
    }

    #[test]
    fn a_peak_jumps_and_then_decays() {
        let latency = Latency::default();
        assert_eq!(latency.read(Micros::ZERO), None);
        latency.sample(Micros::ZERO, Micros(2_000));
        latency.sample(Micros::ZERO, Micros(800_000));
        assert!(close(latency.read(Micros::ZERO).unwrap(), 2_000.0), "one alone is no peak");
        latency.sample(Micros::ZERO, Micros(900_000));
        assert!(close(latency.read(Micros::ZERO).unwrap(), 900_000.0));
        let after = latency.read(DECAY).unwrap();
        assert!(close(after, 900_000.0 / std::f32::consts::E), "{after}");
    }

    #[test]
    fn a_peak_is_confirmed_by_a_request_sent_after_it() {
        let (latency, ms) = (Latency::default(), Micros::from_millis);
        let us = |at| latency.read(ms(at)).unwrap();
        latency.sample(ms(1_000), Micros(1_000));
        // One pause of 20 ms, and the five requests that it caught.
        for sent in 0..5 {
            latency.sample(ms(1_021), ms(20 - sent));
        }
        assert!(us(1_021) < 1_050.0, "{}", us(1_021));
        latency.sample(ms(1_030), ms(9));
        assert!(close(us(1_030), 9_000.0), "sent at 1,021: the Pod is slow");
    }

    #[test]
    fn an_answer_between_two_high_ones_makes_them_two_pauses() {
        let (latency, ms) = (Latency::default(), Micros::from_millis);
        latency.sample(Micros::ZERO, Micros(1_000));
        for round in 1..=100 {
            latency.sample(ms(100 * round), ms(20));
            latency.sample(ms(100 * round + 1), Micros(900));
        }
        let mean = latency.read(ms(10_001)).unwrap();
        assert!((1_000.0..20_000.0).contains(&mean), "an average of both: {mean}");
        let within = Latency::default();
        within.sample(Micros::ZERO, Micros(1_000));
        within.sample(Micros::ZERO, Micros(1_400));
        assert!(close(within.read(Micros::ZERO).unwrap(), 1_400.0), "within the band every peak counts");
    }

    #[test]
    fn low_samples_pull_it_down_by_their_age() {
        let latency = Latency::default();
        latency.sample(Micros::ZERO, Micros(1_000_000));
        latency.sample(DECAY, Micros(100_000));
        let kept = (-1f32).exp();
        assert!(close(latency.read(DECAY).unwrap(), 1_000_000.0 * kept + 100_000.0 * (1.0 - kept)));
    }

    #[test]
    fn many_small_steps_reach_the_same_as_one_big() {
        let latency = Latency::default();
        latency.sample(Micros::ZERO, Micros(1_000_000));
        for ms in 1..=30_000 {
            latency.sample(Micros::from_millis(ms), Micros(500_000));
        }
        let value = latency.read(Micros::from_secs(30)).unwrap();
        let ideal = 500_000.0 + 500_000.0 * (-3f32).exp();
        assert!((value / ideal - 1.0).abs() < 0.01, "{value} {ideal}");
    }

    #[test]
    fn time_may_go_back_a_little() {
        let latency = Latency::default();
        latency.sample(Micros::from_secs(100), Micros(1_000));
        assert!(close(latency.read(Micros::from_secs(99)).unwrap(), 1_000.0));
        latency.sample(Micros::from_secs(99), Micros(1_300));
        assert!(close(latency.read(Micros::from_secs(99)).unwrap(), 1_300.0));
    }

    #[test]
    fn a_seed_never_replaces_an_average() {
        let latency = Latency::default();
        latency.seed(Micros::ZERO, 30_000.0);
        latency.seed(Micros::ZERO, 1_000.0);
        assert!(close(latency.read(Micros::ZERO).unwrap(), 30_000.0));
    }
}
