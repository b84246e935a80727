//! The peak-sensitive latency average (as in Finagle, tower and Linkerd), with its time in one word.
//!
//! Laws
//! 1. A sample above the decayed average replaces it at once; one below pulls it down by 1 - e^(-dt/τ). A sample that
//!    would end a tie with its peers (above [`TIE_BAND`] times the average) is a peak only if the one before was, too:
//!    alone it counts like any other. Else a pause of 20 ms anywhere on the way, once in 1,000 requests, would keep
//!    a Pod that answers in 0.5 ms without requests for half a minute.
//! 2. Unread and unsampled, the average decays, so that an avoided Endpoint is tried again: by τ while it is large, and
//!    where it is small by a twentieth of the time that passes, down to [`CLOSE_US`]. To try a Pod of 10 ms again costs
//!    little; it need not wait for half a minute.
//! 3. Value and time change together, by compare-exchange; a sample that loses against one of another worker
//!    is applied to that one's result.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::Micros;

/// τ: after it an old average counts 1/e.
pub(super) const DECAY: Micros = Micros::from_secs(10);

/// Below this average the decay is linear: [`FALL`] µs per µs.
const SMALL_US: f32 = 50_000.0;
/// How much a small average falls, as a share of the time that passes.
const FALL: f32 = 0.05;
/// Averages below count as equal, and here the linear decay ends: this is within what scheduling does to any answer.
pub(crate) const CLOSE_US: f32 = 2_000.0;

/// Latency averages within this factor count as equal. Without the band, 0.1 ms between idle Pods splits
/// their traffic 99:1.
pub(crate) const TIE_BAND: f32 = 1.5;
/// In the sign bit of the average: the last sample was above the band.
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
        let (now, rtt) = (quanta(now), micros(rtt));
        self.change(|word| {
            if word == 0 {
                return Some(pack(now, rtt));
            }
            let dt = age(word, now);
            let kept = keep(dt);
            let old = faded(value(word), dt);
            let high = rtt > old * TIE_BAND;
            if rtt > old && (!high || word & HIGH != 0) {
                Some(pack(now, rtt))
            } else if high {
                Some(pack(now, old + rtt * (1.0 - kept)) | HIGH)
            } else if dt == 0 && word & HIGH == 0 {
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
    faded(value(word), age(word, now)).max(1.0)
}

/// What an average of `value` µs has decayed to after `dt` quanta.
#[inline]
fn faded(value: f32, dt: u32) -> f32 {
    let curve = value * keep(dt);
    if value <= CLOSE_US || curve >= SMALL_US {
        return curve;
    }
    let large_us = if value > SMALL_US { DECAY.0 as f32 * (value / SMALL_US).ln() } else { 0.0 };
    let line = value.min(SMALL_US) - FALL * (dt as f32 * QUANTUM_US - large_us);
    line.max(CLOSE_US).min(curve)
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
    fn only_the_second_high_sample_in_a_row_is_a_peak() {
        let latency = Latency::default();
        latency.sample(Micros::ZERO, Micros(1_000));
        for _ in 0..100 {
            latency.sample(Micros::ZERO, Micros(50_000));
            latency.sample(Micros::ZERO, Micros(900));
        }
        assert!(close(latency.read(Micros::ZERO).unwrap(), 1_000.0));
        latency.sample(Micros::ZERO, Micros(1_400));
        assert!(close(latency.read(Micros::ZERO).unwrap(), 1_400.0), "within the band every peak counts");
    }

    #[test]
    fn a_small_peak_is_forgotten_soon() {
        let small = Latency::default();
        small.seed(Micros::ZERO, 20_000.0);
        let near = |latency: &Latency, ms, us: f32| {
            (latency.read(Micros::from_millis(ms)).unwrap() / us - 1.0).abs() < 0.01
        };
        assert!(near(&small, 200, 10_000.0));
        assert!(near(&small, 400, CLOSE_US), "no further");
        let large = Latency::default();
        large.seed(Micros::ZERO, 500_000.0);
        assert!(near(&large, 10_000, 500_000.0 / std::f32::consts::E));
        assert!(near(&large, 23_026, 50_000.0), "10 s * ln 10");
        assert!(near(&large, 23_026 + 500, 25_000.0));
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
